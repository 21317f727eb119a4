package admin

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v5"
	"golang.org/x/sync/errgroup"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// share is one consent state's part.
type share struct {
	State  string  `json:"state"`
	Events int     `json:"events"`
	Share  float64 `json:"share"`
}

// consentStep is what was received in a step, by consent. Of what consent forbade
// to store nothing is kept but the number (Suppressed), by the hour of receipt.
type consentStep struct {
	Time       time.Time `json:"time"`
	Full       int64     `json:"full"`
	Partial    int64     `json:"partial"`
	Suppressed int64     `json:"suppressed"`
	FullRate   float64   `json:"full_rate"`  // of all
	GivenRate  float64   `json:"given_rate"` // full or partial, of all
	// Before is the same step of the period before, where it is asked for.
	Before *consentStep `json:"before,omitempty"`
}

func (s *consentStep) all() int64 { return s.Full + s.Partial + s.Suppressed }

// add adds a step's counts, and works the rates out anew.
func (s *consentStep) add(o consentStep) {
	s.Full, s.Partial, s.Suppressed = s.Full+o.Full, s.Partial+o.Partial, s.Suppressed+o.Suppressed
	if all := float64(s.all()); all > 0 {
		s.FullRate, s.GivenRate = float64(s.Full)/all, float64(s.Full+s.Partial)/all
	}
}

// fullRate and givenRate are the rates of a hundred; NaN where there was no event.
func (s *consentStep) fullRate() float64  { return s.rate(s.FullRate) }
func (s *consentStep) givenRate() float64 { return s.rate(s.GivenRate) }

func (s *consentStep) rate(of float64) float64 {
	if s.all() == 0 {
		return math.NaN()
	}
	return 100 * of
}

// counts are those of the chart.
func (s *consentStep) counts() []float64 {
	return []float64{float64(s.Full), float64(s.Partial), float64(s.Suppressed)}
}

func (a *Admin) consentReport(c *echo.Context) error {
	q := a.query(c)
	pixel, since, until, zone, by := q.text("pixel_id"), q.time("since"), q.time("until"), q.text("zone"), q.text("step")
	format, compare := q.choice("format", "json", formats...), q.compare()
	defaults(&since, &until, q.now)
	if !since.Before(until) {
		q.fail("since", "must lie before until")
	}
	step := analytics.Step("")
	if by != "" {
		var err error
		if step, err = analytics.ParseStep(by); err == nil {
			step, err = hourly(step), analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: since, Until: until, Step: hourly(step), Zone: zone}.Check()
		}
		q.invalid("step", err)
	}
	if compare && by == "" {
		q.fail("compare", "needs a step")
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	if step != "" {
		read := a.consentSteps
		if compare {
			read = a.comparedConsent
		}
		steps, err := read(ctx, pixel, since, until, step, zone)
		if err != nil {
			return err
		}
		if format != "json" {
			return consentSheet(c, format, steps, compare)
		}
		return c.JSON(http.StatusOK, items(steps, ""))
	}
	shares, err := a.consentShares(ctx, pixel, since, until)
	if err != nil {
		return err
	}
	if format != "json" {
		out := download(c, "consent", format, []column{{"state", ""}, {"events", int64(0)}, {"share", 0.0}})
		for _, s := range shares {
			if err := out.row(s.State, int64(s.Events), s.Share); err != nil {
				return err
			}
		}
		return out.end()
	}
	return c.JSON(http.StatusOK, items(shares, ""))
}

// consentSheet is consent over time as a table.
func consentSheet(c *echo.Context, format string, steps []consentStep, compare bool) error {
	columns := []column{{"time", time.Time{}}}
	for _, when := range []string{"", "_before"} {
		if when == "" || compare {
			columns = append(append(columns, columnsOf(int64(0), "full"+when, "partial"+when, "suppressed"+when)...), columnsOf(0.0, "full_rate"+when, "given_rate"+when)...)
		}
	}
	out := download(c, "consent", format, columns)
	for _, s := range steps {
		line := []any{s.Time, s.Full, s.Partial, s.Suppressed, s.FullRate, s.GivenRate}
		if b := s.Before; compare {
			line = append(line, b.Full, b.Partial, b.Suppressed, b.FullRate, b.GivenRate)
		}
		if err := out.row(line...); err != nil {
			return err
		}
	}
	return out.end()
}

// hourly is the step, or an hour where it is shorter: what is not stored is counted
// by the hour.
func hourly(s analytics.Step) analytics.Step {
	if s.Usual() < time.Hour {
		return analytics.Hour
	}
	return s
}

// consentSteps puts what is stored beside what consent forbade to store.
func (a *Admin) consentSteps(ctx context.Context, pixel string, since, until time.Time, step analytics.Step, zone string) ([]consentStep, error) {
	q := analytics.SeriesQuery{Metric: analytics.MetricEvents, PixelID: pixel, Since: since, Until: until, Step: step, Zone: zone, GroupBy: "consent"}
	starts, err := q.Starts()
	if err != nil {
		return nil, err
	}
	list, err := a.o.Events.Series(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]consentStep, len(starts))
	for i, t := range starts {
		out[i].Time = t.UTC()
	}
	for _, s := range list {
		for i, p := range s.Points {
			switch event.State(s.Group) {
			case event.Full:
				out[i].Full += int64(p.Value)
			case event.Partial:
				out[i].Partial += int64(p.Value)
			}
		}
	}
	books, err := a.books(ctx, since, until)
	if err != nil {
		return nil, err
	}
	for _, b := range books {
		if pixel != "" && b.Pixel != pixel || len(starts) == 0 {
			continue
		}
		out[stepOf(starts, b.Hour)].Suppressed += b.Suppressed
	}
	for i := range out {
		out[i].add(consentStep{})
	}
	return out, nil
}

// comparedConsent puts those of the period before beside them.
func (a *Admin) comparedConsent(ctx context.Context, pixel string, since, until time.Time, step analytics.Step, zone string) ([]consentStep, error) {
	var now, before []consentStep
	both, within := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		now, err = a.consentSteps(within, pixel, since, until, step, zone)
		return err
	})
	both.Go(func() (err error) {
		before, err = a.consentSteps(within, pixel, since.Add(-until.Sub(since)), since, step, zone)
		return err
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	for i := range now {
		now[i].Before = &consentStep{}
		if i < len(before) {
			now[i].Before = &before[i]
		}
	}
	return now, nil
}

// consentShares splits stored events by consent. What consent forbade to store
// is not among them.
func (a *Admin) consentShares(ctx context.Context, pixel string, since, until time.Time) ([]share, error) {
	rows, err := a.o.Events.Top(ctx, analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "consent", PixelID: pixel, Since: since, Until: until})
	if err != nil {
		return nil, err
	}
	total, by := 0.0, map[string]float64{}
	for _, r := range rows {
		total += r.Value
		by[r.Group] += r.Value
	}
	var out []share
	for _, s := range []event.State{event.Full, event.Partial, event.None} {
		if n, ok := by[string(s)]; ok || s != event.None {
			out = append(out, share{string(s), int(n), n / max(total, 1)})
		}
	}
	return out, nil
}
