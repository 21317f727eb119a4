package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v5"
	"golang.org/x/sync/errgroup"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/atrisk"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// window of the overview.
type rangeChoice struct {
	Key, Title string
	Span       time.Duration
	Step       analytics.Step
}

var ranges = []rangeChoice{
	{"1h", "Last hour", time.Hour, analytics.Minute},
	{"24h", "Last 24 hours", 24 * time.Hour, analytics.Hour},
	{"7d", "Last 7 days", 7 * 24 * time.Hour, "2h"},
	{"30d", "Last 30 days", 30 * 24 * time.Hour, "6h"},
}

func chosenRange(key string) rangeChoice {
	for _, r := range ranges {
		if r.Key == key {
			return r
		}
	}
	return ranges[1]
}

type overviewData struct {
	Range  rangeChoice
	Ranges []rangeChoice
	Pixel  string
	Pixels []settings.Pixel

	Events   float64
	Change   *float64 // against the period before; nil where that had none
	Visitors float64
	PerMin   float64 // in the last five minutes
	Revenue  []analytics.TopRow
	Orders   float64
	Earned   *float64 // the first currency's change against the period before
	Consent  []share
	Agreed   *float64 // by how much the share of full consent grew
	Loss     lossReading
	Risk     []riskSum // money at risk by currency, the most first
	Success  *float64  // of all partners, within 24 hours
	// Books says what the books found, and Unaccounted how many are missing.
	Unaccounted int64
	Checked     time.Time
	File        string // the chart's numbers as a file, but for the format
	Until       time.Time
	Steps       []overviewStep
	Names       []analytics.TopRow
	Most        float64 // of the most frequent name

	Oldest   float64 // of the ingest queues
	Waiting  int
	Partners []partnerView
	Needs    []need
}

// overviewStep is what happened in one step, and in that of the period before.
type overviewStep struct {
	At          time.Time
	Now, Before float64
}

func (a *Admin) overviewPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := overviewData{Range: chosenRange(c.QueryParam("range")), Ranges: ranges, Pixel: c.QueryParam("pixel_id"), Pixels: a.pixels(ctx)}
	if _, ok := a.seen(ctx, d.Pixel); !ok {
		d.Pixel = ""
	}
	d.File = base + "/reports/timeseries" + asQuery("metric", "events", "step", string(d.Range.Step), "since", d.Range.Key, "pixel_id", d.Pixel)
	if err := a.overview(ctx, &d); err != nil {
		return err
	}
	return a.show(c, http.StatusOK, "overview", view{Title: "Overview", Nav: "overview", Data: d})
}

func (a *Admin) overview(ctx context.Context, d *overviewData) error {
	until := a.now()
	d.Until = until
	since := until.Add(-d.Range.Span)
	series := func(ctx context.Context, q analytics.SeriesQuery) ([]analytics.Series, error) {
		q.Metric, q.PixelID, q.Step = analytics.MetricEvents, d.Pixel, cmp.Or(q.Step, d.Range.Step)
		if q.Until.IsZero() {
			q.Since, q.Until = since, until
		}
		return a.o.Events.Series(ctx, q)
	}
	var current, before, recent []analytics.Series
	var queues []queueView
	all, within := errgroup.WithContext(ctx)
	// They have nothing to do with one another.
	all.Go(func() (err error) {
		before, err = series(within, analytics.SeriesQuery{Since: since.Add(-d.Range.Span), Until: since})
		return err
	})
	all.Go(func() (err error) {
		if current, err = series(within, analytics.SeriesQuery{}); err != nil {
			return err
		}
		recent, err = series(within, analytics.SeriesQuery{Since: until.Add(-5 * time.Minute), Until: until, Step: analytics.Minute})
		return err
	})
	all.Go(func() (err error) {
		if d.Revenue, err = a.o.Events.Top(within, analytics.TopQuery{Metric: analytics.MetricRevenue, Dimension: "currency", PixelID: d.Pixel, Since: since, Until: until, Limit: 4}); err != nil {
			return err
		}
		if d.Names, err = a.o.Events.Top(within, analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "name", PixelID: d.Pixel, Since: since, Until: until, Limit: 8}); err != nil {
			return err
		}
		if d.Consent, err = a.consentShares(within, d.Pixel, since, until); err != nil {
			return err
		}
		return a.compare(within, d, since.Add(-d.Range.Span), since)
	})
	all.Go(func() (err error) {
		if d.Loss, err = a.lossLately(within, d.Pixel, 24*time.Hour, lossPatience); err != nil {
			return err
		}
		if d.Partners, err = a.partnerViews(within); err != nil {
			return err
		}
		queues, err = a.queueViews(within)
		return err
	})
	if err := all.Wait(); err != nil {
		return err
	}
	d.Events = total(current...)
	if was := total(before...); was > 0 {
		change := d.Events/was - 1
		d.Change = &change
	}
	d.Steps = pair(current, before)
	d.PerMin = total(recent...) / 5
	for _, r := range d.Names {
		d.Most = max(d.Most, r.Value)
		if r.Group == "purchase" {
			d.Orders = r.Value
		}
	}
	for _, q := range queues {
		if q.Kind == "ingest" {
			d.Oldest, d.Waiting = max(d.Oldest, q.Oldest), d.Waiting+q.Depth
		}
	}
	taken, refused := 0, 0
	for _, p := range d.Partners {
		taken, refused = taken+p.Accepted(), refused+p.Rejected()
	}
	if n := taken + refused; n > 0 {
		rate := float64(taken) / float64(n)
		d.Success = &rate
	}
	if last, err := a.o.Ledger.Last(); err == nil && !whoOf(ctx).Confined() {
		d.Checked = last.At
		for _, f := range last.Differences {
			d.Unaccounted += max(f.N, -f.N)
		}
	}
	risk, err := a.atRiskNow(ctx)
	if err != nil {
		return err
	}
	d.Risk = riskSums(risk)
	d.Needs, err = a.needs(ctx, d, queues, risk)
	return err
}

