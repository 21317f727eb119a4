package admin

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v5"
)

type queuesData struct {
	Live, Dead []queueView
	// Done is what left each queue for good of what came in the last hour and this one.
	Done   map[string]int64
	Widest int // for the bars
	// Spills are the collectors that have a disk for when Redis is away.
	Spills []processView
}

func (a *Admin) queuesPage(c *echo.Context) error {
	list, err := a.queueViews(c.Request().Context())
	if err != nil {
		return err
	}
	d := queuesData{Done: map[string]int64{}}
	processes, err := a.processViews(c.Request().Context())
	if err != nil {
		return err
	}
	for _, p := range processes {
		if p.Spill != nil {
			d.Spills = append(d.Spills, p)
		}
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	now := a.now().UTC()
	books, err := a.books(ctx, now.Add(-time.Hour).Truncate(time.Hour), now.Truncate(time.Hour).Add(time.Hour))
	if err != nil {
		return err
	}
	for _, b := range books {
		d.Done["ingest"] += b.Stored + b.Duplicate + b.Purged
		for _, p := range b.Partners {
			d.Done[p.Name] += p.Delivered + p.NotSent + p.Duplicate + p.Purged
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
