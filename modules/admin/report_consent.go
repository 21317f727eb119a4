package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v5"

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
}

func (a *Admin) consentReport(c *echo.Context) error {
	q := a.query(c)
	pixel, since, until, zone, by := q.text("pixel_id"), q.time("since"), q.time("until"), q.text("zone"), q.text("step")
	format := q.choice("format", "json", formats...)
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
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	if step != "" {
		steps, err := a.consentSteps(ctx, pixel, since, until, step, zone)
		if err != nil {
			return err
		}
		if format != "json" {
			out := download(c, "consent", format, append(append([]column{{"time", time.Time{}}}, columnsOf(int64(0), "full", "partial", "suppressed")...), columnsOf(0.0, "full_rate", "given_rate")...))
			for _, s := range steps {
				if err := out.row(s.Time, s.Full, s.Partial, s.Suppressed, s.FullRate, s.GivenRate); err != nil {
					return err
				}
			}
			return out.end()
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
		i, exact := slices.BinarySearchFunc(starts, b.Hour, time.Time.Compare)
		if !exact {
			i = max(0, i-1)
		}
		out[i].Suppressed += b.Suppressed
	}
	for i := range out {
		s := &out[i]
		if all := float64(s.Full + s.Partial + s.Suppressed); all > 0 {
			s.FullRate, s.GivenRate = float64(s.Full)/all, float64(s.Full+s.Partial)/all
		}
	}
	return out, nil
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
