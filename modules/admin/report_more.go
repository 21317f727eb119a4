package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v5"
	"golang.org/x/sync/errgroup"

	"github.com/miq/pixel/modules/analytics"
)

// within refuses a time that is none or too long.
func (q *query) within(since, until time.Time, most time.Duration) {
	switch {
	case !since.Before(until):
		q.fail("since", "must lie before until")
	case until.Sub(since) > most:
		q.fail("since", fmt.Sprintf("must lie at most %d days before until", int(most.Hours()/24)))
	}
}

// funnelStep reads "purchase" or "page_view(page_path=/checkout)", with more
// conditions behind commas.
func funnelStep(s string) (step analytics.FunnelStep, ok bool) {
	name, rest, more := strings.Cut(s, "(")
	step.Name = strings.TrimSpace(name)
	if !more {
		return step, step.Name != ""
	}
	rest, ok = strings.CutSuffix(strings.TrimSpace(rest), ")")
	for pair := range strings.SplitSeq(rest, ",") {
		dimension, value, is := strings.Cut(pair, "=")
		dimension, not := strings.CutSuffix(strings.TrimSpace(dimension), "!")
		ok = ok && is
		step.Where = append(step.Where, analytics.Condition{Dimension: dimension, Values: []string{strings.TrimSpace(value)}, Not: not})
	}
	return step, ok && step.Name != ""
}

// funnelQuery reads a funnel: each step is a parameter of that name.
func (q *query) funnel() analytics.FunnelQuery {
	f := analytics.FunnelQuery{PixelID: q.text("pixel_id"), Since: q.time("since"), Until: q.time("until")}
	q.text("step")
	for _, s := range q.c.QueryParams()["step"] {
		if s == "" {
			continue
		}
		step, ok := funnelStep(s)
		if !ok {
			q.fail("step", "must be an event's name, perhaps with conditions: page_view(page_path=/checkout,device!=bot)")
		}
		f.Steps = append(f.Steps, step)
	}
	if v := q.text("window"); v != "" {
		d, ok := span(v)
		if !ok {
			q.fail("window", "must be a duration such as 30m, 24h or 7d")
		}
		f.Window = d
	}
	f.Where = q.where(analytics.EventDimensions)
	defaults(&f.Since, &f.Until, q.now)
	return f
}

// funnelRow is a step of a funnel, with its part of the first and of the one before.
type funnelRow struct {
	analytics.FunnelCount `json:",embed"`

	OfFirst  float64 `json:"of_first"`
	OfBefore float64 `json:"of_before"`
	// Before and OfFirstBefore are of the period before, where it is asked for.
	Before        *int64   `json:"visitors_before,omitempty"`
	OfFirstBefore *float64 `json:"of_first_before,omitempty"`
}

func funnelRows(counts []analytics.FunnelCount) []funnelRow {
	out := make([]funnelRow, len(counts))
	for i, n := range counts {
		before := counts[max(0, i-1)].Visitors
		out[i] = funnelRow{FunnelCount: n, OfFirst: float64(n.Visitors) / float64(max(1, counts[0].Visitors)), OfBefore: float64(n.Visitors) / float64(max(1, before))}
	}
	return out
}

