package collector

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// image asks for the pixel and checks what holds whatever happened.
func (f *fixture) image(query string, headers ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	w := f.do("GET", "/pixel.gif?"+query, nil, headers...)
	h := w.Header()
	if w.Code != http.StatusOK || w.Body.Len() != 43 || h.Get("Content-Type") != "image/gif" || !strings.HasPrefix(h.Get("Cache-Control"), "no-store") {
		f.t.Errorf("%.80s: %d, %d bytes, %v", query, w.Code, w.Body.Len(), h)
	}
	return w
}

func TestTheImageTakesAllItsParameters(t *testing.T) {
	f := newFixture(t)
	q := url.Values{
		"pid": {"px_demo"}, "e": {"purchase"}, "eid": {"e-1"}, "u": {"https://shop.example.com/thanks"}, "r": {"https://www.google.com/"},
		"v": {"99.50"}, "cur": {"GBP"}, "oid": {"A-1"}, "cid": {"anon-1"}, "gdpr": {"0"}, "gdpr_consent": {"CPx"}, "addtl_consent": {"2~1"},
		"gpp_sid": {"7,8"}, "us_privacy": {"1YNN"}, "gcm": {`{"ad_storage":"granted"}`},
		"p.colour": {"blue"}, "p.items": {`[{"item_id":"SKU1","price":99.5,"quantity":1}]`}, "p.value": {"7"}, "p.note": {"[not json"},
	}
	f.image(q.Encode(), "User-Agent", "Mozilla/5.0")
	events := f.everything()
	if len(events) != 1 {
		t.Fatalf("%d events, dead: %+v", len(events), f.dead())
	}
	e := events[0]
	if e.ID != "e-1" || e.Name != "purchase" || e.Source != "pixel" || e.Priority != event.High || e.Subject.AnonymousID != "anon-1" || e.Context.UserAgent != "Mozilla/5.0" {
		t.Errorf("%s %s %s %s, context %+v", e.ID, e.Name, e.Source, e.Priority, e.Context)
	}
	if o := e.Order; o.ID == "" || o.ID == "A-1" || o.Value != "99.50" || o.Currency != "GBP" || len(o.Items) != 1 || o.Items[0].ID != "SKU1" {
		t.Errorf("order %+v", o)
	}
	// A section that cannot be read makes it partial, which hides the order's id.
	c := e.Consent
	if *c.GDPRApplies || c.TCF != "CPx" || c.AddtlConsent != "2~1" || len(c.GPPSID) != 2 || c.USPrivacy != "1YNN" || c.GCM.AdStorage != "granted" {
		t.Errorf("consent %+v", c)
	}
}

func TestTheImageKeepsItsProperties(t *testing.T) {
	f := newFixture(t)
	f.image("pid=px_demo&e=page_view&oid=A-1&r=https://www.google.com/&p.colour=blue&p.n=5&p.note=%5Bnot+json&p.=nameless", "Referer", "https://shop.example.com/shoes")
	events := f.everything()
	if len(events) != 1 {
		t.Fatalf("%d events, dead: %+v", len(events), f.dead())
	}
	for _, want := range []string{`"colour":"blue"`, `"n":"5"`, `"note":"[not json"`} {
		if !strings.Contains(string(events[0].Properties), want) {
			t.Errorf("%s is not in %s", want, events[0].Properties)
		}
	}
	if e := events[0]; e.Order.ID != "A-1" || e.Context.Page.Referrer != "https://www.google.com/" {
		t.Errorf("order %+v on %+v", e.Order, e.Context.Page)
	}
	if events[0].Context.Page.URL != "https://shop.example.com/shoes" {
		t.Errorf("without u the page is the one that holds the image, not %q", events[0].Context.Page.URL)
	}
}

