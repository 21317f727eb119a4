package admin

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

// query reads a request's parameters and remembers what was wrong with them.
type query struct {
	c     *echo.Context
	known []string
	bad   settings.Invalid
	now   time.Time
}

func (a *Admin) query(c *echo.Context) *query { return &query{c: c, now: a.now()} }

func (q *query) text(name string) string {
	q.known = append(q.known, name)
	v := q.c.QueryParam(name)
	if utf8.RuneCountInString(v) > 500 || len(q.c.QueryParams()[name]) > analytics.MaxValues {
		q.fail(name, fmt.Sprintf("must be at most 500 characters, and be there at most %d times", analytics.MaxValues))
		return ""
	}
	return v
}

func (q *query) fail(name, message string) {
	q.bad = append(q.bad, settings.Problem{Field: name, Message: message})
}

func (q *query) number(name string, least, most, otherwise int) int {
	v := q.text(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		q.fail(name, fmt.Sprintf("must be a whole number from %d to %d", least, most))
		return otherwise
	}
	return n
}

// time reads RFC 3339, a date, seconds since 1970, or an age such as "24h".
func (q *query) time(name string) time.Time {
	v := q.text(name)
	if v == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02"} {
		if t, err := time.Parse(layout, v); err == nil {
			return t
		}
	}
	if d, ok := span(v); ok {
		return q.now.Add(-d)
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.Unix(n, 0)
	}
	q.fail(name, "must be a time such as 2026-11-22T10:00:00Z, a date, or an age such as 24h or 7d")
	return time.Time{}
}

// span reads a duration in which days are allowed: "90m", "24h", "7d".
func span(v string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err == nil && n > 0 && n <= 3660
	}
	d, err := time.ParseDuration(v)
	return d, err == nil && d > 0
}

func (q *query) choice(name, otherwise string, choices ...string) string {
	v := cmp.Or(q.text(name), otherwise)
	if !slices.Contains(choices, v) {
		q.fail(name, "must be one of "+strings.Join(choices, ", "))
	}
	return v
}

// compare reads whether the period before is asked for too: as long, and just before.
func (q *query) compare() bool { return q.choice("compare", "no", "no", "before") == "before" }

// where reads conditions on dimensions: "country=GB&country=DE" asks for one of the
// two, "not.device=bot" for anything else. Those that are parameters of their own are
// left out.
func (q *query) where(dimensions []string) (list []analytics.Condition) {
	for _, d := range dimensions {
		for _, not := range []bool{false, true} {
			name := d
			if not {
				name = "not." + d
			}
			if slices.Contains(q.known, name) {
				continue
			}
			q.text(name) // it is known, and not too long
			if values, asked := q.c.QueryParams()[name]; asked {
				list = append(list, analytics.Condition{Dimension: d, Values: values, Not: not})
			}
		}
	}
	return list
}

// amount reads a number.
func (q *query) amount(name string) *float64 {
	v := q.text(name)
	if v == "" {
		return nil
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		q.fail(name, "must be a number such as 99.50")
		return nil
	}
	return &n
}

// invalid adds what the port says against a question, which names no parameter.
func (q *query) invalid(name string, err error) {
	if err != nil && len(q.bad) == 0 {
		q.fail(name, reason(err))
	}
}

// err refuses parameters that nobody asked for, too: a misspelt filter must not
// answer with everything.
func (q *query) err() error {
	for name := range q.c.QueryParams() {
		if !slices.Contains(q.known, name) {
			q.fail(name, "is not a parameter of this call")
		}
	}
	if len(q.bad) == 0 {
		return nil
	}
	p := httpserver.NewProblem(http.StatusBadRequest, "invalid_parameter", "some parameters are not as they must be")
	slices.SortFunc(q.bad, func(x, y settings.Problem) int { return strings.Compare(x.Field, y.Field) })
	for _, f := range q.bad {
		p.Errors = append(p.Errors, httpserver.FieldError{Pointer: f.Field, Code: "invalid", Detail: f.Message})
	}
	return p
}

// timeout bounds what a report may cost.
const timeout = 10 * time.Second

func (a *Admin) bounded(c *echo.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request().Context(), timeout)
}

var metrics = []string{string(analytics.MetricEvents), string(analytics.MetricVisitors), string(analytics.MetricRevenue), string(analytics.MetricBaseRevenue), string(analytics.MetricSyncs)}

func dimensions(m analytics.Metric) []string {
	if m == analytics.MetricSyncs {
		return analytics.SyncDimensions
	}
	return analytics.EventDimensions
}