// comparedFunnel puts the funnel of the period before beside that of a time.
func (a *Admin) comparedFunnel(ctx context.Context, q analytics.FunnelQuery) ([]funnelRow, error) {
	var now, before []analytics.FunnelCount
	both, within := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		now, err = a.o.Events.Funnel(within, q)
		return err
	})
	both.Go(func() (err error) {
		was := q
		was.Since, was.Until = q.Since.Add(-q.Until.Sub(q.Since)), q.Since
		before, err = a.o.Events.Funnel(within, was)
		return err
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	rows, was := funnelRows(now), funnelRows(before)
	for i := range rows {
		n := was[i].Visitors
		rows[i].Before, rows[i].OfFirstBefore = &n, &was[i].OfFirst
	}
	return rows, nil
}

func (a *Admin) funnelReport(c *echo.Context) error {
	q := a.query(c)
	f, format, compare := q.funnel(), q.choice("format", "json", formats...), q.compare()
	_, err := f.Check()
	q.invalid("step", err)
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	var rows []funnelRow
	if compare {
		rows, err = a.comparedFunnel(ctx, f)
	} else {
		var counts []analytics.FunnelCount
		counts, err = a.o.Events.Funnel(ctx, f)
		rows = funnelRows(counts)
	}
	if err != nil {
		return err
	}
	if format != "json" {
		columns := []column{{"step", int64(0)}, {"name", ""}, {"visitors", int64(0)}, {"of_first", 0.0}, {"of_before", 0.0}}
		if compare {
			columns = append(columns, column{"visitors_before", int64(0)}, column{"of_first_before", 0.0})
		}
		out := download(c, "funnel", format, columns)
		for i, r := range rows {
			line := []any{int64(i + 1), r.Name, r.Visitors, r.OfFirst, r.OfBefore}
			if compare {
				line = append(line, *r.Before, *r.OfFirstBefore)
			}
			if err := out.row(line...); err != nil {
				return err
			}
		}
		return out.end()
	}
	return c.JSON(http.StatusOK, items(rows, ""))
}

// latencyRow is a partner's latencies in milliseconds.
type latencyRow struct {
	analytics.Latency `json:",embed"`

	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func (a *Admin) latencyReport(c *echo.Context) error {
	q := a.query(c)
	l := analytics.LatencyQuery{PixelID: q.text("pixel_id"), Partner: q.text("partner"), Since: q.time("since"), Until: q.time("until"), Zone: q.text("zone")}
	step, format := q.text("step"), q.choice("format", "json", formats...)
	defaults(&l.Since, &l.Until, q.now)
	if step != "" {
		var err error
		l.Step, err = analytics.ParseStep(step)
		q.invalid("step", err)
	}
	q.invalid("since", l.Check())
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	list, err := a.o.Events.Latency(ctx, l)
	if err != nil {
		return err
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	rows := make([]latencyRow, len(list))
	for i, r := range list {
		rows[i] = latencyRow{r, ms(r.P50), ms(r.P90), ms(r.P99), ms(r.Max)}
	}
	if format != "json" {
		out := download(c, "latency", format, append([]column{{"partner", ""}, {"time", time.Time{}}, {"attempts", int64(0)}}, columnsOf(0.0, "p50_ms", "p90_ms", "p99_ms", "max_ms")...))
		for _, r := range rows {
			if err := out.row(r.Partner, r.Time, r.Attempts, r.P50, r.P90, r.P99, r.Max); err != nil {
				return err
			}
		}
		return out.end()
	}
	return c.JSON(http.StatusOK, items(rows, ""))
}

func (a *Admin) duplicatesReport(c *echo.Context) error {
	q := a.query(c)
	r := analytics.RepeatedQuery{PixelID: q.text("pixel_id"), Since: q.time("since"), Until: q.time("until"), Limit: q.number("limit", 1, 1000, 50)}
	format := q.choice("format", "json", formats...)
	defaults(&r.Since, &r.Until, q.now)
	q.within(r.Since, r.Until, maxBooks)
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	books, err := a.books(ctx, r.Since, r.Until)
	if err != nil {
		return err
	}
	rows := duplicatesOf(books, r.PixelID)
	if format != "json" {
		out := download(c, "duplicates", format, append([]column{{"hour", time.Time{}}, {"pixel_id", ""}, {"partner", ""}}, columnsOf(int64(0), "of", "duplicates")...))
		for _, d := range rows {
			if err := out.row(d.Hour, d.PixelID, d.Partner, d.Of, d.Duplicates); err != nil {
				return err
			}
		}
		return out.end()
	}
	orders, err := a.o.Events.Repeated(ctx, r)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items  []duplicated              `json:"items"`
		Next   string                    `json:"next"`
		Orders []analytics.RepeatedOrder `json:"orders"`
	}{rows, "", nonNil(orders)})
}
