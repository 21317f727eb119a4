package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
)

// An export is read page by page, so it may be long; but not for ever.
const (
	maxExport     = 1_000_000 // events
	exportTimeout = 15 * time.Minute
)

var eventColumns = append(append([]column{{"received_at", time.Time{}}, {"time", time.Time{}}},
	columnsOf("", "id", "pixel_id", "name", "source", "consent", "regime", "visitor_id", "order_id")...),
	append([]column{{"value", 0.0}}, append(columnsOf("", "currency"), append([]column{{"base_value", 0.0}}, columnsOf("", "base_currency", "page_url", "page_title", "referrer", "referrer_kind", "referrer_host",
		"utm_source", "utm_medium", "utm_campaign", "device", "browser", "os", "country", "region", "city", "bot", "properties")...)...)...)...)

// exportEvents writes what a filter selects, newest first. It ends when its reader
// leaves.
func (a *Admin) exportEvents(c *echo.Context, f analytics.EventFilter, format string) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), exportTimeout)
	defer cancel()
	f.Limit = analytics.MaxLimit
	var out sheet
	for left := maxExport; left > 0; {
		page, err := a.o.Events.Events(ctx, f)
		if err != nil {
			return err // before the first page as a problem, then as a file that breaks off
		}
		if out == nil {
			out = download(c, "events", format, eventColumns)
		}
		for i := range page.Events[:min(left, len(page.Events))] {
			e := &page.Events[i]
			value, _ := strconv.ParseFloat(string(e.Order.Value), 64)
			base, _ := strconv.ParseFloat(string(e.Enrichment.Value.Amount), 64)
			of := func(d string) string { return analytics.Value(e, d) }
			if err := out.row(e.ReceivedAt, e.Time, e.ID, e.PixelID, e.Name, e.Source, string(e.Verdict.State), e.Verdict.Regime, e.Subject.VisitorID, e.Order.ID,
				value, e.Order.Currency, base, e.Enrichment.Value.Currency, e.Context.Page.URL, e.Context.Page.Title, e.Context.Page.Referrer, of("referrer_kind"), of("referrer_host"),
				of("utm_source"), of("utm_medium"), of("utm_campaign"), of("device"), of("browser"), of("os"), of("country"), of("region"), of("city"), e.Enrichment.Bot, string(e.Properties)); err != nil {
				return err
			}
		}
		left -= len(page.Events)
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	return out.end()
}
