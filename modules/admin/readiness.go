package admin

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

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
	format := q.choice("format", "json", "json", "csv")
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
	if format == "csv" {
		return writeCSV(c, "match-readiness", readinessRows(rows))
	}
	return c.JSON(http.StatusOK, items(rows, ""))
}

// readinessRows is one line for each figure, so that a spreadsheet can turn it.
func readinessRows(list []analytics.Readiness) [][]string {
	rows := [][]string{{"partner", "kind", "name", "events", "share"}}
	for _, r := range list {
		line := func(kind, name string, n int) {
			share := strconv.FormatFloat(float64(n)/float64(max(r.Events, 1)), 'f', 4, 64)
			rows = append(rows, []string{r.Partner, kind, name, strconv.Itoa(n), share})
		}
		for _, g := range event.Grades {
			line("grade", string(g), r.Grades[g])
		}
		for _, k := range slices.Sorted(maps.Keys(r.Keys)) {
			line("carries", k, r.Keys[k])
		}
		for _, k := range slices.Sorted(maps.Keys(r.Missing)) {
			line("lacks", k, r.Missing[k])
		}
	}
	return rows
}
