package collector

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/crossing"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// crossingPixels are two pixels of two domains each, of which the first follows visitors.
func crossingPixels(o *Options) {
	domains := []string{"shop.test", "pay.test"}
	o.Pixels = pixelMap{
		"px_cross": {ID: "px_cross", Enabled: true, ConsentMode: settings.GCM, Domains: domains, Tag: settings.TagOptions{CrossDomain: true}},
		"px_other": {ID: "px_other", Enabled: true, ConsentMode: settings.GCM, Domains: domains, Tag: settings.TagOptions{CrossDomain: true}},
		"px_apart": {ID: "px_apart", Enabled: true, ConsentMode: settings.GCM, Domains: domains},
		"px_away":  {ID: "px_away", ConsentMode: settings.GCM, Domains: domains, Tag: settings.TagOptions{CrossDomain: true}},
	}
}

const (
	granted   = `"state":"full","gcm":{"ad_storage":"granted","ad_user_data":"granted","ad_personalization":"granted","analytics_storage":"granted"}`
	partially = `"state":"partial","gcm":{"ad_storage":"denied","ad_user_data":"denied","ad_personalization":"denied","analytics_storage":"granted"}`
)

// leave asks for a token as the tag of the shop does.
func (f *fixture) leave(pixel, visitor, consent string, headers ...string) (int, crossingAnswer) {
	f.t.Helper()
	w := f.do("POST", "/crossing", strings.NewReader(fmt.Sprintf(`{"pixel_id":%q,"anonymous_id":%q,%s}`, pixel, visitor, consent)),
		append([]string{"Content-Type", "text/plain", "Origin", "https://www.shop.test"}, headers...)...)
	return w.Code, decode[crossingAnswer](f.t, w)
}

// come reports a page with an address, and returns the event that is kept.
func (f *fixture) come(pixel, visitor, consent, page, referrer string) event.Event {
	f.t.Helper()
	w := f.post(fmt.Sprintf(`{"pixel_id":%q,"identity":{"anonymous_id":%q},"consent":{%s},"context":{"page":{"url":%q,"referrer":%q}},"events":[{"name":"page_view"}]}`,
		pixel, visitor, consent, page, referrer), "Origin", "https://pay.test")
	if w.Code != http.StatusAccepted {
		f.t.Fatalf("%d %s", w.Code, w.Body)
	}
	got := f.everything()
	if len(got) != 1 {
		f.t.Fatalf("kept %+v", got)
	}
	return got[0]
}

func TestWhoCrossesDomainsTellsWhoHeWas(t *testing.T) {
	f := newFixture(t, crossingPixels)
	code, a := f.leave("px_cross", "anon-a", granted)
	if code != http.StatusOK || a.Token == "" {
		t.Fatalf("%d %+v", code, a)
	}
	e := f.come("px_cross", "anon-b", granted, "https://pay.test/till?id=5#_miq="+a.Token, "https://www.shop.test/")
	if e.Crossing.Visitor != "anon-a" || e.Crossing.Use == "" || e.Context.Page.URL != "https://pay.test/till?id=5" {
		t.Errorf("kept %+v on %s", e.Crossing, e.Context.Page.URL)
	}
	if !f.counted(`pixel_collector_crossings_total{result="ok",what="brought"} 1`) || !f.counted(`pixel_collector_crossings_total{result="ok",what="made"} 1`) {
		t.Error("it is not counted")
	}
}

