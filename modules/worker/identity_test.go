package worker

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/state"
)

// watched is a state that says how many identifiers were looked for.
type watched struct {
	state.Keys

	mu     sync.Mutex
	looked int
}

func (w *watched) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range keys {
		if strings.HasPrefix(k, "id:") {
			w.looked++
		}
	}
	return w.Keys.Get(ctx, keys...)
}

func (w *watched) since() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.looked
	w.looked = 0
	return n
}

func TestABrowserIsLookedUpWithItsFirstPageOfADay(t *testing.T) {
	x := setup(t)
	keys := &watched{Keys: x.keys}
	x.deps.People = identity.New(keys, x.store, identity.Usual, nil)
	x.start()
	at := time.Now().Add(-80 * time.Hour).UTC()
	for _, c := range []struct {
		what   string
		after  time.Duration
		user   string
		law    string // us_privacy
		looked int
	}{
		{"the first page", 0, "", "1YNN", 1},
		{"another", time.Minute, "", "1YNN", 0},
		{"a customer signs in", time.Minute, "customer-1", "1YNN", 2},
		{"a page of the same day", time.Hour, "", "1YNN", 0},
		{"the next day", 24 * time.Hour, "", "1YNN", 1},
		{"a page more", time.Minute, "", "1YNN", 0},
		{"less is allowed: links are taken back", time.Minute, "", "1YYN", 3},
		{"and all again", time.Minute, "", "1YNN", 1},
		{"a page of the same day again", time.Minute, "", "1YNN", 0},
	} {
		at = at.Add(c.after)
		state := event.Full
		if c.law != "1YNN" {
			state = event.Partial
		}
		x.push(purchase(c.what, func(e *event.Event) {
			e.Name, e.Order, e.Time, e.ReceivedAt = "page_view", event.Order{}, at, at
			e.Context.Page = event.Page{URL: "https://shop.example.com/shoes", Referrer: "https://shop.example.com/"}
			e.Subject.AnonymousID, e.Subject.UserID = "anon-1", c.user
			e.Consent.USPrivacy, e.Verdict = c.law, event.Verdict{State: state, Regime: "us", Rule: "R5/U7"}
		}))
		x.done()
		if n := keys.since(); n != c.looked {
			t.Errorf("%s: %d identifiers were looked for, want %d", c.what, n, c.looked)
		}
	}
}
