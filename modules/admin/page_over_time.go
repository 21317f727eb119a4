package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v5"
	"golang.org/x/sync/errgroup"

	"github.com/miq/pixel/modules/analytics"
)

type overTimeData struct {
	reportView

	Metrics    []metricChoice
	Metric     string
	Dimensions []string
	GroupBy    string
	Dimension  string // of the table of the greatest
	Name       string
	Where      analytics.Condition
	Step       analytics.Step
	Chart      chart
	Top        []analytics.TopRow
	Currency   string // of the table; empty: it is of no money, or each row has its own
	Most       float64
	TopFile    string
}

type metricChoice struct{ Key, Title string }

var metricChoices = []metricChoice{{"events", "Events"}, {"visitors", "Visitors"}, {"revenue", "Revenue, by currency"}, {"base_revenue", "Revenue, converted"}, {"syncs", "Deliveries"}}

func (a *Admin) overTimePage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := overTimeData{reportView: a.reportView(c), Metrics: metricChoices, Metric: cmp.Or(c.QueryParam("metric"), "events"), GroupBy: c.QueryParam("group_by"), Name: c.QueryParam("name")}
	m := analytics.Metric(d.Metric)
	if !slices.ContainsFunc(metricChoices, func(c metricChoice) bool { return c.Key == d.Metric }) {
		d.nothing("metric", d.Metric)
	}
	d.Dimensions = dimensions(m)
	if m == analytics.MetricRevenue {
		d.GroupBy = "currency" // amounts of different currencies cannot be added up
	}
	d.known("group_by", d.GroupBy)
	d.known("where", c.QueryParam("where"))
	d.known("dimension", c.QueryParam("dimension"))
	if !slices.Contains(d.Dimensions, d.GroupBy) {
		d.GroupBy = ""
	}
	d.Dimension = cmp.Or(c.QueryParam("dimension"), map[bool]string{false: "page_path", true: "partner"}[m == analytics.MetricSyncs])
	if !slices.Contains(d.Dimensions, d.Dimension) {
		d.Dimension = d.Dimensions[len(d.Dimensions)-1]
	}
	if m == analytics.MetricSyncs {
		d.Name = ""
	}
	q := analytics.SeriesQuery{Metric: m, PixelID: d.Pixel, Name: d.Name, Since: d.since, Until: d.until, Zone: d.Zone, GroupBy: d.GroupBy, Step: niceStep(d.Range.Span)}
	d.Where = analytics.Condition{Dimension: c.QueryParam("where"), Values: []string{c.QueryParam("is")}}
	pairs := []string{"metric", d.Metric, "name", d.Name}
	if d.Where.Dimension != "" && slices.Contains(d.Dimensions, d.Where.Dimension) {
		q.Where = []analytics.Condition{d.Where}
		pairs = append(pairs, d.Where.Dimension, d.Where.Values[0])
	} else {
		d.Where.Dimension = ""
	}
	d.Step = q.Step
	d.file("/reports/timeseries", append(pairs, "group_by", d.GroupBy, "step", string(q.Step), "compare", "before")...)
	d.TopFile = base + "/reports/top" + asQuery(append(append(pairs, d.bounds()...), "pixel_id", d.Pixel, "dimension", d.Dimension, "limit", "1000")...)
	if d.Refused() || d.wrong("metric", q.Check()) {
		return a.show(c, d.status(), "reports", view{Title: "Reports", Nav: "reports", Data: d})
	}
	top := analytics.TopQuery{Metric: m, Dimension: d.Dimension, PixelID: d.Pixel, Name: d.Name, Where: q.Where, Since: d.since, Until: d.until, Limit: 20}
	var series, before []analytics.Series
	all, within := errgroup.WithContext(ctx)
	all.Go(func() (err error) {
		if series, before, err = a.compared(within, q); err != nil || m != analytics.MetricRevenue || len(series) == 0 {
			return err
		}
		// Amounts of several currencies cannot be added up: the table is of the greatest.
		if d.Dimension != "currency" {
			d.Currency = series[0].Group
			top.Where = append(slices.Clone(top.Where), analytics.Is("currency", d.Currency))
		}
		d.Top, err = a.o.Events.Top(within, top)
		return err
	})
	if m != analytics.MetricRevenue {
		all.Go(func() (err error) {
			d.Top, err = a.o.Events.Top(within, top)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	if d.Currency != "" {
		d.TopFile += "&" + url.Values{"currency": {d.Currency}}.Encode()
	}
	d.Chart = d.chart(metricTitle(d.Metric))
	d.Chart.draw(series, before, func(group string) (string, string) {
		switch {
		case d.GroupBy == "":
			return metricTitle(d.Metric), ""
		case m == analytics.MetricRevenue:
			return cmp.Or(group, "none"), group
		}
		return cmp.Or(group, "none"), ""
	})
	if m == analytics.MetricVisitors {
		d.Chart.mean("on average " + eachStep(q.Step))
	}
	for _, r := range d.Top {
		d.Most = max(d.Most, r.Value)
	}
	return a.show(c, d.status(), "reports", view{Title: "Reports", Nav: "reports", Data: d})
}

// known refuses a dimension that there is not. One that another metric has is left out: whoever
// chose it chose that metric then.
func (d *overTimeData) known(field, dimension string) {
	if dimension != "" && !slices.Contains(analytics.EventDimensions, dimension) && !slices.Contains(analytics.SyncDimensions, dimension) {
		d.nothing(field, dimension)
	}
}

func (d *overTimeData) nothing(field, name string) {
	d.Errors = append(d.Errors, httpFieldError{field, fmt.Sprintf("there is nothing called %q; choose one of these", short(name, 40))})
}

// Refused reports whether there is no answer: part of the question is none.
func (d overTimeData) Refused() bool {
	return slices.ContainsFunc([]string{"metric", "group_by", "where", "dimension"}, func(field string) bool { return d.Wrong(field) != "" })
}

func metricTitle(key string) string {
	for _, m := range metricChoices {
		if m.Key == key {
			return m.Title
		}
	}
	return key
}

// eachStep says a step as in "on average an hour".
func eachStep(s analytics.Step) string {
	switch s {
	case analytics.Minute:
		return "a minute"
	case analytics.Hour:
		return "an hour"
	case analytics.Day:
		return "a day"
	case analytics.Week:
		return "a week"
	case analytics.Month:
		return "a month"
	}
	text := string(s)
	if n, hours := strings.CutSuffix(text, "h"); hours {
		return "in " + n + " hours"
	}
	return "in " + strings.TrimSuffix(text, "m") + " minutes"
}

// SayTop writes a figure of the table of the greatest.
func (d overTimeData) SayTop(r analytics.TopRow) string {
	switch {
	case d.Currency != "":
		return money(r.Value, d.Currency)
	case d.Metric == string(analytics.MetricRevenue) && d.Dimension == "currency":
		return money(r.Value, r.Group)
	}
	return number(r.Value)
}

// Hidden are the page's filters but for the dimension, for a form.
func (d overTimeData) Hidden() map[string]string {
	m := map[string]string{"metric": d.Metric, "group_by": d.GroupBy, "name": d.Name, "where": d.Where.Dimension}
	for _, pair := range d.Kept {
		m[pair[0]] = pair[1]
	}
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	if d.Where.Dimension != "" {
		m["is"] = d.Where.Values[0]
	}
	return m
}

// Link keeps the page's filters and changes some.
func (d overTimeData) Link(pairs ...string) string {
	v := url.Values{"dimension": {d.Dimension}}
	for name, value := range d.Hidden() {
		v.Set(name, value)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return "/reports?" + v.Encode()
}
