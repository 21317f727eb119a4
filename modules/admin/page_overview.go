package admin

import (
	"cmp"
	"context"
	"fmt"
	"math"
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

// Before is what the range is compared with.
func (r rangeChoice) Before() string {
	switch r.Key {
	case "1h":
		return "the hour before"
	case "24h":
		return "the 24 hours before"
	}
	hours := r.Span.Hours()
	switch n := int(math.Round(hours / 24)); {
	case hours < 23:
		return fmt.Sprintf("the %d hours before", int(math.Ceil(hours)))
	case n == 1:
		return "the day before"
	default:
		return fmt.Sprintf("the %d days before", n)
	}
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

	Events float64
	// Grown, Earned and Agreed say how events, the first currency's revenue and the share of
	// full consent stand against the period before; empty: that had none.
	Grown, Earned, Agreed string
	PerMin                float64 // in the last five minutes
	Revenue               []analytics.TopRow
	Orders                float64
	Consent               []share
	Loss                  lossReading
	Risk                  []riskSum // money at risk by currency, the most first
	Success               *float64  // of all partners, within 24 hours
	// Books says what the books found, and Unaccounted how many are missing.
	Unaccounted int64
	Checked     time.Time
	File        string // the chart's numbers as a file, but for the format
	Shows       string // what the chart is of
	Shown       []overviewChart
	Chart       chart
	Names       []analytics.TopRow
	Most        float64 // of the most frequent name

	Oldest   float64 // of the ingest queues
	Waiting  int
	Partners []partnerView
	Needs    []need
}

// overviewChart is what the overview's chart can be of; the tiles lead from one to the other.
type overviewChart struct{ Key, Title string }

var overviewCharts = []overviewChart{{"events", "Events"}, {"visitors", "Visitors"}, {"revenue", "Revenue"}, {"purchases", "Purchases"}, {"consent", "Full consent"}}

func (a *Admin) overviewPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := overviewData{Range: chosenRange(c.QueryParam("range")), Ranges: ranges, Pixel: c.QueryParam("pixel_id"), Pixels: a.pixels(ctx)}
	if _, ok := a.seen(ctx, d.Pixel); !ok {
		d.Pixel = ""
	}
	d.Shown, d.Shows = overviewCharts, overviewCharts[0].Key
	if v := c.QueryParam("chart"); slices.ContainsFunc(d.Shown, func(c overviewChart) bool { return c.Key == v }) {
		d.Shows = v
	}
	if err := a.overview(ctx, &d); err != nil {
		return err
	}
	return a.show(c, http.StatusOK, "overview", view{Title: "Overview", Nav: "overview", Data: d})
}

func (a *Admin) overview(ctx context.Context, d *overviewData) error {
	until := a.now()
	since := until.Add(-d.Range.Span)
	events := analytics.SeriesQuery{Metric: analytics.MetricEvents, PixelID: d.Pixel, Since: since, Until: until, Step: d.Range.Step}
	var current, before, recent []analytics.Series
	var queues []queueView
	all, within := errgroup.WithContext(ctx)
	// They have nothing to do with one another.
	all.Go(func() (err error) {
		current, before, err = a.compared(within, events)
		return err
	})
	all.Go(func() (err error) {
		last := events
		last.Since, last.Step = until.Add(-5*time.Minute), analytics.Minute
		recent, err = a.o.Events.Series(within, last)
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
		d.Grown = against(d.Events, was, "", d.Range.Before())
	}
	if err := a.overviewChart(ctx, d, events, current, before); err != nil {
		return err
	}
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
				d.Earned = against(d.Revenue[0].Value, r.Value, r.Group, d.Range.Before())
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
		d.Agreed = against(100*now, 100*before, perHundred, d.Range.Before())
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

// Accepted and its kin are for templates.
func (v partnerView) Accepted() int { return v.Last24h[string(event.Accepted)] }

// Rejected counts what the partner refused within 24 hours.
func (v partnerView) Rejected() int { return v.Last24h[string(event.Rejected)] }

// NotSent counts what we chose not to send within 24 hours.
func (v partnerView) NotSent() int { return v.Last24h[string(event.NotSent)] }

// Retried counts attempts within 24 hours that will be repeated.
func (v partnerView) Retried() int { return v.Last24h[string(event.Retry)] }
