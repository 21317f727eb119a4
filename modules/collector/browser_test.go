package collector

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

func TestAPageMayReadItsAnswers(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/collect", "/consent"} {
		w := f.do("OPTIONS", path, nil, "Origin", "https://shop.example.com", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
		h := w.Header()
		if w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "https://shop.example.com" || h.Get("Access-Control-Allow-Credentials") != "true" ||
			h.Get("Access-Control-Allow-Methods") != "POST" || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Content-Type") || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin") {
			t.Errorf("%s preflight: %d %v", path, w.Code, h)
		}
		w = f.do("POST", path, strings.NewReader(`{`), "Origin", "https://shop.example.com")
		h = w.Header()
		if w.Code != http.StatusBadRequest || h.Get("Access-Control-Allow-Origin") != "https://shop.example.com" || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" {
			t.Errorf("%s with an error: %d %v", path, w.Code, h)
		}
	}
	for _, path := range []string{"/config/px_demo.json", "/sdk.js", "/sdk/1.0.0.js", "/sdk/1.0.0/banner.js", "/sdk.mjs"} {
		if w := f.do("GET", path, nil, "Origin", "https://shop.example.com"); w.Code != http.StatusOK || w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if w := f.do("HEAD", path, nil); w.Code != http.StatusOK || w.Header().Get("ETag") == "" {
			t.Errorf("HEAD %s: %d %v", path, w.Code, w.Header())
		}
		if w := f.do("OPTIONS", path, nil, "Origin", "https://shop.example.com", "Access-Control-Request-Method", "GET"); w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s preflight: %d %v", path, w.Code, w.Header())
		}
	}
	if w := f.post(`{"pixel_id":"px_site","events":[{"name":"x"}]}`, "Origin", "https://evil.test"); w.Code != http.StatusForbidden || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a site that may not: %d %v", w.Code, w.Header())
	}
	if w := f.post(`{"pixel_id":"px_site","events":[{"name":"x"}]}`, "Origin", "https://www.example.com"); w.Code != http.StatusAccepted {
		t.Errorf("a site that may: %d %s", w.Code, w.Body)
	}
}

const visit = `{"pixel_id":"px_demo","identity":{"anonymous_id":"anon-1"},"events":[{"name":"page_view"}]}`

