package consent

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mileusna/useragent"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/miq/pixel/modules/event"
)

// kept are the fields whose text partial consent lets through as it is. To add one
// is a decision about privacy.
var kept = map[string]bool{
	"ID": true, "Receipt": true, "PixelID": true, "Name": true, "Source": true, "Priority": true, "Trace": true,
	"Consent.TCF": true, "Consent.GPP": true, "Consent.USPrivacy": true, "Consent.AddtlConsent": true, "Consent.State": true,
	"Consent.GCM.AdStorage": true, "Consent.GCM.AdUserData": true, "Consent.GCM.AdPersonalization": true, "Consent.GCM.AnalyticsStorage": true,
	"Verdict.State": true, "Verdict.Regime": true, "Verdict.Rule": true, "Verdict.Reason": true,
	"Subject.VisitorID": true, "Subject.AnonymousID": true,
	"Context.SDK.Name": true, "Context.SDK.Version": true,
	"Order.Items.ID":          true,
	"Enrichment.Device.Class": true, "Enrichment.Device.Browser": true, "Enrichment.Device.OS": true,
	"Enrichment.Campaign.Source": true, "Enrichment.Campaign.Medium": true, "Enrichment.Campaign.Name": true,
	"Enrichment.Campaign.Term": true, "Enrichment.Campaign.Content": true, "Enrichment.Campaign.ID": true,
	"Enrichment.Referrer.Host": true, "Enrichment.Referrer.Kind": true, "Enrichment.Referrer.Name": true, "Enrichment.Bot": true,
	// Ours: made of what is kept.
	"Enrichment.Session.ID": true, "Enrichment.Session.Entry": true, "Enrichment.Cleaned": true,
	"Enrichment.Value.Currency": true, "Enrichment.Value.Date": true, "Enrichment.Value.Missing": true,
}

// mark fills every text that a value holds with one of its own, and returns where
// each went.
func mark(t *testing.T, v reflect.Value, path string, marks map[string]string) {
	t.Helper()
	put := func() string {
		m := fmt.Sprintf("MARK%04dX", len(marks))
		marks[m] = path
		return m
	}
	under := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(now))
	case v.Type() == reflect.TypeFor[jsontext.Value]():
		b, err := json.Marshal(map[string]any{
			"value": put(), "currency": put(), "order_id": put(), "email": put(), "nested": map[string]any{put(): put()},
			"items": []any{map[string]any{"item_id": "SKU1", "item_name": put(), put(): 1, "coupon": put()}},
		})
		require.NoError(t, err)
		v.SetBytes(b)
	case v.Kind() == reflect.String:
		v.SetString(put())
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				mark(t, v.Field(i), under(f.Name), marks)
			}
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		mark(t, v.Index(0), path, marks)
	case v.Kind() == reflect.Map:
		m := reflect.MakeMap(v.Type())
		m.SetMapIndex(reflect.ValueOf(put()), reflect.ValueOf(put()))
		v.Set(m)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case v.Kind() == reflect.Int || v.Kind() == reflect.Int64 || v.Kind() == reflect.Bool:
	default:
		t.Fatalf("%s is of a kind that the test does not know: %s", path, v.Type())
	}
}

func marked(t *testing.T) (*event.Event, map[string]string) {
	t.Helper()
	e, marks := new(event.Event), map[string]string{}
	mark(t, reflect.ValueOf(e).Elem(), "", marks)
	require.Greater(t, len(marks), 70)
	return e, marks
}

func TestPartialLetsNoIdentifierThrough(t *testing.T) {
	// Texts that have a form of their own are tried in that form too.
	shapes := map[string]func(*event.Event, string){
		"as they are": func(*event.Event, string) {},
		"in their own form": func(e *event.Event, m string) {
			c := &e.Context
			c.Page.URL = "https://" + m + ":" + m + "@shop.example/checkout;jsessionid=" + m + "?gclid=" + m + "&email=" + m + "&utm_email=" + m + "&" + m + "=1#" + m
			c.Page.Referrer = "https://" + m + "@mail.example/inbox/" + m + "?q=" + m + "#" + m
			c.UserAgent = "Mozilla/5.0 (Linux; Android 14; " + m + ") AppleWebKit/537.36 (KHTML, like Gecko " + m + ") Chrome/120.0." + m + " Mobile/" + m + " " + m + "/1 Safari/537.36"
			c.IP = "203.0.113.77"
			e.Enrichment.Device.BrowserVersion = "120.0." + m
			e.Enrichment.Device.OSVersion = "14." + m
		},
		"as addresses that do not parse": func(e *event.Event, m string) {
			e.Context.Page.URL = "http://[" + m
			e.Context.Page.Referrer = "mailto:" + m
			e.Context.IP = "203.0.113.77, " + m
			e.Properties = jsontext.Value(`["` + m + `"]`)
		},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			e, marks := marked(t)
			const extra = "MARKshaped"
			marks[extra] = "shaped"
			shape(e, extra)
			if name == "as they are" {
				// A bare word is a path, and paths are kept.
				e.Context.Page.URL = ""
			}
			Strip(e, event.Partial, []byte("salt"))
			b, err := json.Marshal(e)
			require.NoError(t, err)
			survived := map[string]bool{}
			for m, path := range marks {
				if strings.Contains(strings.ToLower(string(b)), strings.ToLower(m)) {
					survived[path] = true
				}
			}
			assert.Equal(t, kept, survived)
			assert.NotContains(t, string(b), "203.0.113.77")
		})
	}
}

