package collector

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/deadletters"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

func TestAnEventThatItsSchemaRefusesCanBeMended(t *testing.T) {
	for mode, status := range map[string]string{"": "rejected", settings.SchemaOff: "accepted", settings.SchemaWarn: "accepted", settings.SchemaRefuse: "rejected"} {
		t.Run("mode "+mode, func(t *testing.T) {
			f := newFixture(t, func(o *Options) {
				p := somePixels()
				px := p["px_demo"]
				px.Schemas = settings.Schemas{Mode: mode, Own: []settings.SchemaVersion{{Event: "trial", Version: 1, Schema: jsontext.Value(`{"required":["plan"]}`)}}}
				p["px_demo"] = px
				o.Pixels = p
			})
			a, letters := f.told(t, `{"pixel_id":"px_demo","identity":{"anonymous_id":"a1","email":"bob@example.com"},"events":[
				{"id":"good","name":"trial","properties":{"plan":"x"}},{"id":"bad","name":"trial","properties":{"seats":3,"note":"of bob@example.com"}}]}`)
			if a[0].Status != "accepted" || a[1].Status != status {
				t.Fatalf("%+v", a)
			}
			if status == "accepted" {
				if len(letters) != 0 {
					t.Error(letters)
				}
				return
			}
			if got := a[1]; got.Code != "schema" || !strings.Contains(got.Message, "/properties/plan is required") {
				t.Errorf("%+v", got)
			}
			if len(letters) != 1 || letters[0].Reason != "schema: /properties/plan is required" {
				t.Fatalf("%+v", letters)
			}
			var l violation
			if err := json.Unmarshal(letters[0].Body, &l); err != nil {
				t.Fatal(err)
			}
			e := l.Event
			if e.ID != "bad" || e.Receipt == "" || e.Subject.AnonymousID != "a1" || e.Context.IP != "203.0.113.0" || e.Verdict.State != event.Full || string(e.Properties) != `{"seats":3,"note":"of (removed)"}` {
				t.Errorf("%+v", fmt.Sprint(string(letters[0].Body)))
			}
			if strings.Contains(string(letters[0].Body), "bob@") {
				t.Error("the letter holds the address")
			}
		})
	}
}

// told sends an envelope and returns what was said of its events, and the dead letters.
func (f *fixture) told(t *testing.T, body string) (results []toldResult, letters []queue.DeadLetter) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/collect", strings.NewReader(body))
	r.RemoteAddr = "203.0.113.77:5000"
	f.echo.ServeHTTP(w, r)
	var a struct{ Results []toldResult }
	if err := json.Unmarshal(w.Body.Bytes(), &a, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(w.Code, w.Body, err)
	}
	letters, _, err := f.queue.Dead(t.Context(), queue.Validation, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	return a.Results, letters
}

type toldResult struct{ Status, Code, Message string }

// Where a pixel says nothing, what is there has to be usable, and only names are needed.
func TestStandardEventsOfAPixelThatSaysNothing(t *testing.T) {
	for name, x := range map[string]struct{ event, properties, reason string }{
		"a whole purchase":          {"purchase", `{"order_id":"A-1","value":9.5,"currency":"GBP","items":[{"item_id":"a","price":"9.50","index":"1","coupon":null}]}`, ""},
		"a purchase of its name":    {"purchase", `{}`, ""},
		"no properties at all":      {"view_item", ``, ""},
		"what is null or empty":     {"add_to_cart", `{"currency":"","tax":null,"items":[],"coupon":""}`, ""},
		"a price of nothing":        {"view_item", `{"value":0,"currency":"GBP","items":[{"item_id":"a","price":0}]}`, ""},
		"a discount below zero":     {"view_item", `{"items":[{"item_id":"a","discount":-1}]}`, ""},
		"an event without a schema": {"heartbeat", `{"value":["x"],"items":7}`, ""},
		"a value that is none":      {"purchase", `{"order_id":"A-2","value":"lots","currency":"GBP"}`, "invalid_order: /properties/value must be a number"},
		"a price that is a list":    {"view_item", `{"items":[{"item_id":"a"},{"item_id":"b","price":[1]}]}`, "invalid_order: /properties/items/1/price"},
		"a tax that is none":        {"purchase", `{"order_id":"A-3","value":1,"currency":"GBP","tax":"12,50"}`, "schema: /properties/tax must be"},
		"a term that is an object":  {"search", `{"search_term":{"q":"shoe"}}`, "schema: /properties/search_term must be of the type boolean or number or string"},
		"a discount that is a text": {"view_item", `{"items":[{"item_id":"a","discount":"much"}]}`, "schema: /properties/items/0/discount must be"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			properties := ""
			if x.properties != "" {
				properties = `,"properties":` + x.properties
			}
			a, letters := f.told(t, `{"pixel_id":"px_demo","identity":{"anonymous_id":"a1"},"events":[{"id":"e1","name":"`+x.event+`"`+properties+`}]}`)
			if x.reason == "" {
				if a[0].Status != "accepted" || len(letters) != 0 {
					t.Errorf("%+v, %d letters", a, len(letters))
				}
				return
			}
			if a[0].Status != "rejected" || len(letters) != 1 || !strings.HasPrefix(letters[0].Reason, x.reason) {
				t.Fatalf("%+v, %+v", a, letters)
			}
			var l violation
			if err := json.Unmarshal(letters[0].Body, &l); err != nil || !deadletters.Mendable(letters[0].Body) || l.Event.ID != "e1" || string(l.Event.Properties) != x.properties {
				t.Errorf("%s: %v", letters[0].Body, err)
			}
		})
	}
}
