package app

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/admin"
	"github.com/miq/pixel/modules/event"
)

// What a built-in schema refuses of a pixel that says nothing of schemas lies among the
// dead letters with the place that is wrong; edited and replayed it is stored and sent on
// like any other event.
func TestAViolationIsEditedReplayedAndStored(t *testing.T) {
	var console *admin.Admin
	j := begin(t, map[string]string{"admin.token": "the-token-of-this-test"}, fx.Populate(&console))
	c := &caller{journey: j, console: console, base: "http://" + console.Addr(), token: "the-token-of-this-test", client: http.DefaultClient}
	for id, x := range map[string]struct{ wrong, reason, edit string }{
		"bad-tax":   {`"value":5,"tax":{"rate":20}`, "schema: /properties/tax must be", `{"tax":1}`},
		"bad-value": {`"value":"lots"`, "invalid_order: /properties/value must be a number", `{"value":249.95}`},
	} {
		resp, err := http.Post(j.base+"/collect", "application/json", strings.NewReader(fmt.Sprintf(
			`{"pixel_id":"px_1","consent":%s,"identity":{"anonymous_id":"anon-1","email":"ada@example.com","click_ids":{"gclid":"g1"}},"context":{"page":{"url":"https://shop.example.com/thanks"}},
			"events":[{"id":%q,"name":"purchase","properties":{"order_id":"order-%[2]s","currency":"USD","items":[{"item_id":"SKU1"}],%s}}]}`, optedIn, id, x.wrong)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Fatalf("%s: answered %d", id, resp.StatusCode)
		}
		var letter string
		for _, l := range listed(c.get("/dlq/validation")) {
			if strings.HasPrefix(field(l, "reason"), x.reason) {
				letter = field(l, "id")
			}
		}
		if letter == "" {
			t.Fatalf("%s: no letter says %q: %v", id, x.reason, c.get("/dlq/validation"))
		}
		c.post("/dlq/validation/replay", fmt.Sprintf(`{"ids":[%q]}`, letter), http.StatusUnprocessableEntity)
		c.post("/dlq/validation/replay", fmt.Sprintf(`{"ids":[%q],"edit":{"event":{"properties":%s}}}`, letter, x.edit), http.StatusOK)
		for partner, s := range j.settled(id) {
			if s.Outcome != event.Accepted {
				t.Errorf("%s at %s: %s %s %s", id, partner, s.Outcome, s.Code, s.Message)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		stored, err := j.events.Event(ctx, "px_1", id)
		cancel()
		if err != nil || stored.Order.ID != "order-"+id || stored.Order.Value == "" || strings.Contains(string(stored.Properties), "lots") || strings.Contains(string(stored.Properties), "rate") {
			t.Errorf("%s: stored %+v, %v", id, stored, err)
		}
	}
	if left := listed(c.get("/dlq/validation")); len(left) != 0 {
		t.Errorf("letters are left: %v", left)
	}
}
