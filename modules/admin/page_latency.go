package admin

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
)

type latencyData struct {
	reportView

	All    []analytics.Latency
	Before map[string]time.Duration // each partner's 90th percentile in the period before
	Titles map[string]string
	Chart  chart
}

// latencyPage draws each partner's 90th percentile over time.
func (a *Admin) latencyPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := latencyData{reportView: a.reportView(c), Titles: map[string]string{}, Before: map[string]time.Duration{}}
	q := analytics.LatencyQuery{PixelID: d.Pixel, Since: d.since, Until: d.until, Zone: d.Zone}
	var err error
	if d.All, err = a.o.Events.Latency(ctx, q); err != nil {
		return err
	}
	was := q
	was.Since, was.Until = q.Since.Add(-d.Range.Span), q.Since
	before, err := a.o.Events.Latency(ctx, was)
	if err != nil {
		return err
	}
	for _, l := range before {
		d.Before[l.Partner] = l.P90
	}
	q.Step = niceStep(d.Range.Span)
	d.file("/reports/latency", "step", string(q.Step), "zone", d.Zone)
	starts, err := q.Starts()
	if err != nil {
		return err
	}
	list, err := a.o.Events.Latency(ctx, q)
	if err != nil {
		return err
	}
	d.Chart = d.chart("Latency")
	d.Chart.alone() // the table has what was before
	shown := d.All[:min(len(d.All), mostLinesDrawn)]
	for _, t := range starts {
		l := chartLine{At: t.UTC(), Values: make([]float64, len(shown))}
		for i := range l.Values {
			l.Values[i] = math.NaN()
		}
		d.Chart.Lines = append(d.Chart.Lines, l)
	}
	for i, one := range shown {
		d.Titles[one.Partner] = cmp.Or(a.partners.title(one.Partner), one.Partner)
		d.Chart.Groups = append(d.Chart.Groups, d.Titles[one.Partner])
		for _, l := range list {
			if at, ok := slices.BinarySearchFunc(starts, l.Time, time.Time.Compare); ok && l.Partner == one.Partner {
				d.Chart.Lines[at].Values[i] = float64(l.P90.Milliseconds())
			}
		}
	}
	return a.show(c, d.status(), "report_latency", view{Title: "Latency", Nav: "reports", Data: d})
}
