package admin

import (
	"context"
	"math"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// overviewChart makes the overview's chart of what was asked for; how many events there
// were is known already.
func (a *Admin) overviewChart(ctx context.Context, d *overviewData, q analytics.SeriesQuery, now, before []analytics.Series) (err error) {
	d.Chart = chart{Title: d.ShowsTitle() + " over time, against " + d.Range.Before(), Was: d.Range.Before(), Until: q.Until}
	file := []string{"metric", "events"}
	unit := ""
	switch d.Shows {
	case "visitors":
		q.Metric, file[1] = analytics.MetricVisitors, "visitors"
	case "purchases":
		q.Name = "purchase"
		file = append(file, "name", q.Name)
	case "revenue":
		q.Metric, file[1] = analytics.MetricRevenue, "revenue"
		if len(d.Revenue) > 0 { // amounts of several currencies cannot be added up
			unit = d.Revenue[0].Group
			q.Where = []analytics.Condition{analytics.Is("currency", unit)}
			file = append(file, "currency", unit)
		}
	case "consent":
		q.GroupBy = "consent"
		file = append(file, "group_by", q.GroupBy)
	}
	if d.Shows != "events" {
		// Of all consent there was: a share of what there is now would be of less.
		if now, before, err = a.both(ctx, q); err != nil {
			return err
		}
	}
	if d.Shows == "consent" {
		now, before, unit = fullShare(now), fullShare(before), perHundred
	}
	d.Chart.draw(now, before, func(string) (string, string) { return d.ShowsTitle(), unit })
	d.Chart.Sums = nil // the tiles have them
	d.File = base + "/reports/timeseries" + asQuery(append(file, "step", string(q.Step), "since", d.Range.Key, "pixel_id", d.Pixel, "compare", "before")...)
	return nil
}

// fullShare is which part of the events of each step had full consent, of a hundred; NaN
// where there were none.
func fullShare(byConsent []analytics.Series) []analytics.Series {
	if len(byConsent) == 0 {
		return nil
	}
	out := analytics.Series{Points: make([]analytics.Point, len(byConsent[0].Points))}
	for i := range out.Points {
		full, all := 0.0, 0.0
		for _, s := range byConsent {
			all += s.Points[i].Value
			if s.Group == string(event.Full) {
				full += s.Points[i].Value
			}
		}
		out.Points[i] = analytics.Point{Time: byConsent[0].Points[i].Time, Value: math.NaN()}
		if all > 0 {
			out.Points[i].Value = 100 * full / all
		}
	}
	return []analytics.Series{out}
}

// ShowsTitle names what the chart is of.
func (d overviewData) ShowsTitle() string {
	for _, c := range d.Shown {
		if c.Key == d.Shows {
			return c.Title
		}
	}
	return ""
}

// Link keeps the overview's filters and changes what its chart is of.
func (d overviewData) Link(shows string) string {
	if shows == overviewCharts[0].Key {
		shows = ""
	}
	key := d.Range.Key
	if key == ranges[1].Key {
		key = ""
	}
	return "/" + asQuery("range", key, "pixel_id", d.Pixel, "chart", shows)
}