// compare says how money and consent stand against the period before.
func (a *Admin) compare(ctx context.Context, d *overviewData, since, until time.Time) error {
	if len(d.Revenue) > 0 {
		was, err := a.o.Events.Top(ctx, analytics.TopQuery{Metric: analytics.MetricRevenue, Dimension: "currency", PixelID: d.Pixel, Since: since, Until: until, Limit: 10})
		if err != nil {
			return err
		}
		for _, r := range was {
			if r.Group == d.Revenue[0].Group && r.Value > 0 {
				change := d.Revenue[0].Value/r.Value - 1
				d.Earned = &change
			}
		}
	}
	was, err := a.consentShares(ctx, d.Pixel, since, until)
	if err != nil {
		return err
	}
	full := func(list []share) (float64, bool) {
		for _, s := range list {
			if s.State == string(event.Full) {
				return s.Share, s.Events > 0
			}
		}
		return 0, false
	}
	if before, ok := full(was); ok {
		now, _ := full(d.Consent)
		grown := now - before
		d.Agreed = &grown
	}
	return nil
}

// riskSum is what is at risk in one currency.
type riskSum struct {
	Currency string
	Value    float64
	Count    int
	First    time.Time // when the first of it expires; zero: nobody knows, or it has
}

func riskSums(r atrisk.Report) []riskSum {
	var out []riskSum
	for _, s := range r.Sums {
		value, err := strconv.ParseFloat(s.Value, 64)
		if err != nil {
			continue
		}
		at := slices.IndexFunc(out, func(x riskSum) bool { return x.Currency == s.Currency })
		if at < 0 {
			out, at = append(out, riskSum{Currency: s.Currency}), len(out)
		}
		x := &out[at]
		x.Value, x.Count = x.Value+value, x.Count+s.Count
		if !s.First.IsZero() && (x.First.IsZero() || s.First.Before(x.First)) {
			x.First = s.First
		}
	}
	slices.SortFunc(out, func(x, y riskSum) int {
		return cmp.Or(cmp.Compare(y.Value, x.Value), cmp.Compare(x.Currency, y.Currency))
	})
	return out
}

func total(list ...analytics.Series) float64 {
	sum := 0.0
	for _, s := range list {
		for _, p := range s.Points {
			sum += p.Value
		}
	}
	return sum
}

// pair puts each step beside that of the period before.
func pair(now, before []analytics.Series) []overviewStep {
	if len(now) == 0 {
		return nil
	}
	out := make([]overviewStep, len(now[0].Points))
	for i, p := range now[0].Points {
		out[i] = overviewStep{At: p.Time, Now: p.Value}
		if len(before) > 0 && i < len(before[0].Points) {
			out[i].Before = before[0].Points[i].Value
		}
	}
	return out
}

// Accepted and its kin are for templates.
func (v partnerView) Accepted() int { return v.Last24h[string(event.Accepted)] }

// Rejected counts what the partner refused within 24 hours.
func (v partnerView) Rejected() int { return v.Last24h[string(event.Rejected)] }

// NotSent counts what we chose not to send within 24 hours.
func (v partnerView) NotSent() int { return v.Last24h[string(event.NotSent)] }

// Retried counts attempts within 24 hours that will be repeated.
func (v partnerView) Retried() int { return v.Last24h[string(event.Retry)] }
