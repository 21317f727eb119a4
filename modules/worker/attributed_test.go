package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// memory is a state in memory. It can stop, and let somebody else in between.
type memory struct {
	state.Keys

	mu      sync.Mutex
	values  map[string][]byte
	trips   int
	between func() // before a swap
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (m *memory) Get(_ context.Context, keys ...string) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips++
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = m.values[k]
	}
	return out, nil
}

func (m *memory) SwapAll(_ context.Context, changes ...state.Change) ([][]byte, error) {
	if m.between != nil {
		between := m.between
		m.between = nil
		between()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips++
	out := make([][]byte, len(changes))
	for i, c := range changes {
		if old := m.values[c.Key]; bytes.Equal(old, c.Old) && (old == nil) == (c.Old == nil) {
			m.values[c.Key] = c.Value
		}
		out[i] = m.values[c.Key]
	}
	return out, nil
}

func (m *memory) Delete(_ context.Context, keys ...string) error {
	for _, k := range keys {
		delete(m.values, k)
	}
	return nil
}

// ledgerOf keeps credits as a store does.
type ledgerOf struct {
	sets    map[string]event.Credits
	touches map[string]event.Touchpoint
	fail    bool
}

func (l *ledgerOf) WriteTouches(_ context.Context, touches ...event.Touchpoint) error {
	for _, t := range touches {
		if old, ok := l.touches[t.ID]; !ok || t.At.Before(old.At) {
			l.touches[t.ID] = t
		}
	}
	return nil
}

func (l *ledgerOf) WriteCredits(_ context.Context, sets ...event.Credits) error {
	if l.fail {
		return fmt.Errorf("the store is away")
	}
	for _, s := range sets {
		if k := s.EventID + " " + s.Model; s.Version >= l.sets[k].Version {
			l.sets[k] = s
		}
	}
	return nil
}

// String is what is stored, without the versions, which tell how it came about.
func (l *ledgerOf) String() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(l.sets)) {
		s := l.sets[k]
		s.Version = 0
		j, _ := json.Marshal(s)
		fmt.Fprintf(&b, "%s %s\n", k, j)
	}
	return b.String()
}

func (l *ledgerOf) Touches() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(l.touches)) {
		fmt.Fprintf(&b, "%s %s %s\n", k, l.touches[k].Channel, l.touches[k].At)
	}
	return b.String()
}

// attributed is a step on its own.
type attributed struct {
	attributor
	ledger *ledgerOf
}

func newAttributed(keys state.Keys) *attributed {
	l := &ledgerOf{sets: map[string]event.Credits{}, touches: map[string]event.Touchpoint{}}
	return &attributed{attributor{keys: keys}, l}
}

func (a *attributed) take(items ...*item) error {
	var list []*told
	for _, it := range items {
		if t := tell(it); t != nil {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return nil
	}
	touches, sets, err := a.apply(context.Background(), list)
	if err != nil {
		return err
	}
	return errors.Join(a.ledger.WriteTouches(context.Background(), touches...), a.ledger.WriteCredits(context.Background(), sets...))
}

// percent is what a model gives a conversion, "paid_search 40 email 60".
func (a *attributed) percent(eventID, model string) string {
	var out []string
	for _, s := range a.ledger.sets[eventID+" "+model].Shares {
		out = append(out, s.Channel, fmt.Sprint(float64(s.Weight)/10_000))
	}
	return strings.Join(out, " ")
}

var begin = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// happened makes an event of a visitor as the steps before leave it: "visit <channel>",
// or an event's name.
func happened(id, visitor, what string, at time.Time, change ...func(*item)) *item {
	it := &item{known: true, pixel: settings.Pixel{ID: "px"}}
	e := &it.event
	*e = event.Event{
		ID: id, PixelID: "px", Name: "page_view", Time: at, ReceivedAt: at.Add(time.Second), Verdict: event.Verdict{State: event.Full},
		Subject: event.Subject{VisitorID: visitor, AnonymousID: visitor},
	}
	e.Context.Page.URL = "https://shop.example/"
	e.Enrichment.Referrer.Kind = "internal"
	x := &e.Enrichment
	switch what {
	case "visit email":
		x.Referrer.Kind, x.Campaign = "mail", event.Campaign{Source: "newsletter", Medium: "email", Name: "spring"}
	case "visit ads":
		x.Referrer.Kind = "paid"
		e.Context.Page.URL += "?gclid=abc&utm_source=google"
		x.Campaign.Source = "google"
	case "visit search":
		x.Referrer = event.Referrer{Kind: "search", Name: "Google", Host: "google.com"}
	case "visit direct":
		x.Referrer.Kind = "direct"
	case "impression", "click":
		e.Name, e.Context.Page.URL = what, ""
		e.Properties = []byte(`{"partner":"ttd","campaign":"autumn"}`)
	default:
		e.Name = what
	}
	for _, c := range change {
		c(it)
	}
	return it
}

func order(id, value string) func(*item) {
	return func(it *item) {
		it.event.Order.ID, it.event.Order.Value = id, event.Amount(value)
		if value != "" {
			it.event.Order.Currency = "EUR"
		}
	}
}

func partialConsent(it *item) { it.event.Verdict.State = event.Partial }

func linked(visitors ...string) func(*item) {
	return func(it *item) { it.linked = visitors }
}