func TestTheCookieIsSetWhereConsentAllows(t *testing.T) {
	f := newFixture(t)
	tests := map[string]struct {
		body    string
		headers []string
		want    string // the Set-Cookie headers
	}{
		"a first visit":             {visit, nil, "_miq_id=anon-1; Path=/; Max-Age=34128000; Secure; SameSite=Lax"},
		"the same browser again":    {visit, []string{"Cookie", "_miq_id=anon-1"}, ""},
		"the page says another id":  {visit, []string{"Cookie", "_miq_id=anon-0"}, "_miq_id=anon-1; Path=/; Max-Age=34128000; Secure; SameSite=Lax"},
		"page and we share a site":  {visit, []string{"Origin", "https://www.example.com"}, "_miq_id=anon-1; Path=/; Domain=example.com; Max-Age=34128000; Secure; SameSite=Lax"},
		"page and we do not":        {visit, []string{"Origin", "https://shop.test"}, "_miq_id=anon-1; Path=/; Max-Age=34128000; Secure; SameSite=Lax"},
		"nobody says an id":         {strings.Replace(visit, "anon-1", "", 1), nil, ""},
		"a server's id, unsuitable": {strings.Replace(visit, "anon-1", "a;b", 1), nil, ""},
		"partial is enough":         {strings.Replace(visit, `"events"`, `"consent":{"state":"partial"},"events"`, 1), nil, "_miq_id=anon-1; Path=/; Max-Age=34128000; Secure; SameSite=Lax"},
		"no consent":                {strings.Replace(visit, `"events"`, `"consent":{"state":"none"},"events"`, 1), nil, ""},
		"consent is gone":           {strings.Replace(visit, `"events"`, `"consent":{"state":"none"},"events"`, 1), []string{"Cookie", "_miq_id=anon-1"}, "_miq_id=; Path=/; Max-Age=0; Secure; SameSite=Lax"},
		"consent is gone from a site": {
			strings.Replace(visit, `"events"`, `"consent":{"state":"none"},"events"`, 1), []string{"Cookie", "_miq_id=anon-1", "Origin", "https://www.example.com"},
			"_miq_id=; Path=/; Domain=example.com; Max-Age=0; Secure; SameSite=Lax | _miq_id=; Path=/; Max-Age=0; Secure; SameSite=Lax",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := f.post(tt.body, tt.headers...)
			if w.Code != http.StatusAccepted {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if got := strings.Join(w.Header().Values("Set-Cookie"), " | "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	if cookieAge > 13*31*24*time.Hour {
		t.Error("the cookie lives longer than 13 months")
	}
}

func TestTheCookieGivesABrowserItsIDBack(t *testing.T) {
	f := newFixture(t)
	f.post(strings.Replace(visit, "anon-1", "", 1), "Cookie", "_miq_id=anon-0")
	f.post(visit, "Cookie", "_miq_id=anon-0")
	f.post(strings.Replace(visit, "anon-1", "", 1), "Cookie", "_miq_id="+strings.Repeat("x", 200))
	f.image("pid=px_demo&e=page_view", "Cookie", "_miq_id=anon-0")
	events := f.everything()
	if len(events) != 4 {
		t.Fatalf("%d events", len(events))
	}
	for i, want := range []string{"anon-0", "anon-1", "", "anon-0"} {
		if got := events[i].Subject.AnonymousID; got != want {
			t.Errorf("event %d is of %q, want %q", i, got, want)
		}
	}
	if w := f.image("pid=px_demo&e=page_view"); !strings.Contains(w.Header().Get("Set-Cookie"), f.everything()[0].Subject.AnonymousID) {
		t.Error("a page without script gets no id to keep")
	}
	if w := f.image("pid=px_cmp&e=page_view", "Cookie", "_miq_id=anon-0"); w.Header().Get("Set-Cookie") != "" {
		t.Error("an image that says nothing of consent took the cookie")
	}
}

func TestAChangeOfConsentIsRecorded(t *testing.T) {
	f := newFixture(t)
	newest := func() *consent.Newest {
		n, err := consent.Load(t.Context(), f.keys, consent.Visitor{PixelID: "px_demo", ID: "anon-1"})
		if err != nil {
			t.Fatal(err)
		}
		return n[0]
	}
	post := func(body string, headers ...string) string {
		w := f.do("POST", "/consent", strings.NewReader(body), headers...)
		if w.Code != http.StatusAccepted {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return w.Header().Get("Set-Cookie") + w.Body.String()
	}

	if got := post(`{"pixel_id":"px_demo","anonymous_id":"anon-1","state":"full","gdpr_applies":false}`); !strings.Contains(got, `"state":"full"`) || !strings.Contains(got, "_miq_id=anon-1") {
		t.Errorf("full: %s", got)
	}
	if n := newest(); n == nil || n.Verdict.State != event.Full || n.Signals.State != event.Full || !n.Revoked.IsZero() {
		t.Fatalf("full: %+v", n)
	}
	post(`{"pixel_id":"px_demo","anonymous_id":"anon-1","state":"partial"}`)
	if n := newest(); n.Verdict.State != event.Partial {
		t.Errorf("partial: %+v", n)
	}
	before := time.Now()
	if got := post(`{"pixel_id":"px_demo","state":"none"}`, "Cookie", "_miq_id=anon-1"); !strings.Contains(got, "_miq_id=; Path=/; Max-Age=0") {
		t.Errorf("none: %s", got)
	}
	n := newest()
	if n.Verdict.State != event.None || n.Revoked.Before(before.Add(-time.Second)) {
		t.Errorf("none: %+v", n)
	}
	if !n.Drops(&event.Event{ReceivedAt: before.Add(-time.Minute)}) {
		t.Error("an event from before the withdrawal is not dropped")
	}

	post(`{"pixel_id":"px_demo","anonymous_id":"stranger","state":"none"}`)
	list, err := consent.Load(t.Context(), f.keys, consent.Visitor{PixelID: "px_demo", ID: "stranger"})
	if err != nil || list[0] == nil || list[0].Revoked.IsZero() {
		t.Errorf("a visitor whose events are all in a queue still: %+v %v", list[0], err)
	}
	post(`{"pixel_id":"px_off","anonymous_id":"anon-1","state":"none"}`) // a withdrawal counts always
	if got := post(`{"pixel_id":"px_cmp","anonymous_id":"anon-1","state":"full"}`); !strings.Contains(got, `"state":"none"`) || strings.Contains(got, "_miq_id") {
		t.Errorf("a claim without its signals: %s", got)
	}
}

func TestChangesOfConsentThatAreRefused(t *testing.T) {
	f := newFixture(t)
	for name, tt := range map[string]struct {
		body   string
		status int
		answer string
	}{
		"malformed":              {`{`, 400, `malformed_json`},
		"no state":               {`{"pixel_id":"px_demo","anonymous_id":"a"}`, 400, `"pointer":"/state"`},
		"a state that is none":   {`{"pixel_id":"px_demo","anonymous_id":"a","state":"some"}`, 400, `"pointer":"/state"`},
		"nobody":                 {`{"pixel_id":"px_demo","state":"none"}`, 400, `"pointer":"/anonymous_id"`},
		"an id with a space":     {`{"pixel_id":"px_demo","anonymous_id":"a b","state":"none"}`, 400, `invalid_id`},
		"a string too long":      {`{"pixel_id":"px_demo","anonymous_id":"a","state":"full","tcf":"` + strings.Repeat("C", 17<<10) + `"}`, 400, `"pointer":"/consent/tcf"`},
		"a body too large":       {`{"pixel_id":"px_demo","x":"` + strings.Repeat("x", 70<<10) + `"}`, 413, `too_large`},
		"an unknown pixel":       {`{"pixel_id":"px_nobody","anonymous_id":"a","state":"none"}`, 404, `unknown_pixel`},
		"a name of another type": {`{"pixel_id":"px_demo","anonymous_id":7,"state":"none"}`, 400, `"pointer":"/anonymous_id"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := f.do("POST", "/consent", strings.NewReader(tt.body), "Content-Type", "text/plain;charset=UTF-8")
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	if w := f.do("POST", "/consent", strings.NewReader(`{"pixel_id":"px_site","anonymous_id":"a","state":"none"}`), "Origin", "https://evil.test"); w.Code != http.StatusForbidden {
		t.Errorf("a strange site: %d", w.Code)
	}
}

func TestThePublicSettingsOfAPixel(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		m := somePixels()
		p := m["px_demo"]
		p.Name, p.Advertiser = "secret name", "secret client"
		m["px_demo"] = p
		m["px_banner"] = settings.Pixel{
			ID: "px_banner", Enabled: true, ConsentMode: settings.Banner, PrivacyURL: "https://example.com/privacy",
			Banner: settings.BannerOptions{Language: "de", Texts: map[string]map[string]string{"de": {"title": "Hallo"}}, HideReopen: true},
			Tag:    settings.TagOptions{SPA: "hash", Autotrack: []string{"scroll"}, Ecommerce: true, DataLayer: "layer", ClickIDs: []string{"xid"}, Storage: "session"},
		}
		o.Pixels = m
	})
	w := f.do("GET", "/config/px_demo.json", nil)
	const want = `{"pixel_id":"px_demo","enabled":true,"consent_mode":"implied","tcf_vendor_id":101,"batch":{"max_events":10,"max_wait_ms":2000}}`
	if w.Code != http.StatusOK || w.Body.String() != want {
		t.Errorf("%d\n%s\nwant\n%s", w.Code, w.Body, want)
	}
	if got := w.Header().Get("Cache-Control"); got != "public, max-age=60, stale-while-revalidate=86400" {
		t.Errorf("cache for %q", got)
	}
	const all = `{"pixel_id":"px_banner","enabled":true,"consent_mode":"banner","tcf_vendor_id":101,` +
		`"banner":{"privacy_url":"https://example.com/privacy","language":"de","texts":{"de":{"title":"Hallo"}},"hide_reopen":true},"batch":{"max_events":10,"max_wait_ms":2000},` +
		`"spa":"hash","autotrack":["scroll"],"ecommerce":true,"data_layer":"layer","click_ids":["xid"],"storage":"sessionStorage"}`
	if w := f.do("GET", "/config/px_banner.json", nil); w.Body.String() != all {
		t.Errorf("with everything set:\n%s\nwant\n%s", w.Body, all)
	}
	tag := w.Header().Get("ETag")
	if w := f.do("GET", "/config/px_demo.json", nil, "If-None-Match", `"other", W/`+tag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("with its tag: %d %s", w.Code, w.Body)
	}
	if w := f.do("GET", "/config/px_off.json", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"enabled":false`) || w.Header().Get("ETag") == tag {
		t.Errorf("one that is off: %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/config/px_nobody.json", "/config/px_demo", "/config/.json", "/config/px_demo.json/x"} {
		if w := f.do("GET", path, nil); w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestTheTagIsServed(t *testing.T) {
	f := newFixture(t)
	for path, want := range map[string]string{
		"/sdk.js": "script", "/sdk/1.0.0.js": "script", "/sdk/1.0.0/banner.js": "banner", "/sdk/1.0.0/cmp.js": "cmp",
		"/sdk.mjs": "module", "/sdk/1.0.0.mjs": "module", "/sdk.d.ts": "types",
	} {
		w := f.do("GET", path, nil)
		h := w.Header()
		immutable := strings.Contains(h.Get("Cache-Control"), "immutable")
		if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != want || h.Get("ETag") == "" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %s %v", path, w.Code, w.Body, h)
		}
		if immutable != strings.Contains(path, "1.0.0") {
			t.Errorf("%s may be kept: %s", path, h.Get("Cache-Control"))
		}
		if want != "types" && !strings.HasPrefix(h.Get("Content-Type"), "text/javascript") {
			t.Errorf("%s is %s", path, h.Get("Content-Type"))
		}
		if w := f.do("GET", path, nil, "If-None-Match", h.Get("ETag")); w.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", path, w.Code)
		}
	}
	w := f.do("GET", "/sdk.js", nil, "Accept-Encoding", "br, gzip;q=0.8")
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > 100 || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("compressed: %d bytes, %v", w.Body.Len(), w.Header())
	}
	if w := f.do("GET", "/sdk.js", nil, "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("compressed for a client that refuses it")
	}
	if w := f.do("GET", "/sdk/0.9.0.js", nil); w.Code != http.StatusNotFound {
		t.Errorf("another version: %d", w.Code)
	}
}
