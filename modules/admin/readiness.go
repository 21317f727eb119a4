package admin

import (
	"maps"
	"net/http"
	"slices"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// readinessReport says how well the partners could match the events that were
// routed to them, and what the events lacked.
func (a *Admin) readinessReport(c *echo.Context) error {
	q := a.query(c)
	ask := analytics.ReadinessQuery{
		PixelID: q.text("pixel_id"), Partner: q.text("partner"), Name: q.text("name"),
		Since: q.time("since"), Until: q.time("until"),
	}
	format := q.choice("format", "json", formats...)
	if err := q.err(); err != nil {
		return err
	}
	defaults(&ask.Since, &ask.Until, q.now)
	ctx, cancel := a.bounded(c)
	defer cancel()
	rows, err := a.o.Events.Readiness(ctx, ask)
	if err != nil {
		return err
	}
	if format != "json" {
		return a.readinessRows(download(c, "match-readiness", format, append(columnsOf("", "partner", "kind", "name"), column{"events", int64(0)}, column{"share", 0.0})), rows)
	}
	return c.JSON(http.StatusOK, items(rows, ""))
}

// readinessRows is one line for each figure, so that a spreadsheet can turn it.
// Those of what_if are the events that a partner could match besides, if each that lacks the key had it.
func (a *Admin) readinessRows(out sheet, list []analytics.Readiness) error {
	for _, r := range list {
		line := func(kind, name string, n int) error {
			return out.row(r.Partner, kind, name, int64(n), float64(n)/float64(max(r.Events, 1)))
		}
		for _, g := range event.Grades {
			if err := line("grade", string(g), r.Grades[g]); err != nil {
				return err
			}
		}
		for i, m := range []map[string]int{r.Keys, r.Missing} {
			for _, k := range slices.Sorted(maps.Keys(m)) {
				if err := line([]string{"carries", "lacks"}[i], k, m[k]); err != nil {
					return err
				}
			}
		}
		for _, w := range whatIfs(r, a.partners.specs[r.Partner].Keys) {
			if err := line("what_if", w.Name, w.Gain); err != nil {
				return err
			}
		}
	}
	return out.end()
}
