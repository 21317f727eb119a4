package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// The tag numbers its events in each tab. A number between two that came, which came
// itself not, is an event that was lost on its way or refused. What a tab loses before
// its first and after its last that came, nobody can see.

const (
	// lossSample is how many of the newest events the meter looks at.
	lossSample = 5000
	// lossGrace is for events that are on their way, or tried again by their tab.
	lossGrace = 2 * time.Minute
	// lossAge is how long a reading is shown before it is taken anew, and lossOld before
	// that is waited for.
	lossAge, lossOld = time.Minute, 30 * time.Minute
	// lossPatience is how long the overview waits for the first one. It asks again in seconds.
	lossPatience = 100 * time.Millisecond
)

// lossReading is what the loss meter says.
type lossReading struct {
	// Since is the oldest event's receipt that was looked at, and At when.
	Since time.Time `json:"since,omitzero"`
	At    time.Time `json:"-"`
	Total lossRow   `json:"total"`
	Items []lossRow `json:"items"` // by browser, the most events first
	// Image counts events that came by the image alone: from pages where the script
	// does not run, or is blocked.
	Image   int  `json:"image"`
	Looked  int  `json:"looked_at"`
	Partial bool `json:"partial"` // there are more events in the range than were looked at
}

// lossRow is one browser's.
type lossRow struct {
	Browser string  `json:"browser"`
	Tabs    int     `json:"tabs"`
	Sent    int     `json:"sent"` // numbers between the first and the last that came
	Missing int     `json:"missing"`
	Share   float64 `json:"share"`
}

// tab is what came of one tab of one pixel.
type tab struct {
	browser     string
	numbers     map[int]bool
	first, last int
}

// lossOf reads the meter over events.
func lossOf(events []event.Event) lossReading {
	r := lossReading{Looked: len(events), Items: []lossRow{}}
	tabs := map[string]*tab{}
	for _, e := range events {
		if r.Since.IsZero() || e.ReceivedAt.Before(r.Since) {
			r.Since = e.ReceivedAt
		}
		if e.Source == "pixel" {
			r.Image++
		}
		if e.Seq < 1 || e.Context.Tab == "" {
			continue
		}
		key := e.PixelID + " " + e.Context.Tab
		t := tabs[key]
		if t == nil {
			t = &tab{browser: cmp.Or(e.Enrichment.Device.Browser, "unknown"), numbers: map[int]bool{}, first: e.Seq, last: e.Seq}
			tabs[key] = t
		}
		t.numbers[e.Seq] = true
		t.first, t.last = min(t.first, e.Seq), max(t.last, e.Seq)
	}
	by := map[string]*lossRow{}
	for _, t := range tabs {
		row := by[t.browser]
		if row == nil {
			row = &lossRow{Browser: t.browser}
			by[t.browser] = row
		}
		for _, x := range []*lossRow{row, &r.Total} {
			x.Tabs++
			x.Sent += t.last - t.first + 1
			x.Missing += t.last - t.first + 1 - len(t.numbers)
		}
	}
	for _, row := range by {
		row.Share = float64(row.Missing) / float64(max(row.Sent, 1))
		r.Items = append(r.Items, *row)
	}
	r.Total.Share = float64(r.Total.Missing) / float64(max(r.Total.Sent, 1))
	slices.SortFunc(r.Items, func(x, y lossRow) int { return cmp.Or(y.Sent-x.Sent, cmp.Compare(x.Browser, y.Browser)) })
	return r
}

// loss reads it over the newest events of a range.
func (a *Admin) loss(ctx context.Context, pixel string, since, until time.Time) (lossReading, error) {
	if limit := a.now().Add(-lossGrace); until.After(limit) {
		until = limit
	}
	f := analytics.EventFilter{PixelID: pixel, Since: since, Until: until, Limit: 1000}
	var events []event.Event
	for len(events) < lossSample {
		page, err := a.o.Events.Events(ctx, f)
		if err != nil {
			return lossReading{}, err
		}
		events = append(events, page.Events...)
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	r := lossOf(events)
	r.Partial, r.At = f.Cursor != "", a.now()
	return r, nil
}

// lossMemory keeps readings for a while, since taking one reads thousands of events.
type lossMemory struct {
	mu   sync.Mutex
	last map[string]*lossKept
}

type lossKept struct {
	at      time.Time
	reading lossReading
	err     error
	taking  chan struct{} // closed once a newer one is there; nil: none is on its way
}

// lossLately is the reading of a range that ends now. One that is older than lossAge is
// taken anew behind the reader's back, who has the last meanwhile; one that is much older
// is waited for, as long as the reader has patience. A reading without a time is none yet.
func (a *Admin) lossLately(ctx context.Context, pixel string, long, patience time.Duration) (lossReading, error) {
	// What others may see is not for all.
	key := strings.Join(append([]string{pixel, long.String()}, whoOf(ctx).Advertisers...), "\x00")
	m, now := &a.lossKept, a.now()
	m.mu.Lock()
	if m.last == nil || len(m.last) > 1000 {
		m.last = map[string]*lossKept{}
	}
	k := m.last[key]
	if k == nil {
		k = &lossKept{}
		m.last[key] = k
	}
	age := now.Sub(k.at)
	good := !k.at.IsZero() && age >= 0 && age < lossOld
	if (!good || age >= lossAge) && k.taking == nil {
		k.taking = make(chan struct{})
		go a.takeLoss(context.WithoutCancel(ctx), k, pixel, now, long)
	}
	reading, taking := k.reading, k.taking
	m.mu.Unlock()
	if good {
		return reading, nil
	}
	enough := time.NewTimer(patience)
	defer enough.Stop()
	select {
	case <-taking:
		m.mu.Lock()
		defer m.mu.Unlock()
		return k.reading, k.err
	case <-enough.C:
		return lossReading{Items: []lossRow{}}, nil
	case <-ctx.Done():
		return lossReading{}, ctx.Err()
	}
}

// takeLoss takes a reading for those who want it next.
func (a *Admin) takeLoss(ctx context.Context, k *lossKept, pixel string, now time.Time, long time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := a.loss(ctx, pixel, now.Add(-long), now)
	a.lossKept.mu.Lock()
	defer a.lossKept.mu.Unlock()
	if k.err = err; err == nil {
		k.at, k.reading = now, r
	}
	close(k.taking)
	k.taking = nil
}

func (a *Admin) lossReport(c *echo.Context) error {
	q := a.query(c)
	pixel, since, until := q.text("pixel_id"), q.time("since"), q.time("until")
	format := q.choice("format", "json", formats...)
	defaults(&since, &until, q.now)
	q.within(since, until, maxBooks)
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	r, err := a.loss(ctx, pixel, since, until)
	if err != nil {
		return err
	}
	if format != "json" {
		out := download(c, "loss", format, append([]column{{"browser", ""}, {"tabs", int64(0)}, {"sent", int64(0)}, {"missing", int64(0)}}, columnsOf(0.0, "share")...))
		for _, x := range r.Items {
			if err := out.row(x.Browser, int64(x.Tabs), int64(x.Sent), int64(x.Missing), x.Share); err != nil {
				return err
			}
		}
		return out.end()
	}
	return c.JSON(http.StatusOK, r)
}

type lossData struct {
	reportView
	lossReading
}

func (a *Admin) lossPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := lossData{reportView: a.reportView(c)}
	d.file("/reports/loss")
	var err error
	if d.lossReading, err = a.lossLately(ctx, d.Pixel, d.Range.Span, timeout); err != nil {
		return err
	}
	return a.show(c, d.status(), "report_loss", view{Title: "Loss meter", Nav: "reports", Data: d})
}
