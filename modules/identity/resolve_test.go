package identity

import (
	"context"
	"errors"
	"testing"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

// claims is the state's Claim in memory.
type claims struct {
	m     map[string][]byte
	trips int
	err   error
}

func (c *claims) Claim(_ context.Context, entries ...state.Entry) ([][]byte, error) {
	c.trips++
	if c.err != nil {
		return nil, c.err
	}
	out := make([][]byte, len(entries))
	for i, e := range entries {
		if _, ok := c.m[e.Key]; !ok {
			c.m[e.Key] = e.Value
		}
		out[i] = c.m[e.Key]
	}
	return out, nil
}

func full(pixel string, s event.Subject) *event.Event {
	return &event.Event{PixelID: pixel, Verdict: event.Verdict{State: event.Full}, Subject: s}
}

func TestResolve(t *testing.T) {
	partial := full("px", event.Subject{AnonymousID: "phone", UserID: "u1", Email: "d1"})
	partial.Verdict.State = event.Partial
	nameless := full("px", event.Subject{UserID: "u1"})
	nameless.Verdict.State = event.Partial
	for _, c := range []struct {
		name   string
		events []*event.Event
		want   []string // "=n": the same as event n
	}{
		{"a browser's id is its visitor", []*event.Event{full("px", event.Subject{AnonymousID: "a"})}, []string{"a"}},
		{"nobody is nobody", []*event.Event{full("px", event.Subject{})}, []string{""}},
		{"a customer's second browser stays itself", []*event.Event{
			full("px", event.Subject{AnonymousID: "a", UserID: "u1"}), full("px", event.Subject{AnonymousID: "b", UserID: "u1"}),
		}, []string{"a", "b"}},
		{"a server's event belongs to the customer's first browser", []*event.Event{
			full("px", event.Subject{AnonymousID: "a", UserID: "u1"}), full("px", event.Subject{UserID: "u1"}),
		}, []string{"a", "a"}},
		{"by e-mail too", []*event.Event{
			full("px", event.Subject{AnonymousID: "a", Email: "d1"}), full("px", event.Subject{Email: "d1"}),
		}, []string{"a", "a"}},
		{"the customer id goes before the e-mail", []*event.Event{
			full("px", event.Subject{AnonymousID: "a", UserID: "u1"}), full("px", event.Subject{AnonymousID: "b", Email: "d1"}),
			full("px", event.Subject{UserID: "u1", Email: "d1"}),
		}, []string{"a", "b", "a"}},
		{"servers' events of a customer without a browser hold together", []*event.Event{
			full("px", event.Subject{UserID: "u1"}), full("px", event.Subject{UserID: "u1", Email: "d1"}), full("px", event.Subject{Email: "d1"}),
		}, []string{"=1", "=0", "=0"}},
		{"pixels do not mix", []*event.Event{
			full("px", event.Subject{AnonymousID: "a", UserID: "u1"}), full("py", event.Subject{AnonymousID: "b", UserID: "u1"}), full("py", event.Subject{UserID: "u1"}),
		}, []string{"a", "b", "b"}},
		{"a customer id is no e-mail", []*event.Event{
			full("px", event.Subject{AnonymousID: "a", UserID: "same"}), full("px", event.Subject{AnonymousID: "b", Email: "same"}), full("px", event.Subject{Email: "same"}),
		}, []string{"a", "b", "b"}},
		{"partial consent does not link", []*event.Event{
			partial, full("px", event.Subject{AnonymousID: "b", UserID: "u1"}), full("px", event.Subject{UserID: "u1"}), nameless,
		}, []string{"phone", "b", "b", ""}},
	} {
		for _, together := range []bool{true, false} {
			name := c.name + map[bool]string{true: ", in one batch", false: ", one by one"}[together]
			t.Run(name, func(t *testing.T) {
				keys := &claims{m: map[string][]byte{}}
				resolve := func() {
					if together {
						if err := Resolve(t.Context(), keys, c.events...); err != nil {
							t.Fatal(err)
						}
						return
					}
					for _, e := range c.events {
						if err := Resolve(t.Context(), keys, e); err != nil {
							t.Fatal(err)
						}
					}
				}
				check := func() {
					t.Helper()
					for i, e := range c.events {
						want := c.want[i]
						if len(want) > 0 && want[0] == '=' {
							want = c.events[want[1]-'0'].Subject.VisitorID
							if want == "" {
								t.Errorf("event %d has no visitor", i)
							}
						}
						if e.Subject.VisitorID != want {
							t.Errorf("event %d: visitor %q, want %q", i, e.Subject.VisitorID, want)
						}
					}
				}
				resolve()
				if together && keys.trips > 1 {
					t.Errorf("%d round trips for one batch", keys.trips)
				}
				check()
				resolve() // a replay
				check()
			})
		}
	}
}

func TestAnOutageIsAnError(t *testing.T) {
	down := errors.New("down")
	err := Resolve(t.Context(), &claims{err: down}, full("px", event.Subject{AnonymousID: "a", UserID: "u"}))
	if !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}
