package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
)

const (
	liveEvery = 500 * time.Millisecond // how often the store is asked
	liveBeat  = 15 * time.Second       // how often something is sent at least, so that proxies keep the stream
	liveBatch = 100                    // events in one answer; more follow in the next
)

// liveEvent is what a stream shows of an event.
type liveEvent struct {
	ID         string       `json:"id"`
	PixelID    string       `json:"pixel_id"`
	Name       string       `json:"name"`
	ReceivedAt time.Time    `json:"received_at"`
	Consent    event.State  `json:"consent"`
	Value      event.Amount `json:"value,omitempty"`
	Currency   string       `json:"currency,omitempty"`
	Path       string       `json:"path,omitempty"`
	Device     string       `json:"device,omitempty"`
	Source     string       `json:"source,omitempty"`
	Bot        string       `json:"bot,omitempty"`
}

func liveOf(e event.Event) liveEvent {
	return liveEvent{e.ID, e.PixelID, e.Name, e.ReceivedAt, e.Verdict.State, e.Order.Value, e.Order.Currency, pagePath(e.Context.Page.URL), e.Enrichment.Device.Class, e.Source, e.Enrichment.Bot}
}

// pagePath is an address without its query, which may hold anything.
func pagePath(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host + u.EscapedPath()
}

// liveEvents streams events as they are stored, as server-sent events whose ids
// are cursors: a browser that reconnects goes on where it was. The store is
// asked only while somebody watches.
func (a *Admin) liveEvents(c *echo.Context) error {
	q := a.query(c)
	f := analytics.EventFilter{PixelID: q.text("pixel_id"), Name: q.text("name"), Limit: liveBatch}
	if state := q.text("consent"); state != "" {
		f.Where = []analytics.Condition{{Dimension: "consent", Values: []string{q.choice("consent", state, "full", "partial")}}}
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	f.After = c.Request().Header.Get("Last-Event-ID")
	if f.After == "" {
		newest, err := a.o.Events.Events(ctx, analytics.EventFilter{Limit: 1})
		if err != nil {
			return err
		}
		f.After = newest.Newest
	}
	w := c.Response()
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	a.watchers.Inc()
	defer a.watchers.Dec()
	if err := say(w, control, "retry: 2000\n\n"); err != nil {
		return nil
	}
	poll, beat := time.NewTicker(liveEvery), time.NewTicker(liveBeat)
	defer poll.Stop()
	defer beat.Stop()
	for {
		var text string
		select {
		case <-ctx.Done():
			return nil
		case <-httpserver.Draining(ctx):
			return nil
		case <-beat.C:
			text = ": still here\n\n"
		case <-poll.C:
			var err error
			if text, err = a.news(ctx, &f); err != nil {
				if ctx.Err() == nil {
					a.o.Log.Warn("live events could not be read", "error", err)
				}
				return nil // the browser asks again
			}
		}
		if text == "" {
			continue
		}
		// A watcher that reads nothing must not hold its stream for ever.
		_ = control.SetWriteDeadline(time.Now().Add(30 * time.Second))
		if say(w, control, text) != nil {
			return nil
		}
	}
}

// news reads what was stored since, and moves the filter on.
func (a *Admin) news(ctx context.Context, f *analytics.EventFilter) (string, error) {
	page, err := a.o.Events.Events(ctx, *f)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	for i, e := range page.Events {
		body, err := json.Marshal(liveOf(e))
		if err != nil {
			return "", err
		}
		// Only the last carries a cursor: a batch is taken whole, or asked again.
		if i == len(page.Events)-1 {
			fmt.Fprintf(&b, "id: %s\n", page.Newest)
		}
		fmt.Fprintf(&b, "data: %s\n\n", body)
	}
	f.After = page.Newest
	return b.String(), nil
}

func say(w http.ResponseWriter, control *http.ResponseController, text string) error {
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	return control.Flush()
}
