package admin

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/fields"
)

// sentFields notes the requests of the adapters' golden files as sent by pixels.
func sentFields(t *testing.T, b *bench, pixels ...string) {
	t.Helper()
	r := fields.New(b.o.State, slog.New(slog.DiscardHandler))
	r.Start()
	for partner, golden := range map[string]string{"ttd": "full", "amazon": "full", "yahoo": "full", "dv360": "data_manager/full"} {
		raw, err := os.ReadFile("../partner/" + partner + "/testdata/" + golden + "/request.json")
		must(t, err)
		var q struct {
			URL  string         `json:"url"`
			Body jsontext.Value `json:"body"`
		}
		must(t, json.Unmarshal(raw, &q))
		must(t, q.Body.Compact()) // as adapters write it
		for _, px := range pixels {
			r.Sent(partner, fields.Request{URL: q.URL, Type: "application/json", Body: q.Body, Pixels: []string{px}, At: time.Now()})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r.Stop(ctx)
}

func TestTheFieldsThatWereSentAreShown(t *testing.T) {
	b := open(t, allPartners)
	for _, id := range []string{"px_1", "px_2", "px_3"} {
		ask[any](b, post, base+"/pixels", map[string]any{"id": id, "name": id}, 201)
	}
	v := b.as(Viewer)
	contains(t, v.get("/privacy/fields").body, "Nothing was sent yet")
	sentFields(t, b, "px_1", "px_2")

	got := ask[page[fieldView]](b, get, base+"/fields?pixel_id=px_1&partner=amazon", nil, 200).Items
	events := map[string]fieldView{}
	for _, f := range got {
		if f.PixelID != "px_1" || f.Partner != "amazon" {
			t.Errorf("not asked for: %+v", f)
		}
		events[f.Path] = f
	}
	f := events["events[].matchKeys[EMAIL].values[]"]
	if f.Events != 1 || f.Field != "E-mail address, hashed" || time.Since(f.LastSeen) > time.Hour || f.FirstSeen.After(f.LastSeen) {
		t.Errorf("%+v of %d", f, len(got))
	}
	if none := ask[page[fieldView]](b, get, base+"/fields?pixel_id=px_3", nil, 200).Items; none == nil || len(none) != 0 {
		t.Errorf("%+v", none)
	}
	if none := ask[page[fieldView]](b, get, base+"/fields?partner=nobody", nil, 200).Items; none == nil || len(none) != 0 {
		t.Errorf("%+v", none)
	}
	body := v.get("/privacy/fields").body
	contains(t, body, "E-mail address, hashed", "events[].matchKeys[EMAIL].values[]", "data[].tracker_id", "Partner&#39;s tracker", "2 events", "not sent", "/api/v1/fields?pixel_id=&amp;format=csv")
	contains(t, v.get("/privacy/fields?pixel_id=px_2").body, "data[].tracker_id", "1 event", "/api/v1/fields?pixel_id=px_2&amp;format=csv")
	contains(t, v.get("/privacy/fields?pixel_id=px_3").body, "Nothing was sent yet")

	file := v.get(base + "/fields?format=csv").body
	if !strings.HasPrefix(file, "pixel_id,partner,field,path,first_seen,last_seen,events\n") || !strings.Contains(file, "\npx_2,amazon,\"E-mail address, hashed\",events[].matchKeys[EMAIL].values[],") {
		t.Errorf("%.600s", file)
	}
}

func TestFieldsInPlainWords(t *testing.T) {
	for path, want := range map[string]string{
		"data[].client_ip":       "Visitor's network address (IP)",
		"[].userData.ip_address": "Visitor's network address (IP)",
		"events[].userData.userIdentifiers[].address.postalCode":     "Postal code of the address",
		"conversions[].userIdentifiers[].addressInfo.hashedLastName": "Last name, hashed",
		"events[].matchKeys[FIRST_NAME].values[]":                    "First name, hashed",
		"data[].privacy_settings[].consent_string":                   "Consent: the signal itself",
		"gv":                                  "Value of the order",
		"[].customKeyValues.shirt-size":       "Site's own attribute: shirt-size",
		"events[].customData[plan]":           "Site's own attribute: plan",
		"events[].matchKeys[NEW_ID].values[]": "Match keys NEW_ID: values",
		"…":                                   "More fields than are listed",
		"*":                                   "*",
		"[]":                                  "[]",
	} {
		if got := fieldWords(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}
