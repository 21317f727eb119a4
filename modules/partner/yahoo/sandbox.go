package yahoo

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

const (
	sandboxBytes = 10_000_000
	remembered   = 100_000
)

// Sandbox imitates Yahoo's token server, the Conversion API and the click
// postback. The client that GET /client.json shows is known by its secret, so that
// its signature is checked; of any other client only the form of it can be. A
// client id that contains "revoked" is refused, and a pixel whose number begins
// with 403 is not allow-listed.
func (Adapter) Sandbox(record func(partner.Received)) http.Handler {
	s := &sandbox{tokens: map[string]time.Time{}, jtis: map[string]time.Time{}, seen: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /zts/v1/oauth2/token", partner.Grants(http.StatusUnauthorized, s.token))
	mux.HandleFunc("GET /client.json", s.client)
	mux.Handle("POST "+eventsPath+"/{pixel}", partner.Imitate("yahoo", sandboxBytes, record, s.events))
	mux.Handle("POST /{$}", partner.Imitate("yahoo", 64<<10, record, s.postback))
	return mux
}

type sandbox struct {
	mu     sync.Mutex
	secret string
	tokens map[string]time.Time // when they expire
	jtis   map[string]time.Time // that were used, and until when they count
	seen   map[string]bool      // event ids, by pixel
}

func refuse(status int, code, text string) partner.Imitation {
	return partner.Imitation{Status: status, Body: map[string]string{"error": code, "message": text}}
}

func (s *sandbox) events(r *http.Request, body []byte) partner.Imitation {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	pixel := r.PathValue("pixel")
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	s.mu.Lock()
	defer s.mu.Unlock()
	expires, known := s.tokens[token]
	switch {
	case !bearer || !known || time.Now().After(expires):
		return refuse(http.StatusUnauthorized, "invalid_token", "the access token is missing, unknown or expired")
	case !numeric.MatchString(pixel):
		return refuse(http.StatusNotFound, "not_found", "there is no such pixel")
	case strings.HasPrefix(pixel, "403"):
		return refuse(http.StatusForbidden, "forbidden", "the pixel is not allow-listed for this client")
	case kind != "application/json":
		return refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "Content-Type must be application/json")
	}
	var in []jsontext.Value
	if err := json.Unmarshal(body, &in); err != nil || len(in) == 0 {
		return refuse(http.StatusBadRequest, "bad_request", "the body must be an array of events")
	}
	a := partner.Imitation{Status: http.StatusOK}
	faults := map[string]int{}
	for _, raw := range in {
		var e anEvent
		fault := "INVALID_EVENT"
		if json.Unmarshal(raw, &e, json.RejectUnknownMembers(true)) == nil {
			fault = e.fault(time.Now())
		}
		if fault != "" {
			faults[fault]++
			continue
		}
		s.keep(&a, pixel, e.ID)
		if id := e.Event.Custom["order_id"]; id != "" {
			a.OrderIDs = append(a.OrderIDs, id)
		}
	}
	type said struct {
		Success string `json:"success"`
		Message string `json:"message"`
	}
	out := said{"COMPLETE", ""}
	if len(faults) > 0 {
		var list []string
		for code, n := range faults {
			list = append(list, code+"="+strconv.Itoa(n))
		}
		slices.Sort(list)
		out = said{"PARTIAL", "{" + strings.Join(list, ", ") + "}"}
	}
	a.Body = out
	return a
}

func (s *sandbox) keep(a *partner.Imitation, pixel, id string) {
	a.EventIDs = append(a.EventIDs, id)
	if s.seen[pixel+"/"+id] {
		a.Duplicates = append(a.Duplicates, id)
		return
	}
	if len(s.seen) >= remembered {
		clear(s.seen)
	}
	s.seen[pixel+"/"+id] = true
}

// postback takes a form or a query; nothing authorises it.
func (s *sandbox) postback(r *http.Request, body []byte) partner.Imitation {
	form, err := url.ParseQuery(string(body))
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return refuse(http.StatusBadRequest, "bad_request", "the body must be a form")
	}
	for _, name := range []string{"id", "vmcid", "dp"} {
		if form.Get(name) == "" {
			return refuse(http.StatusBadRequest, "bad_request", name+" is missing")
		}
	}
	et, value := form.Get("et"), form.Get("gv")
	if _, err := strconv.ParseFloat(value, 64); value != "" && err != nil {
		return refuse(http.StatusBadRequest, "bad_request", "gv must be a number")
	}
	if ms, err := strconv.ParseInt(et, 10, 64); et != "" && (err != nil || time.UnixMilli(ms).After(time.Now().Add(time.Hour)) || len(et) != 13) {
		return refuse(http.StatusBadRequest, "bad_request", "et must be a time in milliseconds")
	}
	a := partner.Imitation{Status: http.StatusOK, Body: ""}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(&a, fmt.Sprint("click/", form.Get("dp")), form.Get("id"))
	return a
}
