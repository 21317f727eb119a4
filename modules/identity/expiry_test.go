package identity

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
)

func TestALinkThatNobodySeesIsOverWhenTheCookieWouldBe(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	m := newMemory()
	g := New(m, m, Usual, func() time.Time { at = at.Add(time.Millisecond); return at })
	events := 0
	// with brings a browser and the digest of a mail together, and returns who the same
	// person is.
	with := func(browser, mail string) []string {
		t.Helper()
		events++
		s := &Seen{Whole: true, Event: &event.Event{
			ID: fmt.Sprint("event-", events), PixelID: "px", Source: "web", ReceivedAt: at, Verdict: event.Verdict{State: event.Full},
			Subject: event.Subject{AnonymousID: browser, Email: mail},
		}}
		if err := g.Resolve(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		slices.Sort(s.Others)
		return s.Others
	}
	is := func(when string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: the others are %v, want %v", when, got, want)
		}
	}
	later := func(days int) { at = at.AddDate(0, 0, days) }

	is("alone", with("old", "mail"))
	is("at once", with("seen", "mail"), "old")
	later(keep - 10)
	is("while both are remembered", with("seen", "mail"), "old")
	later(20) // the old browser was seen for the last time more than keep days ago
	is("when one is over", with("new", "mail"), "seen")
	if a, b := m.person("px", "old"), m.person("px", "seen"); a == b {
		t.Errorf("stored events of what is over still count as %s's", a)
	}
	is("when it comes again", with("old", "mail"), "new", "seen")
	if a, b := m.person("px", "old"), m.person("px", "seen"); a != b {
		t.Errorf("stored events count as those of %s and %s", a, b)
	}
	later(keep + renew + 1)
	is("when all is over", with("other", "mail"))
}
