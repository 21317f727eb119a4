package admin

import (
	"net/http"

	"github.com/labstack/echo/v5"
)

type queuesData struct {
	Live, Dead []queueView
	Widest     int // for the bars
	// Spills are the collectors that have a disk for when Redis is away.
	Spills []processView
}

func (a *Admin) queuesPage(c *echo.Context) error {
	list, err := a.queueViews(c.Request().Context())
	if err != nil {
		return err
	}
	d := queuesData{}
	processes, err := a.processViews(c.Request().Context())
	if err != nil {
		return err
	}
	for _, p := range processes {
		if p.Spill != nil {
			d.Spills = append(d.Spills, p)
		}
	}
	for _, q := range list {
		if q.Kind == "dead" {
			d.Dead = append(d.Dead, q)
		} else {
			d.Live, d.Widest = append(d.Live, q), max(d.Widest, q.Depth)
		}
	}
	return a.show(c, http.StatusOK, "queues", view{Title: "Queues", Nav: "queues", Data: d})
}
