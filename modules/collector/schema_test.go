package collector

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

func TestAnEventThatItsSchemaRefusesCanBeMended(t *testing.T) {
	for mode, status := range map[string]string{"": "accepted", settings.SchemaOff: "accepted", settings.SchemaWarn: "accepted", settings.SchemaRefuse: "rejected"} {
		t.Run("mode "+mode, func(t *testing.T) {
			f := newFixture(t, func(o *Options) {
				p := somePixels()
				px := p["px_demo"]
				px.Schemas = settings.Schemas{Mode: mode, Own: []settings.SchemaVersion{{Event: "trial", Version: 1, Schema: jsontext.Value(`{"required":["plan"]}`)}}}
				p["px_demo"] = px
				o.Pixels = p
			})
			body := `{"pixel_id":"px_demo","identity":{"anonymous_id":"a1","email":"bob@example.com"},"events":[
				{"id":"good","name":"trial","properties":{"plan":"x"}},{"id":"bad","name":"trial","properties":{"seats":3,"note":"of bob@example.com"}}]}`
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", "/collect", strings.NewReader(body))
			r.RemoteAddr = "203.0.113.77:5000"
			f.echo.ServeHTTP(w, r)
			var a struct {
				Results []struct{ Status, Code, Message string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &a, json.MatchCaseInsensitiveNames(true)); err != nil || w.Code != http.StatusAccepted {
				t.Fatal(w.Code, w.Body, err)
			}
			if a.Results[0].Status != "accepted" || a.Results[1].Status != status {
				t.Fatalf("%+v", a.Results)
			}
			letters, _, err := f.queue.Dead(t.Context(), queue.Validation, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			if mode != settings.SchemaRefuse {
				if len(letters) != 0 {
					t.Error(letters)
				}
				return
			}
			if got := a.Results[1]; got.Code != "schema" || !strings.Contains(got.Message, "/properties/plan is required") {
				t.Errorf("%+v", got)
			}
			if len(letters) != 1 || letters[0].Reason != "schema: /events/1/properties/plan is required" && letters[0].Reason != "schema: /properties/plan is required" {
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