func TestATokenIsMadeUnderFullConsentAloneAndForThePixelsOwnPages(t *testing.T) {
	f := newFixture(t, crossingPixels)
	for name, c := range map[string]struct {
		pixel, consent string
		headers        []string
		code           int
	}{
		"partial consent":                      {"px_cross", partially, nil, http.StatusOK},
		"none":                                 {"px_cross", `"state":"none"`, nil, http.StatusOK},
		"a claim without signals":              {"px_cross", `"state":"full","gdpr_applies":true`, nil, http.StatusOK},
		"the claim is less than the signals":   {"px_cross", strings.Replace(granted, "full", "partial", 1), nil, http.StatusOK},
		"global privacy control":               {"px_cross", granted, []string{"Sec-GPC", "1"}, http.StatusOK},
		"a pixel that follows nobody":          {"px_apart", granted, nil, http.StatusNotFound},
		"a pixel that is off":                  {"px_away", granted, nil, http.StatusNotFound},
		"no pixel":                             {"px_none", granted, nil, http.StatusNotFound},
		"another site":                         {"px_cross", granted, []string{"Origin", "https://evil.test"}, http.StatusForbidden},
		"a frame without an origin":            {"px_cross", granted, []string{"Origin", "null"}, http.StatusForbidden},
		"a domain that ends like one of these": {"px_cross", granted, []string{"Origin", "https://notshop.test"}, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			if code, a := f.leave(c.pixel, "anon-a", c.consent, c.headers...); code != c.code || a.Token != "" {
				t.Errorf("%d %+v, want %d", code, a, c.code)
			}
		})
	}
	for name, body := range map[string]string{"no JSON": "{", "no visitor": `{"pixel_id":"px_cross",` + granted + `}`, "no state": `{"pixel_id":"px_cross","anonymous_id":"a","state":"maybe"}`} {
		if w := f.do("POST", "/crossing", strings.NewReader(body), "Origin", "https://shop.test", "Content-Type", "text/plain"); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestATokenThatDoesNotCountLinksNobodyAndIsStoredNowhere(t *testing.T) {
	f := newFixture(t, crossingPixels)
	made := func(pixel string, at time.Time) string {
		token, err := crossing.Seal(f.salt(pixel), pixel, "anon-a", at)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	now := time.Now()
	const shop, page = "https://shop.test/", "https://pay.test/"
	for name, c := range map[string]struct {
		pixel, token, consent, referrer, result string
	}{
		"forged":                            {"px_cross", strings.Repeat("A", 80), granted, shop, "forged"},
		"another pixel's":                   {"px_cross", made("px_other", now), granted, shop, "forged"},
		"expired":                           {"px_cross", made("px_cross", now.Add(-crossing.Lifetime-time.Minute)), granted, shop, "expired"},
		"from an address that was sent":     {"px_cross", made("px_cross", now), granted, "", "referrer"},
		"from a mail program in a browser":  {"px_cross", made("px_cross", now), granted, "https://mail.test/", "referrer"},
		"from the same domain":              {"px_cross", made("px_cross", now), granted, page, "referrer"},
		"with partial consent":              {"px_cross", made("px_cross", now), partially, shop, ""},
		"to a pixel that follows nobody":    {"px_apart", made("px_apart", now), granted, shop, ""},
		"a visitor's id in clear":           {"px_cross", "anon-a", granted, shop, "forged"},
		"nothing but the name of the token": {"px_cross", "", granted, shop, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := f.come(c.pixel, "anon-b", c.consent, page+"?_miq="+c.token, c.referrer)
			if e.Crossing != (event.Crossing{}) {
				t.Errorf("kept %+v", e.Crossing)
			}
			if strings.Contains(e.Context.Page.URL+e.Context.Page.Referrer, "_miq") {
				t.Errorf("the token is kept: %s %s", e.Context.Page.URL, e.Context.Page.Referrer)
			}
			if c.result != "" && !strings.Contains(f.metricsText(), `result="`+c.result+`",what="brought"`) {
				t.Errorf("not counted as %s", c.result)
			}
		})
	}
	// The next page's referrer may hold it still.
	e := f.come("px_cross", "anon-b", granted, page+"next", page+"#_miq="+made("px_cross", now))
	if e.Context.Page.Referrer != page || e.Crossing != (event.Crossing{}) {
		t.Errorf("kept %s, %+v", e.Context.Page.Referrer, e.Crossing)
	}
}

func TestTheTagLearnsTheDomainsOfAPixelThatFollowsVisitorsAndOfNoOther(t *testing.T) {
	f := newFixture(t, crossingPixels)
	for pixel, want := range map[string]bool{"px_cross": true, "px_apart": false} {
		body := f.do("GET", "/config/"+pixel+".json", nil).Body.String()
		if strings.Contains(body, `"crosses":["shop.test","pay.test"]`) != want {
			t.Errorf("%s: %s", pixel, body)
		}
	}
}
