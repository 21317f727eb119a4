package admin

import (
	"net/http"

	"github.com/labstack/echo/v5"
)

type queuesData struct {
	Live, Dead []queueView
	Widest     int // for the bars
}

func (a *Admin) queuesPage(c *echo.Context) error {
	list, err := a.queueViews(c.Request().Context())
	if err != nil {
		return err
	}
	d := queuesData{}
	for _, q := range list {
		if q.Kind == "dead" {
			d.Dead = append(d.Dead, q)
		} else {
			d.Live, d.Widest = append(d.Live, q), max(d.Widest, q.Depth)
		}
	}
	return a.show(c, http.StatusOK, "queues", view{Title: "Queues", Nav: "queues", Data: d})
}
