// Package sandbox serves imitations of every partner under one address, for
// tests, for the demo and for trying a configuration without a partner's
// account. Each imitation is the adapter's own; this package adds the faults
// that can be switched on, remembers what arrived, and shows it on a page.
//
// What it remembers is bounded, and gone when the process ends.
package sandbox

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/miq/pixel/modules/partner"
)

// Server is the sandbox: an http.Handler for
//
//	/{partner}/…     the partner's endpoints, by their own paths
//	/control         the faults: GET shows them, POST {"partner","slow_ms",…} sets them
//	/received.json   what arrived, newest first: ?partner=&since=&limit=
//	/                the same as a page
type Server struct {
	mux      *http.ServeMux
	partners []*imitation
	adapters []partner.Adapter

	mu       sync.Mutex
	received []Entry // oldest first
	last     int64
	taken    map[string]figures
	keep     int
}

// Keep is how many exchanges a Server remembers unless told otherwise, and keepBytes how
// much of each body and answer.
const (
	Keep      = 1000
	keepBytes = 64 << 10
)

// Entry is an exchange with its number, from 1.
type Entry struct {
	Seq int64 `json:"seq"`
	partner.Received
	// Fault names the fault that was switched on and made this answer, if any.
	Fault string `json:"fault,omitempty"`
}

// New serves the sandboxes of adapters.
func New(adapters []partner.Adapter) *Server {
	s := &Server{mux: http.NewServeMux(), adapters: adapters, taken: map[string]figures{}, keep: Keep}
	for _, a := range adapters {
		spec := a.Spec()
		i := &imitation{spec: spec, tokens: map[string]bool{}, revoked: map[string]bool{}}
		i.record = func(r partner.Received, fault string) { s.add(Entry{Received: r, Fault: fault}) }
		i.next = a.Sandbox(func(r partner.Received) { i.record(r, "") })
		if u, err := url.Parse(spec.TokenURL); err == nil {
			i.tokenPath = u.Path
		}
		if spec.Connect != nil {
			if u, err := url.Parse(spec.Connect.AuthorizeURL); err == nil {
				i.authorizePath = u.Path
			}
		}
		s.partners = append(s.partners, i)
		s.mux.Handle("/"+spec.Name+"/", http.StripPrefix("/"+spec.Name, i))
	}
	s.mux.HandleFunc("GET /control", s.showControl)
	s.mux.HandleFunc("POST /control", s.setControl)
	s.mux.HandleFunc("GET /received.json", s.showReceived)
	s.mux.HandleFunc("DELETE /received.json", s.forget)
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	s.mux.HandleFunc("GET /{$}", page)
	s.mux.HandleFunc("GET /page.css", asset("text/css; charset=utf-8", pageCSS))
	s.mux.HandleFunc("GET /page.js", asset("text/javascript; charset=utf-8", pageJS))
	return s
}

// ServeHTTP serves all of it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Address is where a partner's calls go when they go to a sandbox.
type Address struct {
	Endpoint string
	TokenURL string // empty where the partner needs no token
	// AuthorizeURL is empty where no account can be connected.
	AuthorizeURL string
}

// Endpoints are the addresses by partner's name of a sandbox that is served at
// base, such as http://localhost:9090: what to configure as endpoint and
// token_url.
func Endpoints(base string, adapters []partner.Adapter) map[string]Address {
	base = strings.TrimSuffix(base, "/")
	out := make(map[string]Address, len(adapters))
	for _, a := range adapters {
		spec := a.Spec()
		at := func(own string) string {
			u, err := url.Parse(own)
			if err != nil || own == "" {
				return ""
			}
			return base + "/" + spec.Name + u.Path
		}
		a := Address{Endpoint: at(spec.Endpoint), TokenURL: at(spec.TokenURL)}
		if spec.Connect != nil {
			a.AuthorizeURL = at(spec.Connect.AuthorizeURL)
		}
		out[spec.Name] = a
	}
	return out
}

// Received is what arrived for a partner, or for all where the name is empty,
// oldest first.
func (s *Server) Received(name string) []Entry {
	out, _ := s.snapshot(name)
	return out
}

// snapshot is Received, with the number of the newest entry of all.
func (s *Server) snapshot(name string) ([]Entry, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Entry
	for _, e := range s.received {
		if name == "" || e.Partner == name {
			out = append(out, e)
		}
	}
	return out, s.last
}

// figures are what a partner took since the sandbox was started.
type figures struct{ requests, taken, repeats int }

// count adds an exchange to the figures. What carries no event id is counted by its
// order ids.
func (s *Server) count(e Entry) {
	f := s.taken[e.Partner]
	f.requests++
	if e.Status >= 200 && e.Status < 300 {
		events := len(e.EventIDs)
		if events == 0 {
			events = len(e.OrderIDs)
		}
		f.taken += events - len(e.Duplicates)
		f.repeats += len(e.Duplicates)
	}
	s.taken[e.Partner] = f
}

// Remember sets how many exchanges are kept, for whoever must see all of many.
func (s *Server) Remember(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = n
}

// Forget drops what arrived.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = nil
}

func (s *Server) add(e Entry) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if len(e.Body) > keepBytes {
		e.Body = shortened(e.Body)
	}
	e.Answer = partner.Cut(e.Answer, keepBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	e.Seq = s.last
	s.count(e)
	if len(s.received) >= s.keep {
		copy(s.received, s.received[1:])
		s.received[len(s.received)-1] = e
		return
	}
	s.received = append(s.received, e)
}