func TestTheImageIsSentWhateverHappened(t *testing.T) {
	f := newFixture(t)
	for name, tt := range map[string]struct{ query, code string }{
		"nothing":                   {"", ""},
		"an unknown pixel":          {"pid=px_nobody&e=page_view", ""},
		"a pixel that is off":       {"pid=px_off&e=page_view", ""},
		"no name":                   {"pid=px_demo", "required"},
		"a hostile name":            {"pid=px_demo&e=%3Cscript%3E", "invalid_name"},
		"an id with a space":        {"pid=px_demo&e=x&eid=a+b", "invalid_id"},
		"a visitor with a space":    {"pid=px_demo&e=x&cid=a+b", "invalid_id"},
		"a value that is none":      {"pid=px_demo&e=purchase&v=lots", "invalid_order"},
		"a currency that is none":   {"pid=px_demo&e=purchase&v=1&cur=pounds", "invalid_order"},
		"invalid UTF-8":             {"pid=px_demo&e=x&p.a=%ff%fe", "invalid_utf8"},
		"invalid UTF-8 in a name":   {"pid=px_demo&e=x&p.%ff=1", "invalid_utf8"},
		"half an escape":            {"pid=px_demo&e=x&p.a=%f", "malformed_query"},
		"semicolons":                {"pid=px_demo&e=x;y", "malformed_query"},
		"sections that are none":    {"pid=px_demo&e=x&gpp_sid=usnat", "invalid_type"},
		"Consent Mode that is none": {"pid=px_demo&e=x&gcm=G111", "invalid_type"},
		"a consent string too long": {"pid=px_demo&e=x&gdpr_consent=" + strings.Repeat("C", 17<<10), "too_long"},
		"hundreds of properties":    {"pid=px_demo&e=x&" + manyProperties(100), "invalid_properties"},
		"deep properties":           {"pid=px_demo&e=x&p.a=" + strings.Repeat("[", 30) + strings.Repeat("]", 30), "too_deep"},
		"large properties":          {"pid=px_demo&e=x&p.a=" + strings.Repeat("x", 40<<10), "too_large"},
		"JSON with a name twice":    {"pid=px_demo&e=x&v=1&p.a=%7B%22b%22:1,%22b%22:2%7D", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			f.image(tt.query)
			events, dead := f.everything(), f.dead()
			if tt.code == "ok" {
				if len(events) != 1 || len(dead) != 0 {
					t.Errorf("%d events, dead: %+v", len(events), dead)
				}
				return
			}
			if len(events) != 0 {
				t.Errorf("it was accepted: %s", events[0].Name)
			}
			if tt.code == "" {
				if len(dead) != 0 {
					t.Errorf("a line for nobody: %s", dead[0].Body)
				}
				return
			}
			if len(dead) != 1 || !strings.HasPrefix(dead[0].Reason, tt.code+": ") || !strings.Contains(string(dead[0].Body), `"source":"pixel"`) {
				t.Errorf("dead letters %+v, want %s", dead, tt.code)
			}
		})
	}
	if !f.counted(`pixel_collector_rejected_total{code="unknown_pixel",source="pixel"} 3`) {
		t.Error("unknown pixels were not counted")
	}
}

func manyProperties(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("p." + strings.Repeat("x", i+1) + "=1&")
	}
	return b.String()
}

func TestHeadersThatAreNoTextCostNothingButThemselves(t *testing.T) {
	f := newFixture(t)
	f.image("pid=px_demo&e=page_view", "Referer", "https://shop.example.com/\xff", "User-Agent", "\xfe agent", "Sec-CH-UA", "\xfd hint")
	events := f.everything()
	if len(events) != 1 || events[0].Context.Page.URL != "https://shop.example.com/" || events[0].Context.UserAgent != " agent" || events[0].Context.ClientHints["sec-ch-ua"] != " hint" {
		t.Errorf("%+v", events)
	}
}

func TestTheImageOfAStrangePageIsRefused(t *testing.T) {
	f := newFixture(t)
	f.image("pid=px_site&e=x", "Referer", "https://evil.test/")
	f.image("pid=px_site&e=x", "Referer", "https://www.example.com/")
	if got := len(f.everything()); got != 1 {
		t.Errorf("%d events", got)
	}
	if dead := f.dead(); len(dead) != 1 || !strings.Contains(dead[0].Reason, "evil.test") {
		t.Errorf("dead letters %+v", dead)
	}
}

func TestTheImageIsSentThoughNothingCanBeStored(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Queue = brokenQueue{http.ErrServerClosed} })
	w := f.image("pid=px_demo&e=page_view")
	if w.Header().Get("Set-Cookie") != "" {
		t.Error("a cookie was set for an event that is lost")
	}
	if !f.counted(`pixel_collector_rejected_total{code="not_stored",source="pixel"} 1`) {
		t.Error("the loss was not counted")
	}
}

func TestTheImageIsSentThoughWePanic(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Pixels = explosive{} })
	f.image("pid=px_demo&e=page_view")
	if !f.counted(`pixel_collector_rejected_total{code="internal",source="pixel"} 1`) {
		t.Error("the panic was not counted")
	}
}

type explosive struct{}

func (explosive) Pixel(string) (settings.Pixel, bool) { panic("boom") }

func TestTheImageTakesAWholeEnvelope(t *testing.T) {
	f := newFixture(t)
	f.image("d=" + url.QueryEscape(visit))
	events := f.everything()
	if len(events) != 1 || events[0].Subject.AnonymousID != "anon-1" || events[0].Source != "pixel" {
		t.Fatalf("%+v", events)
	}
	for _, d := range []string{"{", "[]", `{"pixel_id":"px_nobody","events":[{"name":"x"}]}`, `{"pixel_id":"px_demo","events":[{"name":"x"},{"name":"y"}]}`} {
		f.image("d=" + url.QueryEscape(d))
	}
	if events := f.everything(); len(events) != 0 {
		t.Errorf("%+v", events)
	}
}
