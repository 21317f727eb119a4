package worker

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
)

// acme is a partner of whom the worker needs the Spec alone.
type acme struct{ name string }

func (a acme) Spec() partner.Spec {
	return partner.Spec{
		Name: a.name, Title: a.name, Consent: partner.Needs{VendorID: 7},
		Keys: []partner.Key{{Name: "gclid"}, {Name: "email", Usual: true}},
		Carries: func(_ jsontext.Value, d event.Delivery) []string {
			if d.Event.ID == "panic" {
				panic("personal data")
			}
			if d.Event.Subject.ClickIDs["gclid"] == "" {
				return nil
			}
			return []string{"gclid"}
		},
	}
}

func (acme) Group(event.Delivery) string { return "" }

func (acme) Encode(context.Context, partner.Batch) (*http.Request, []partner.Result, error) {
	return nil, nil, nil
}

func (acme) Decode(partner.Answer, []event.Delivery) partner.Receipt { return partner.Receipt{} }

func (acme) Sandbox(func(partner.Received)) http.Handler { return nil }

// shelf is the archive in memory, by event.
type shelf struct {
	mu      sync.Mutex
	records map[string]event.Event
	err     error
}

func (s *shelf) Write(_ context.Context, events ...event.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	for _, e := range events {
		s.records[e.PixelID+"/"+e.ID] = e
	}
	return nil
}

func (s *shelf) Read(context.Context, archive.Filter) iter.Seq2[archive.Record, error] { return nil }

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *shelf) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.records))
}

// site is the settings in memory. What is in late is there only after a Refresh.
type site struct {
	mu       sync.Mutex
	pixels   map[string]settings.Pixel
	late     map[string]settings.Pixel
	partners map[string]settings.Mode
}

func (s *site) Pixel(id string) (settings.Pixel, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pixels[id]
	return p, ok
}

func (s *site) Partner(name string) settings.Partner {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := s.partners[name]; ok {
		return settings.Partner{Name: name, Mode: m}
	}
	return settings.Partner{Name: name, Mode: settings.On}
}

func (s *site) Refresh(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.pixels, s.late)
	return nil
}