func (a *Admin) timeseries(c *echo.Context) error {
	q := a.query(c)
	s := analytics.SeriesQuery{
		Metric:  analytics.Metric(q.choice("metric", string(analytics.MetricEvents), metrics...)),
		PixelID: q.text("pixel_id"), Name: q.text("name"), Partner: q.text("partner"),
		Since: q.time("since"), Until: q.time("until"), GroupBy: q.text("group_by"), Zone: q.text("zone"),
	}
	step, format, compare := q.text("step"), q.choice("format", "json", formats...), q.compare()
	if s.Until.IsZero() {
		s.Until = q.now
	}
	if s.Since.IsZero() {
		s.Since = s.Until.Add(-24 * time.Hour)
	}
	if !s.Since.Before(s.Until) {
		q.fail("since", "must lie before until")
	}
	if s.GroupBy != "" && !slices.Contains(dimensions(s.Metric), s.GroupBy) {
		q.fail("group_by", "must be one of "+strings.Join(dimensions(s.Metric), ", "))
	}
	s.Step = niceStep(s.Until.Sub(s.Since))
	if step != "" {
		var err error
		if s.Step, err = analytics.ParseStep(step); err != nil {
			q.fail("step", reason(err))
		}
	}
	s.Where = q.where(dimensions(s.Metric))
	q.invalid("step", s.Check())
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	var list, before []analytics.Series
	var err error
	if compare {
		list, before, err = a.compared(ctx, s)
	} else {
		list, err = a.o.Events.Series(ctx, s)
	}
	if err != nil {
		return err
	}
	out := besides(list, before, compare)
	if format != "json" {
		columns := []column{{"time", time.Time{}}, {cmp.Or(s.GroupBy, "group"), ""}, {string(s.Metric), 0.0}}
		if compare {
			columns = append(columns, column{string(s.Metric) + "_before", 0.0})
		}
		file := download(c, "timeseries", format, columns)
		for _, one := range out {
			for _, p := range one.Points {
				line := []any{p.Time, one.Group, p.Value}
				if compare {
					line = append(line, *p.Before)
				}
				if err := file.row(line...); err != nil {
					return err
				}
			}
		}
		return file.end()
	}
	return c.JSON(http.StatusOK, struct {
		Items []seriesBesides `json:"items"`
		Next  string          `json:"next"`
		Step  analytics.Step  `json:"step"`
		Since time.Time       `json:"since"`
		Until time.Time       `json:"until"`
	}{out, "", s.Step, s.Since.UTC(), s.Until.UTC()})
}

// seriesBesides is one group's counts, beside those of the period before where it is
// asked for.
type seriesBesides struct {
	Group  string         `json:"group,omitempty"`
	Points []pointBesides `json:"points"`
}

type pointBesides struct {
	analytics.Point `json:",embed"`

	Before *float64 `json:"before,omitempty"`
}

func besides(now, before []analytics.Series, compare bool) []seriesBesides {
	out := make([]seriesBesides, len(now))
	for i, s := range now {
		var was []analytics.Point
		if j := slices.IndexFunc(before, func(b analytics.Series) bool { return b.Group == s.Group }); j >= 0 {
			was = before[j].Points
		}
		out[i] = seriesBesides{s.Group, make([]pointBesides, len(s.Points))}
		for k, p := range s.Points {
			x := &out[i].Points[k]
			if x.Point = p; compare {
				x.Before = new(float64)
				if k < len(was) {
					*x.Before = was[k].Value
				}
			}
		}
	}
	return out
}

// niceStep gives about 30 to 100 steps.
func niceStep(d time.Duration) analytics.Step {
	for _, s := range []analytics.Step{analytics.Minute, "5m", "15m", analytics.Hour, "3h", "6h", analytics.Day, analytics.Week} {
		if d/s.Usual() <= 100 {
			return s
		}
	}
	return analytics.Month
}

// reason is what is wrong with a question, for a parameter's error.
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), analytics.ErrInvalid.Error()+": ")
}

func (a *Admin) top(c *echo.Context) error {
	q := a.query(c)
	t := analytics.TopQuery{
		Metric:    analytics.Metric(q.choice("metric", string(analytics.MetricEvents), metrics...)),
		Dimension: q.text("dimension"), PixelID: q.text("pixel_id"), Name: q.text("name"), Partner: q.text("partner"),
		Since: q.time("since"), Until: q.time("until"), Limit: q.number("limit", 1, 1000, 10),
	}
	format := q.choice("format", "json", formats...)
	t.Where = q.where(dimensions(t.Metric))
	if !slices.Contains(dimensions(t.Metric), t.Dimension) {
		q.fail("dimension", "must be one of "+strings.Join(dimensions(t.Metric), ", "))
	}
	if err := q.err(); err != nil {
		return err
	}
	defaults(&t.Since, &t.Until, q.now)
	ctx, cancel := a.bounded(c)
	defer cancel()
	rows, err := a.o.Events.Top(ctx, t)
	if err != nil {
		return err
	}
	if format != "json" {
		out := download(c, "top", format, []column{{t.Dimension, ""}, {string(t.Metric), 0.0}})
		for _, r := range rows {
			if err := out.row(r.Group, r.Value); err != nil {
				return err
			}
		}
		return out.end()
	}
	return c.JSON(http.StatusOK, items(rows, ""))
}

func defaults(since, until *time.Time, now time.Time) {
	if until.IsZero() {
		*until = now
	}
	if since.IsZero() {
		*since = until.Add(-24 * time.Hour)
	}
}
