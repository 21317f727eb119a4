package collector

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/miq/pixel/modules/event"
)

func basic(key string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"))
}

// segmentAnswer is what the door answers.
type segmentAnswer struct {
	Success  bool `json:"success"`
	Accepted int  `json:"accepted"`
	Rejected int  `json:"rejected"`
	Results  []struct {
		ID      string `json:"id"`
		Status  string `json:"status"`
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"results"`
}

func (f *fixture) segment(path, body string, headers ...string) (int, segmentAnswer) {
	f.t.Helper()
	w := f.do("POST", path, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, headers...)...)
	var a segmentAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		f.t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, a
}

// TestSegmentNamesAndFields holds the table of docs/segment.md.
func TestSegmentNamesAndFields(t *testing.T) {
	for _, c := range []struct{ said, properties, name, want string }{
		{
			"Order Completed", `{"order_id":"A-1","total":120,"revenue":99.5,"shipping":5,"tax":15.5,"currency":"GBP","products":[{"product_id":"p","sku":"s","name":"Shoe","brand":"B","category":"C","variant":"red","price":99.5,"quantity":1,"position":2,"coupon":"X","url":"https://x"}]}`,
			"purchase", `{"currency":"GBP","items":[{"coupon":"X","index":2,"item_brand":"B","item_category":"C","item_id":"p","item_name":"Shoe","item_variant":"red","price":99.5,"quantity":1}],"order_id":"A-1","shipping":5,"tax":15.5,"value":99.5}`,
		},
		{"Order Refunded", `{"order_id":"A-1","total":120}`, "refund", `{"order_id":"A-1","value":120}`},
		{"Product Viewed", `{"product_id":"p","name":"Shoe","price":9,"currency":"GBP"}`, "view_item", `{"currency":"GBP","items":[{"item_id":"p","item_name":"Shoe","price":9}]}`},
		{"product added", `{"sku":"s","quantity":2,"price":9,"cart_id":"c"}`, "add_to_cart", `{"cart_id":"c","items":[{"item_id":"s","price":9,"quantity":2}]}`},
		{"Product List Viewed", `{"list_id":"l","category":"Shoes","products":[{"id":"p"}]}`, "view_item_list", `{"item_list_id":"l","item_list_name":"Shoes","items":[{"item_id":"p"}]}`},
		{"Checkout Started", `{"value":10,"revenue":9}`, "begin_checkout", `{"value":10}`},
		{"Products Searched", `{"query":"shoe"}`, "search", `{"search_term":"shoe"}`},
		{"Promotion Viewed", `{"promotion_id":"1","creative":"top","name":"Sale","position":"home"}`, "view_promotion", `{"creative_name":"top","creative_slot":"home","promotion_id":"1","promotion_name":"Sale"}`},
		{"Signed Up", `{}`, "sign_up", ``},
		{"purchase", `{"revenue":1,"order_id":"x"}`, "purchase", `{"order_id":"x","value":1}`},
		{"Video Playback Started", `{"title":"x"}`, "video_playback_started", `{"title":"x"}`},
		{"my.Event-1", ``, "my.Event-1", ``},
		{"2 for 1!", ``, "e_2_for_1", ``},
		{"Übergröße gewählt", ``, "bergr_e_gew_hlt", ``},
		{strings.Repeat("long ", 40), ``, "long_long_long_long_long_long_long_long_long_long_long_long_l", ``},
	} {
		t.Run(c.said, func(t *testing.T) {
			name, properties, f := segmentTrack(c.said, jsontext.Value(c.properties))
			assert.Empty(t, f.Code, f.Message)
			assert.Equal(t, c.name, name)
			assert.True(t, event.ValidName(name))
			assert.Equal(t, c.want, string(properties))
		})
	}
}

func TestSegmentMessagesBecomeEvents(t *testing.T) {
	f := newFixture(t)
	code, a := f.segment("/v1/batch", `{"sentAt":"2026-11-22T10:00:01Z","batch":[
		{"type":"identify","messageId":"m1","anonymousId":"anon-1","userId":42,"traits":{"email":"Ann@Example.com ","phone":"+44 20 7946 0000","address":"one line","plan":"gold"}},
		{"type":"track","messageId":"m2","anonymousId":"anon-1","event":"Order Completed","timestamp":"`+recently()+`","properties":{"order_id":"A-1","revenue":"99.50","currency":"GBP"},
		 "context":{"ip":"203.0.113.9","userAgent":"UA/1","locale":"en-GB","page":{"url":"https://shop.example.com/?gclid=abc","title":"T"},"campaign":{"source":"news","name":"spring"},"library":{"name":"x","version":"1"},"screen":{"width":1280.5,"height":720},"consent":null}},
		{"type":"page","messageId":"m3","anonymousId":"anon-1","name":"Home","properties":{"url":"https://shop.example.com/"}},
		{"type":"screen","messageId":"m4","anonymousId":"anon-1","name":"Main"},
		{"type":"group","messageId":"m5","anonymousId":"anon-1","groupId":"g","traits":{"name":"Company"}},
		{"type":"alias","messageId":"m6","userId":"42","previousId":"anon-0"},
		{"type":"track","messageId":"m7","anonymousId":"anon-1"},
		{"type":"video","messageId":"m8"},
		{"type":"track","event":"x","messageId":"m9","anonymousId":"no good id"},
		{"type":"track","event":"x","messageId":"m10","timestamp":"yesterday"},
		"text"
	]}`, "Authorization", basic("px_demo"))
	require.Equal(t, http.StatusOK, code)
	assert.True(t, a.Success)
	assert.Equal(t, 5, a.Accepted)
	assert.Equal(t, 5, a.Rejected)
	var status []string
	for _, r := range a.Results {
		status = append(status, r.ID+" "+r.Status+" "+r.Code)
	}
	assert.Equal(t, []string{
		"m1 accepted ", "m2 accepted ", "m3 accepted ", "m4 accepted ", "m5 ignored ", "m6 accepted ", "m7 rejected required", "m8 rejected invalid_type",
		"m9 rejected invalid_id", "m10 rejected invalid_time", " rejected invalid_field",
	}, status)
	assert.Contains(t, a.Results[6].Message, "/batch/6/event")

	got := map[string]event.Event{}
	for _, e := range f.everything() {
		got[e.ID] = e
		assert.Equal(t, "server", e.Source)
	}
	order := got["m2"]
	assert.Equal(t, "purchase", order.Name)
	assert.Equal(t, event.High, order.Priority)
	assert.Equal(t, event.Order{ID: "A-1", Value: "99.50", Currency: "GBP"}, order.Order)
	assert.Equal(t, "203.0.113.9", order.Context.IP)
	assert.Equal(t, "UA/1", order.Context.UserAgent)
	assert.Equal(t, "https://shop.example.com/?gclid=abc&utm_campaign=spring&utm_source=news", order.Context.Page.URL)
	assert.Equal(t, map[string]string{"gclid": "abc"}, order.Subject.ClickIDs)
	assert.Equal(t, event.Screen{Width: 1280, Height: 720}, order.Context.Screen)
	who := got["m1"]
	assert.Equal(t, "identify", who.Name)
	assert.Len(t, who.Subject.Email, 64)
	assert.Len(t, who.Subject.PhoneE164, 64)
	assert.NotEmpty(t, who.Subject.UserID)
	assert.Empty(t, who.Properties, "traits are no properties")
	assert.Empty(t, who.Context.IP, "a server's own address is no visitor's")
	assert.Empty(t, who.Context.UserAgent)
	assert.Equal(t, "screen_view", got["m4"].Name)
	assert.JSONEq(t, `{"screen_name":"Main"}`, string(got["m4"].Properties))
	assert.JSONEq(t, `{"page_name":"Home","url":"https://shop.example.com/"}`, string(got["m3"].Properties))
	assert.Equal(t, "anon-0", got["m6"].Subject.AnonymousID)
	assert.Len(t, f.dead(), 5, "what was refused is among the dead letters")
}

func TestSegmentDoors(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		path, body, auth string
		code             int
		status, name     string
	}{
		{"/v1/track", `{"event":"x","anonymousId":"a","writeKey":"px_demo"}`, "", 200, "accepted", "x"},
		{"/v1/t", `{"event":"x","anonymousId":"a"}`, basic("px_demo"), 200, "accepted", "x"},
		{"/v1/page", `{"anonymousId":"a"}`, basic("px_demo"), 200, "accepted", "page_view"},
		{"/v1/identify", `{"anonymousId":"a","traits":{}}`, basic("px_demo"), 200, "accepted", "identify"},
		{"/v1/screen", `{"anonymousId":"a"}`, basic("px_demo"), 200, "accepted", "screen_view"},
		{"/v1/group", `{"anonymousId":"a","groupId":"g"}`, basic("px_demo"), 200, "ignored", ""},
		{"/v1/alias", `{"previousId":"a","userId":"b"}`, basic("px_demo"), 200, "accepted", "alias"},
		{"/v1/track", `{"anonymousId":"a"}`, basic("px_demo"), 400, "rejected", ""},
		{"/v1/track", `{"event":"x"}`, basic("px_none"), 404, "", ""},
		{"/v1/track", `{"event":"x"}`, "", 404, "", ""},
		{"/v1/track", `{"event":"x"}`, basic("px_off"), 404, "", ""},
		{"/v1/batch", `{"batch":[]}`, basic("px_demo"), 400, "", ""},
		{"/v1/batch", `{"batch":{}}`, basic("px_demo"), 400, "", ""},
		{"/v1/batch", `{`, basic("px_demo"), 400, "", ""},
		{"/v1/batch", `[]`, basic("px_demo"), 400, "", ""},
		{"/v1/batch", `{"batch":[{"type":"page","writeKey":"px_demo","anonymousId":"a"}]}`, "", 200, "accepted", "page_view"},
		{"/v1/track", `{"event":"x","anonymousId":"a","properties":[1]}`, basic("px_demo"), 400, "rejected", ""},
		{"/v1/track", `{"event":"x","properties":` + strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 41), basic("px_demo"), 400, "rejected", ""},
		{"/v1/track", `{"event":"x","properties":{"a":"` + strings.Repeat("x", 40<<10) + `"}}`, basic("px_demo"), 400, "rejected", ""},
		{"/v1/track", `{"event":"x","context":{"page":{"url":"https://x","title":7},"ip":{},"traits":{"email":[]},"consent":7}}`, basic("px_cmp"), 200, "suppressed", ""},
	} {
		var headers []string
		if c.auth != "" {
			headers = []string{"Authorization", c.auth}
		}
		code, a := f.segment(c.path, c.body, headers...)
		assert.Equal(t, c.code, code, c.path+c.body[:min(len(c.body), 60)])
		if c.status != "" && assert.Len(t, a.Results, 1, c.body) {
			assert.Equal(t, c.status, a.Results[0].Status, a.Results[0].Message)
		}
		events := f.everything()
		if c.name == "" {
			assert.Empty(t, events)
		} else if assert.Len(t, events, 1, c.body) {
			assert.Equal(t, c.name, events[0].Name)
		}
	}
	w := f.do("POST", "/v1/track", strings.NewReader(`{"event":"x"}`), "Origin", "https://evil.test", "Authorization", basic("px_site"))
	assert.Equal(t, http.StatusForbidden, w.Code)
	w = f.do("OPTIONS", "/v1/t", nil, "Origin", "https://shop.example.com")
	assert.Contains(t, w.Header().Get("Access-Control-Allow-Headers"), "Authorization")
	w = f.do("POST", "/v1/batch", strings.NewReader(`{"batch":[`+strings.Repeat(`{},`, 3000)+`{}]}`), "Authorization", basic("px_demo"))
	assert.Equal(t, http.StatusBadRequest, w.Code)
	w = f.do("POST", "/v1/batch", strings.NewReader(strings.Repeat("x", 3<<20)), "Authorization", basic("px_demo"))
	assert.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
}

// TestSegmentConsent goes through what context.consent may say and what becomes of it
// by the pixel's consent mode.
func TestSegmentConsent(t *testing.T) {
	prefs := func(s string) string { return `"categoryPreferences":{` + s + `}` }
	for _, c := range []struct {
		name, pixel, consent string
		state                event.State
	}{
		{"nothing is said, and the site vouches for it", "px_demo", ``, event.Full},
		{"nothing is said, and a CMP is expected", "px_cmp", ``, event.None},
		{"nothing is said, and Consent Mode is expected", "px_gcm", ``, event.None},
		{"all granted", "px_gcm", prefs(`"Analytics":true,"Advertising":true`), event.Full},
		{"by OneTrust's numbers", "px_gcm", prefs(`"C0002":true,"C0004":true,"C0001":true`), event.Full},
		{"advertising denied", "px_gcm", prefs(`"Analytics":true,"Advertising":false`), event.Partial},
		{"advertising not mentioned", "px_gcm", prefs(`"Analytics":true`), event.Partial},
		{"analytics denied", "px_gcm", prefs(`"Analytics":false,"Advertising":true`), event.None},
		{"two categories for one signal, one denied", "px_gcm", prefs(`"Analytics":true,"Statistics":false,"Advertising":true`), event.None},
		{"no category that we know", "px_gcm", prefs(`"Functional":true`), event.None},
		{"no category at all", "px_gcm", prefs(``), event.None},
		{"not a boolean", "px_gcm", prefs(`"Analytics":"true","Advertising":1`), event.None},
		{"not an object", "px_gcm", `"categoryPreferences":[]`, event.None},
		{"a refusal counts where the site vouches, too", "px_demo", prefs(`"Analytics":true,"Advertising":false`), event.Partial},
		{"and one of everything", "px_demo", prefs(`"Analytics":false`), event.None},
		{"categories are no TC string", "px_cmp", prefs(`"Analytics":true,"Advertising":true`), event.None},
		{"an opt-out in a GPP string", "px_demo", `"gpp":"DBABLA~BkaVACQIiaA.YA","gpp_sid":[7]`, event.Partial},
		{"a TC string that refuses", "px_cmp", `"gdpr_applies":true,"tcf":"` + refusing + `"`, event.None},
		{"us_privacy", "px_demo", `"us_privacy":"1YYN"`, event.Partial},
		{"the site's own names", "px_named", prefs(`"stats":true,"ads":true`), event.Full},
		{"the usual names mean nothing then", "px_named", prefs(`"Analytics":true,"Advertising":true`), event.None},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			_, a := f.segment("/v1/track", `{"event":"x","anonymousId":"a","context":{"consent":{`+c.consent+`}}}`, "Authorization", basic(c.pixel))
			require.Len(t, a.Results, 1)
			events := f.everything()
			if c.state == event.None {
				assert.Equal(t, "suppressed", a.Results[0].Status)
				assert.Empty(t, events)
				return
			}
			require.Len(t, events, 1, a.Results[0].Message)
			assert.Equal(t, c.state, events[0].Verdict.State, events[0].Verdict.Reason)
		})
	}
}

func TestSegmentSettingsLeadTheBrowserClientHere(t *testing.T) {
	f := newFixture(t)
	w := f.do("GET", "/v1/projects/px_demo/settings", nil, "Origin", "https://shop.example.com")
	require.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
	assert.Contains(t, w.Body.String(), `"apiHost":"example.com/v1"`)
	assert.Equal(t, http.StatusNotModified, f.do("GET", "/v1/projects/px_demo/settings", nil, "If-None-Match", w.Header().Get("ETag")).Code)
	assert.Equal(t, http.StatusNotFound, f.do("GET", "/v1/projects/px_none/settings", nil).Code)
}

// FuzzSegment looks for a message that panics, or is answered with what is our fault.
func FuzzSegment(f *testing.F) {
	for _, s := range []string{
		`{"type":"track","event":"Order Completed","properties":{"products":[{"product_id":1}],"revenue":"1"}}`,
		`{"type":"page","name":7,"context":{"page":{"url":"https://x?gclid=%zz"},"campaign":{"source":"s"},"consent":{"categoryPreferences":{"a":{}}}}}`,
		`{"type":"identify","traits":{"address":{"city":1}}}`, `{"type":"alias","previousId":[]}`, `[]`, `{"type":"track","event":"\u0000","properties":null}`,
		`{"context":{"consent":[]}}`, `{"context":{"screen":{"width":1e300}}}`, `{"event":"` + strings.Repeat("ü", 70) + `"}`,
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	c, said := fuzzed(f, nowhere{})
	f.Fuzz(func(t *testing.T, message string, batch bool) {
		path, body := "/v1/track", message
		if batch {
			path, body = "/v1/batch", `{"batch":[`+message+`]}`
		}
		fx := &fixture{Collector: c, t: nil}
		w := fx.raw(path, body)
		if w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if said.Len() > 0 {
			t.Fatalf("logged %s", said)
		}
	})
}
