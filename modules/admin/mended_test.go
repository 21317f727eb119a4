package admin

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

func TestWhatASchemaRefusedIsMendedAndSentOn(t *testing.T) {
	b := open(t)
	p, err := b.o.Settings.SavePixel(t.Context(), settings.Pixel{ID: "px_mend", Name: "x", Enabled: true, ConsentMode: settings.Implied})
	must(t, err)
	p = ask[settings.Pixel](b, "PATCH", base+"/pixels/"+p.ID, `{"schemas":{"mode":"refuse"},"processing":{"off":["geo"],"automated":"send","personal_keys":["member"]}}`, 200)
	if p.Schemas.Mode != "refuse" || p.Processing.Automated != "send" {
		t.Errorf("%+v", p)
	}
	v := ask[settings.SchemaVersion](b, "PUT", base+"/pixels/px_mend/schemas/trial", `{"required":["plan"]}`, 200)
	if v.Version != 1 {
		t.Errorf("%+v", v)
	}
	if got := b.call(adminToken, "PUT", base+"/pixels/px_mend/schemas/trial", `{"type":"things"}`); got.status != 422 || !strings.Contains(got.body, "must be a JSON Schema: /type: ") {
		t.Errorf("%d %s", got.status, got.body)
	}
	now := time.Now().UTC()
	e := event.Event{ID: "e1", Receipt: "r1", PixelID: "px_mend", Name: "trial", Time: now, ReceivedAt: now, Source: "web", Priority: event.Standard,
		Verdict: event.Verdict{State: event.Full}, Properties: []byte(`{"seats":3}`)}
	body, err := json.Marshal(map[string]any{"pixel_id": e.PixelID, "code": "schema", "event": &e})
	must(t, err)
	must(t, b.queue.Push(t.Context(), queue.Item{Queue: queue.Validation, Body: body, Account: queue.AccountOf("", now), Reason: "schema: /properties/plan is required"}))

	replay := base + "/dlq/validation/replay"
	if got := b.call(adminToken, "POST", replay, `{"all":true}`); got.status != 422 || !strings.Contains(got.body, "is required") || !strings.Contains(got.body, "properties.plan") && !strings.Contains(got.body, "properties/plan") {
		t.Errorf("as it is: %d %s", got.status, got.body)
	}
	if got := b.call(adminToken, "POST", replay, `{"all":true,"edit":{"event":{"verdict":{"state":"full"}}}}`); got.status != 422 || !strings.Contains(got.body, "cannot be edited") {
		t.Errorf("its consent: %d %s", got.status, got.body)
	}
	m := ask[moved](b, "POST", replay, `{"all":true,"edit":{"event":{"properties":{"plan":"gold"}}}}`, 200)
	if m.Moved != 1 {
		t.Errorf("%+v", m)
	}
	letters, _, err := b.queue.Dead(t.Context(), queue.Validation, "", 10)
	must(t, err)
	if len(letters) != 0 {
		t.Errorf("%d letters are left", len(letters))
	}
	messages, err := b.queue.Pull(t.Context(), queue.Ingest(event.Standard), 10)
	must(t, err)
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	var got event.Event
	must(t, event.Decode(messages[0].Body, &got))
	if got.ID != "e1" || string(got.Properties) != `{"seats":3,"plan":"gold"}` && string(got.Properties) != `{"plan":"gold","seats":3}` {
		t.Errorf("%s", got.Properties)
	}
	ask[settings.SchemaVersion](b, "DELETE", base+"/pixels/px_mend/schemas/trial", "", 200)
	s := ask[schemasView](b, "GET", base+"/pixels/px_mend/schemas", "", 200)
	if len(s.Own) != 2 || s.Own[1].Version != 2 || len(s.Own[1].Schema) != 0 || len(s.Standard) < 15 || s.Mode != "refuse" {
		t.Errorf("%+v", s)
	}
	if current := func() []settings.SchemaVersion { return s.Own }(); current[0].By == "" {
		t.Error("nobody is named for the change")
	}
}

func TestWhatASchemaRefusedIsMendedInTheConsole(t *testing.T) {
	b := open(t)
	b.shop()
	p, _ := b.o.Settings.Pixel("px_shop")
	p.Schemas.Mode = settings.SchemaRefuse
	p.Schemas.Put("trial", []byte(`{"required":["plan"]}`), "ada", time.Now())
	_, err := b.o.Settings.SavePixel(t.Context(), p)
	must(t, err)
	now := time.Now().UTC()
	e := event.Event{ID: "e1", Receipt: "r1", PixelID: "px_shop", Name: "trial", Time: now, ReceivedAt: now, Source: "web", Priority: event.Standard,
		Verdict: event.Verdict{State: event.Full}, Properties: []byte(`{"seats":3}`)}
	body, err := json.Marshal(map[string]any{"pixel_id": e.PixelID, "code": "schema", "event": &e})
	must(t, err)
	must(t, b.queue.Push(t.Context(),
		queue.Item{Queue: queue.Validation, Body: body, Account: queue.AccountOf("", now), Reason: "schema: /properties/plan is required"},
		queue.Item{Queue: queue.Validation, Body: []byte(`{"pixel_id":"px_shop","code":"name"}`), Account: queue.AccountOf("", now), Reason: "name: is not one"},
	))
	w := b.as(Administrator)
	contains(t, w.get("/dead/validation").body, "can be mended", "not replayable", "Replay all 1")
	all := func(change ...string) url.Values {
		f := url.Values{"scope": {"all"}}
		for i := 0; i < len(change); i += 2 {
			f.Set(change[i], change[i+1])
		}
		return f
	}
	contains(t, w.post("/dead/validation/replay", all()).body, "Replay 1 dead letter?", "What is wrong with the event")
	wrong := w.post("/dead/validation/replay", all("confirm", "yes"))
	if wrong.status != 422 {
		t.Errorf("as it is: %d", wrong.status)
	}
	contains(t, wrong.body, "field-error", "properties.plan is required")
	if got := w.post("/dead/validation/replay", all("confirm", "yes", "total", "1", "event", `{"properties":{"plan":"gold"}}`)); got.status != 303 {
		t.Fatalf("mended: %d %.300s", got.status, got.body)
	}
	messages, err := b.queue.Pull(t.Context(), queue.Ingest(event.Standard), 10)
	must(t, err)
	var got event.Event
	if len(messages) != 1 || event.Decode(messages[0].Body, &got) != nil || got.ID != "e1" || !strings.Contains(string(got.Properties), "gold") {
		t.Errorf("%d messages, %s", len(messages), got.Properties)
	}
	contains(t, w.get("/dead/validation").body, "not replayable")
}