func TestNoneLeavesAShell(t *testing.T) {
	for _, state := range []event.State{event.None, "", "granted"} {
		e, marks := marked(t)
		Strip(e, state, []byte("salt"))
		b, err := json.Marshal(e)
		require.NoError(t, err)
		survived := map[string]bool{}
		for m, path := range marks {
			if strings.Contains(string(b), m) {
				survived[path] = true
			}
		}
		assert.Equal(t, map[string]bool{
			"PixelID": true, "Source": true, "Priority": true,
			"Verdict.State": true, "Verdict.Regime": true, "Verdict.Rule": true, "Verdict.Reason": true,
		}, survived)
	}
}

func TestFullKeepsEverything(t *testing.T) {
	e, _ := marked(t)
	before := *e
	Strip(e, event.Full, nil)
	assert.Equal(t, before, *e)
}

func TestPartialKeepsWhatOurAnalyticsNeed(t *testing.T) {
	e := event.Event{
		ID: "e1", Name: "purchase", Time: now, ReceivedAt: now,
		Consent: event.Consent{TCF: acceptAll, GPC: true},
		Subject: event.Subject{VisitorID: "v1", AnonymousID: "a1", UserID: "u1", Country: "GB"},
		Context: event.Context{
			Page:   event.Page{URL: "https://shop.example/basket/done?utm_source=mail&gclid=x&utm_campaign=spring+sale", Referrer: "https://www.google.com/search?q=x", Title: "Thanks, Ann"},
			Screen: event.Screen{Width: 1366, Height: 768}, Locale: "en-GB", Timezone: "Europe/London",
			IP: "2001:db8:1:2::3", ClientHints: map[string]string{"sec-ch-ua-model": "x"},
		},
		Order:      event.Order{ID: "A-1", Value: "99.5", Currency: "GBP", Items: []event.Item{{ID: "SKU1", Name: "Shoe", Price: "99.5"}}},
		Properties: jsontext.Value(`{"order_id":"A-1","value":99.50,"currency":"GBP","coupon":"ANN","items":[{"item_id":"SKU1","item_name":"Shoe"}]}`),
	}
	Strip(&e, event.Partial, []byte("salt"))
	assert.Equal(t, event.Event{
		ID: "e1", Name: "purchase", Time: now, ReceivedAt: now,
		Consent: event.Consent{TCF: acceptAll, GPC: true},
		Subject: event.Subject{VisitorID: "v1", AnonymousID: "a1"},
		Context: event.Context{
			Page:   event.Page{URL: "/basket/done?utm_campaign=spring+sale&utm_source=mail", Referrer: "https://www.google.com"},
			Screen: event.Screen{Width: 1280}, IP: "2001:db8:1::",
		},
		Order:      event.Order{ID: pseudonym("A-1", []byte("salt")), Value: "99.5", Currency: "GBP", Items: []event.Item{{ID: "SKU1"}}},
		Properties: jsontext.Value(`{"value":99.50,"currency":"GBP","items":[{"item_id":"SKU1"}]}`),
	}, e)
	assert.Len(t, e.Order.ID, 37)
}

func TestStrippingTwiceIsStrippingOnce(t *testing.T) {
	e, _ := marked(t)
	e.Context.IP = "203.0.113.77"
	e.Context.Page.URL = "https://shop.example/a;b=c?utm_source=x&y=z"
	Strip(e, event.Partial, []byte("salt"))
	once := *e
	Strip(e, event.Partial, nil)
	assert.Equal(t, once, *e)
	assert.NotEmpty(t, e.Order.ID)
}

