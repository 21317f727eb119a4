package sandbox

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// acme is a partner that takes everything that comes with a token it gave.
type acme struct{}

func (acme) Spec() partner.Spec {
	return partner.Spec{Name: "acme", Title: "Acme <b>Ads</b>", Endpoint: "https://api.acme.test/v1/events", TokenURL: "https://login.acme.test/token", Auth: partner.RefreshToken}
}
func (acme) Group(event.Delivery) string { return "" }
func (acme) Encode(context.Context, partner.Batch) (*http.Request, []partner.Result, error) {
	return nil, nil, nil
}
func (acme) Decode(partner.Answer, []event.Delivery) partner.Receipt { return partner.Receipt{} }
func (acme) Sandbox(record func(partner.Received)) http.Handler {
	mux := http.NewServeMux()
	given := 0
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		given++
		fmt.Fprintf(w, `{"access_token":"token-%d"}`, given)
	})
	mux.HandleFunc("POST /v1/events", partner.Imitate("acme", 1<<20, record, func(r *http.Request, body []byte) partner.Imitation {
		return partner.Imitation{Status: 200, Body: map[string]string{"seen": "yes"}, EventIDs: []string{r.Header.Get("Event")}}
	}))
	return mux
}

func post(t *testing.T, h http.Handler, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func control(t *testing.T, s *Server, body string) {
	t.Helper()
	if w := post(t, s, "/control", body, "Content-Type", "application/json"); w.Code != 200 {
		t.Fatalf("control answers %d: %s", w.Code, w.Body)
	}
}

func TestEndpointsAreThePartnersOwnPathsUnderItsName(t *testing.T) {
	got := Endpoints("http://localhost:9090/", []partner.Adapter{acme{}})["acme"]
	if want := (Address{Endpoint: "http://localhost:9090/acme/v1/events", TokenURL: "http://localhost:9090/acme/token"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWhatArrivesIsShownNewestFirst(t *testing.T) {
	s := New([]partner.Adapter{acme{}})
	for i := range 3 {
		if w := post(t, s, "/acme/v1/events", `{"n":1}`, "Event", fmt.Sprint("e", i)); w.Code != 200 {
			t.Fatalf("answer %d", w.Code)
		}
	}
	get := func(query string) (ids []string, last int64) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/received.json"+query, nil))
		var got struct {
			Items []Entry `json:"items"`
			Last  int64   `json:"last"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for _, e := range got.Items {
			ids = append(ids, e.EventIDs...)
		}
		return ids, got.Last
	}
	for query, want := range map[string]string{"": "[e2 e1 e0]", "?since=2": "[e2]", "?since=3": "[]", "?partner=acme&limit=2": "[e2 e1]", "?partner=other": "[]", "?since=x&limit=-1": "[e2 e1 e0]"} {
		if ids, last := get(query); fmt.Sprint(ids) != want || last != 3 {
			t.Errorf("%q: %v and last %d, want %s and 3", query, ids, last, want)
		}
	}
	if got := s.Received("acme"); len(got) != 3 || got[0].EventIDs[0] != "e0" || got[0].Path != "/v1/events" {
		t.Errorf("Received gives %+v", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s := New([]partner.Adapter{acme{}})
	for i := range Keep + 25 {
		post(t, s, "/acme/v1/events", `{}`, "Event", fmt.Sprint("e", i))
	}
	got := s.Received("")
	if len(got) != Keep || got[0].EventIDs[0] != "e25" || got[Keep-1].Seq != Keep+25 {
		t.Errorf("%d are kept, from %v", len(got), got[0].EventIDs)
	}
	long := `{"text":"` + strings.Repeat("é", 100_000) + `"}`
	post(t, s, "/acme/v1/events", long)
	e := s.Received("")[Keep-1]
	if len(e.Body) > keepBytes || !e.Body.IsValid() || !strings.Contains(string(e.Body), fmt.Sprint(len(long))) {
		t.Errorf("a body of %d bytes is kept as %d bytes", len(long), len(e.Body))
	}
	s.Forget()
	if got := s.Received(""); len(got) != 0 {
		t.Errorf("%d are left", len(got))
	}
}

func TestABodyThatIsNoJSONIsKeptAsText(t *testing.T) {
	s := New([]partner.Adapter{acme{}})
	post(t, s, "/acme/v1/events", "\xff<script>")
	if got := s.Received("")[0].Body; got.Kind() != '"' || !got.IsValid() {
		t.Errorf("kept as %s", got)
	}
}

func TestAFaultAnswersInThePartnersPlace(t *testing.T) {
	for name, c := range map[string]struct {
		faults, retryAfter string
		status             int
	}{
		"failing":             {`"fail":1`, "", 500},
		"failing as told":     {`"fail":1,"fail_status":503`, "", 503},
		"too many":            {`"limit":1`, "", 429},
		"too many with delay": {`"limit":1,"retry_after":7`, "7", 429},
		"none":                {`"fail":0`, "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := New([]partner.Adapter{acme{}})
			control(t, s, `{"partner":"acme",`+c.faults+`}`)
			w := post(t, s, "/acme/v1/events", `{}`)
			if w.Code != c.status || w.Header().Get("Retry-After") != c.retryAfter {
				t.Errorf("answer %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
			}
			if e := s.Received("acme"); len(e) != 1 || e[0].Status != c.status || (e[0].Fault != "") != (c.status != 200) {
				t.Errorf("recorded %+v", e)
			}
			control(t, s, `{"partner":"acme"}`)
			if w := post(t, s, "/acme/v1/events", `{}`); w.Code != 200 {
				t.Errorf("after all is well again: %d", w.Code)
			}
		})
	}
}

func TestAShareFailsAboutThatOften(t *testing.T) {
	s := New([]partner.Adapter{acme{}})
	control(t, s, `{"partner":"acme","fail":0.3}`)
	failed := 0
	for range 2000 {
		if post(t, s, "/acme/v1/events", `{}`).Code == 500 {
			failed++
		}
	}
	// Eight standard deviations either side.
	if failed < 440 || failed > 760 {
		t.Errorf("%d of 2000 failed", failed)
	}
}

func TestASlowPartnerIsSlowAndLetsGoOfClientsThatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New([]partner.Adapter{acme{}})
		control(t, s, `{"partner":"acme","slow_ms":30000}`)
		start := time.Now()
		if w := post(t, s, "/acme/v1/events", `{}`); w.Code != 200 || time.Since(start) != 30*time.Second {
			t.Errorf("answer %d after %s", w.Code, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPost, "/acme/v1/events", strings.NewReader(`{}`)))
		if time.Since(start) != time.Second {
			t.Errorf("a client that left was held for %s", time.Since(start))
		}
		if e := s.Received("")[1]; e.Fault != "slow" || e.EventIDs != nil {
			t.Errorf("recorded %+v", e)
		}
	})
}

func TestConnectionsAreCutBeforeOrAfterTheEventIsTaken(t *testing.T) {
	for name, taken := range map[string]bool{"drop": false, "drop_after": true} {
		t.Run(name, func(t *testing.T) {
			s := New([]partner.Adapter{acme{}})
			server := httptest.NewServer(s)
			defer server.Close()
			control(t, s, `{"partner":"acme","`+name+`":1}`)
			res, err := http.Post(server.URL+"/acme/v1/events", "application/json", strings.NewReader(`{}`))
			if err == nil {
				res.Body.Close()
				t.Fatalf("an answer came: %d", res.StatusCode)
			}
			if e := s.Received("acme"); len(e) != 1 || (e[0].Status == 200) != taken {
				t.Errorf("recorded %+v", e)
			}
		})
	}
}

func TestARevokedTokenIsRefusedAndANewOneTaken(t *testing.T) {
	s := New([]partner.Adapter{acme{}})
	token := func() string {
		var got struct {
			AccessToken string `json:"access_token"`
		}
		w := post(t, s, "/acme/token", "grant_type=refresh_token")
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got.AccessToken
	}
	send := func(token string) int {
		return post(t, s, "/acme/v1/events", `{}`, "Authorization", "Bearer "+token).Code
	}
	unused, used := token(), token()
	if got := send(used); got != 200 {
		t.Fatalf("before: %d", got)
	}
	control(t, s, `{"partner":"acme","revoke_token":true}`)
	if a, b := send(used), send(unused); a != 401 || b != 401 {
		t.Errorf("revoked tokens are answered %d and %d", a, b)
	}
	if got := send(token()); got != 200 {
		t.Errorf("a new token is answered %d", got)
	}
	control(t, s, `{"partner":"acme","refuse_grant":true}`)
	if w := post(t, s, "/acme/token", "grant_type=refresh_token"); w.Code != 400 || !strings.Contains(w.Body.String(), "invalid_grant") {
		t.Errorf("a withdrawn grant is answered %d %s", w.Code, w.Body)
	}
	for _, e := range s.Received("") {
		if strings.Contains(e.Path, "token") {
			t.Error("a token call was recorded, with its secrets")
		}
	}
}

func TestControlRefusesNonsense(t *testing.T) {
	s := New([]partner.Adapter{acme{}})
	for name, body := range map[string]string{
		"no JSON": `x`, "unknown member": `{"partner":"acme","explode":true}`, "unknown partner": `{"partner":"nobody"}`, "no partner": `{}`,
		"share above one": `{"partner":"acme","fail":1.5}`, "negative share": `{"partner":"acme","drop":-1}`, "negative wait": `{"partner":"acme","slow_ms":-1}`,
		"a success as failure": `{"partner":"acme","fail_status":200}`, "a wait of years": `{"partner":"acme","retry_after":99999999}`,
	} {
		if w := post(t, s, "/control", body, "Content-Type", "application/json"); w.Code != 400 || !strings.Contains(w.Body.String(), "detail") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := post(t, s, "/control", `{"partner":"acme","fail":1}`, "Content-Type", "text/plain"); w.Code != 415 {
		t.Errorf("what another site's form can send is answered %d", w.Code)
	}
	if f := s.partners[0].get(); f != (Faults{}) {
		t.Errorf("something was switched on: %+v", f)
	}
}

func TestThePageNeedsNothingFromElsewhereAndRunsNothingInline(t *testing.T) {
	s := New([]partner.Adapter{acme{}})
	outside := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.|@import|url\(`)
	inline := regexp.MustCompile(`(?i)\son[a-z]+=|<script>|style=|<style|innerHTML|insertAdjacentHTML|document\.write|eval\(`)
	for _, path := range []string{"/", "/page.css", "/page.js"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		body, _ := io.ReadAll(w.Body)
		if w.Code != 200 || len(body) < 500 {
			t.Fatalf("%s: %d, %d bytes", path, w.Code, len(body))
		}
		if m := outside.Find(body); m != nil {
			t.Errorf("%s reaches out: %s", path, m)
		}
		if m := inline.Find(body); m != nil {
			t.Errorf("%s holds %s", path, m)
		}
		if path == "/" && !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Error("the page has no policy")
		}
	}
}

func TestUnknownPathsAndMethodsAreRefused(t *testing.T) {
	s := New([]partner.Adapter{acme{}})
	for path, want := range map[string]int{"/nobody/v1/events": 404, "/acme/v2/events": 404, "/acme/": 404, "/received.json": 405} {
		if got := post(t, s, path, `{}`).Code; got != want {
			t.Errorf("POST %s: %d, want %d", path, got, want)
		}
	}
}
