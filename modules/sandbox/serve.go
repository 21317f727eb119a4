package sandbox

import (
	"bytes"
	_ "embed"
	"maps"
	"mime"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

//go:embed page.html
var pageHTML []byte

//go:embed page.css
var pageCSS []byte

//go:embed page.js
var pageJS []byte

// page is the same for everybody: what arrived is fetched by its script, and put
// in as text.
func page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(pageHTML)
}

func asset(kind string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body)
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, v)
}

func problem(w http.ResponseWriter, status int, detail string) {
	answer(w, status, map[string]any{"status": status, "title": http.StatusText(status), "detail": detail})
}

// state is what /control shows of a partner.
type state struct {
	Partner string `json:"partner"`
	Title   string `json:"title"`
	Faults  `json:",embed"`
	// Tokens is whether the partner uses access tokens that can be revoked.
	Tokens bool `json:"tokens"`
	// Since the sandbox was started: requests, events that were taken, and those
	// of them that had come before.
	Requests int `json:"requests"`
	Taken    int `json:"taken"`
	Repeats  int `json:"repeats"`
}

func (s *Server) states() []state {
	out := make([]state, 0, len(s.partners))
	s.mu.Lock()
	taken := maps.Clone(s.taken)
	s.mu.Unlock()
	for _, i := range s.partners {
		f := taken[i.spec.Name]
		out = append(out, state{
			Partner: i.spec.Name, Title: i.spec.Title, Faults: i.get(), Tokens: i.spec.Auth != partner.NoAuth,
			Requests: f.requests, Taken: f.taken, Repeats: f.repeats,
		})
	}
	return out
}

func (s *Server) showControl(w http.ResponseWriter, _ *http.Request) {
	paths := map[string]map[string]string{}
	for name, a := range Endpoints("", s.adapters) {
		paths[name] = map[string]string{"endpoint": a.Endpoint, "token_url": a.TokenURL, "authorize_url": a.AuthorizeURL}
	}
	answer(w, http.StatusOK, map[string]any{"partners": s.states(), "addresses": paths})
}

// setControl replaces a partner's faults; members that are left out are off.
// revoke makes its access tokens worthless once.
func (s *Server) setControl(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Partner     string `json:"partner"`
		Faults      `json:",embed"`
		RevokeToken bool `json:"revoke_token"`
	}
	// Another site's page could send a form here, but not this type.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "Content-Type must be application/json")
		return
	}
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, 4<<10), &in, json.RejectUnknownMembers(true)); err != nil {
		problem(w, http.StatusBadRequest, "the body must be JSON with partner and its faults: "+err.Error())
		return
	}
	if err := s.Set(in.Partner, in.Faults); err != "" {
		problem(w, http.StatusBadRequest, err)
		return
	}
	if in.RevokeToken {
		s.Revoke(in.Partner)
	}
	answer(w, http.StatusOK, map[string]any{"partners": s.states()})
}

// Set switches a partner's faults, and says what is wrong with them, if anything.
func (s *Server) Set(name string, f Faults) string {
	if problem := f.check(); problem != "" {
		return problem
	}
	for _, i := range s.partners {
		if i.spec.Name == name {
			i.set(f)
			return ""
		}
	}
	return "there is no partner of that name"
}

// Revoke makes every access token of a partner worthless so far.
func (s *Server) Revoke(name string) {
	for _, i := range s.partners {
		if i.spec.Name == name {
			i.revoke()
		}
	}
}

// showReceived answers newest first, and with the number to ask for next time.
func (s *Server) showReceived(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, _ := strconv.ParseInt(q.Get("since"), 10, 64)
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > Keep {
		limit = 200
	}
	all, last := s.snapshot(q.Get("partner"))
	items := make([]Entry, 0, min(limit, len(all)))
	for n := len(all) - 1; n >= 0 && len(items) < limit && all[n].Seq > since; n-- {
		e := all[n]
		if q.Get("brief") != "" {
			e.Body, e.Answer = jsontext.Value("null"), ""
		}
		items = append(items, e)
	}
	answer(w, http.StatusOK, map[string]any{"items": items, "last": last, "partners": s.states()})
}

func (s *Server) forget(w http.ResponseWriter, _ *http.Request) {
	s.Forget()
	w.WriteHeader(http.StatusNoContent)
}

// shortened stands for a body that is too long to keep.
func shortened(body jsontext.Value) jsontext.Value {
	var b bytes.Buffer
	_ = json.MarshalWrite(&b, map[string]any{"shortened": true, "bytes": len(body), "beginning": partner.Cut(string(body), keepBytes/2)})
	return bytes.TrimSpace(b.Bytes())
}