func TestAnOrderIDIsHiddenBySiteOrDropped(t *testing.T) {
	assert.Empty(t, pseudonym("A-1", nil))
	assert.Empty(t, pseudonym("", []byte("a")))
	assert.Empty(t, pseudonym("anon_of a name", nil))
	assert.Equal(t, pseudonym("A-1", []byte("a")), pseudonym("A-1", []byte("a")))
	assert.NotEqual(t, pseudonym("A-1", []byte("a")), pseudonym("A-1", []byte("b")))
}

func TestTruncate(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.77":        "203.0.113.0",
		"::ffff:203.0.113.77": "203.0.113.0",
		"2001:db8:1:2:3::4":   "2001:db8:1::",
		"fe80::1%eth0":        "fe80::",
		"203.0.113.0":         "203.0.113.0",
		"":                    "",
		"localhost":           "",
		"203.0.113.77:80":     "",
	} {
		assert.Equal(t, want, Truncate(in), in)
	}
}

func TestScreenClass(t *testing.T) {
	for in, want := range map[int]int{0: 0, 300: 0, 390: 320, 820: 768, 1366: 1280, 2560: 1920} {
		assert.Equal(t, event.Screen{Width: want}, screenClass(event.Screen{Width: in, Height: 777}))
	}
}

func TestAReducedUserAgentReadsAsTheSameBrowser(t *testing.T) {
	for name, c := range map[string]struct{ in, out string }{
		"Chrome on Windows":   {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.6778.86 Safari/537.36", "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.0 Chrome/131.0 Safari/537.0"},
		"Edge":                {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.70", "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.0 Chrome/131.0 Safari/537.0 Edg/131.0"},
		"Chrome on a phone":   {"Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.6778.81 Mobile Safari/537.36", "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.0 Chrome/131.0 Mobile Safari/537.0"},
		"Samsung":             {"Mozilla/5.0 (Linux; Android 13; SM-A536B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36", "Mozilla/5.0 (Linux; Android 13; K) AppleWebKit/537.0 SamsungBrowser/26.0 Chrome/122.0 Mobile Safari/537.0"},
		"Safari on an iPhone": {"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1.1 Mobile/15E148 Safari/604.1", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.0 Version/18.0 Mobile/15.0 Safari/604.0"},
		"Safari on a Mac":     {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.0 Version/18.0 Safari/605.0"},
		"Firefox on Linux":    {"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", "Mozilla/5.0 (X11; Linux x86_64) Gecko/2010.0 Firefox/132.0"},
		"Headless":            {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.0 HeadlessChrome/131.0 Safari/537.0"},
		"Windows 7":           {"Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36", "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.0 Chrome/109.0 Safari/537.0"},
		"a Chromebook":        {"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36", "Mozilla/5.0 (X11; CrOS x86_64 0.0) AppleWebKit/537.0 Chrome/131.0 Safari/537.0"},
		"an iPad":             {"Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1", "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.0 CriOS/131.0 Mobile/15.0 Safari/604.0"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ReduceUserAgent(c.in)
			assert.Equal(t, c.out, got)
			a, b := useragent.Parse(c.in), useragent.Parse(got)
			assert.Equal(t, []any{a.Name, a.OS, a.Mobile, a.Tablet, a.Desktop, major(a.Version)}, []any{b.Name, b.OS, b.Mobile, b.Tablet, b.Desktop, major(b.Version)})
			assert.Equal(t, got, ReduceUserAgent(got), "reducing again changes nothing")
		})
	}
	assert.Equal(t, "Mozilla/5.0 (compatible; bot)", ReduceUserAgent("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"))
	assert.Equal(t, "curl/8.0", ReduceUserAgent("curl/8.5.0"))
	assert.Empty(t, ReduceUserAgent("AnnsHomePhone/1"))
	assert.Empty(t, ReduceUserAgent(""))
	assert.Less(t, len(ReduceUserAgent(strings.Repeat("Chrome/1 ", 9000))), 200)
}

func BenchmarkStrip(b *testing.B) {
	e := event.Event{
		Context: event.Context{
			Page:      event.Page{URL: "https://shop.example/basket/done?utm_source=mail&gclid=x", Referrer: "https://www.google.com/"},
			UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.6778.86 Safari/537.36",
			IP:        "203.0.113.77",
		},
		Order:      event.Order{ID: "A-1", Value: "99.5", Currency: "GBP"},
		Properties: jsontext.Value(`{"order_id":"A-1","value":99.50,"currency":"GBP","items":[{"item_id":"SKU1","item_name":"Shoe"}]}`),
	}
	salt := []byte("salt")
	b.ReportAllocs()
	for b.Loop() {
		x := e
		Strip(&x, event.Partial, salt)
	}
}
