package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/admin"
	"github.com/miq/pixel/modules/contracttest"
)

// caller asks the API of a running product.
type caller struct {
	*journey
	console     *admin.Admin
	base, token string
	client      *http.Client
}

// ask makes one call, wants a status and returns the answer as JSON has it.
func (c *caller) ask(method, path string, body any, want int) map[string]any {
	c.t.Helper()
	var in io.Reader
	if body != nil {
		raw, ok := body.(string)
		if !ok {
			b, err := json.Marshal(body)
			if err != nil {
				c.t.Fatal(err)
			}
			raw = string(b)
		}
		in = strings.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, in)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.client.Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != want {
		c.t.Fatalf("%s %s: %d, not %d: %.600s", method, path, resp.StatusCode, want, answer)
	}
	out := map[string]any{}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") && len(answer) > 0 && answer[0] == '{' {
		if err := json.Unmarshal(answer, &out); err != nil {
			c.t.Fatalf("%s %s: %v in %.300s", method, path, err, answer)
		}
	}
	return out
}

// get is ask for what only reads.
func (c *caller) get(path string) map[string]any {
	c.t.Helper()
	return c.ask(http.MethodGet, "/api/v1"+path, nil, http.StatusOK)
}

func (c *caller) post(path string, body any, want int) map[string]any {
	c.t.Helper()
	return c.ask(http.MethodPost, "/api/v1"+path, body, want)
}

func listed(answer map[string]any) []any {
	list, _ := answer["items"].([]any)
	return list
}

// field is a member of an object, as text.
func field(v any, name string) string {
	m, _ := v.(map[string]any)
	s, _ := m[name].(string)
	return s
}

// TestTheAPIIsWhatItsDocumentSays asks every operation of openapi.yaml of the whole
// product, in the order of a day's work, until each has answered with each of its
// statuses of success, and has been refused. Request and answer are held against the
// document each time.
func TestTheAPIIsWhatItsDocumentSays(t *testing.T) {
	var console *admin.Admin
	j := begin(t, map[string]string{"admin.token": "the-token-of-the-contract"}, fx.Populate(&console))
	c := &caller{journey: j, console: console, base: "http://" + console.Addr(), token: "the-token-of-the-contract", client: http.DefaultClient}

	resp, err := http.Get(c.base + "/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	document, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	contract := contracttest.Read(t, document)
	c.client = &http.Client{Transport: contract.Transport(http.DefaultTransport)}
	c.ask(http.MethodGet, "/api/openapi.yaml", nil, http.StatusOK)

	c.pixels()
	c.partners()
	c.events()
	c.reports()
	c.queuesAndLetters()
	c.replays()
	c.identities()
	c.privacy()
	c.people()
	for _, left := range contract.Unasked() {
		t.Errorf("nobody asked %s", left)
	}

	t.Run("nobody is let in", func(t *testing.T) {
		stranger := *c
		stranger.token = ""
		for _, op := range contract.Operations() {
			method, path, _ := strings.Cut(op, " ")
			if path == "/api/openapi.yaml" {
				continue
			}
			var body any
			if method != http.MethodGet && method != http.MethodDelete {
				body = "{}"
			}
			stranger.ask(method, filled(path), body, http.StatusUnauthorized)
		}
	})
	t.Run("what is not there is said to be not there", func(t *testing.T) {
		known := map[string]bool{}
		for _, op := range contract.Operations() {
			known[op] = true
		}
		for _, op := range contract.Operations() {
			_, path, _ := strings.Cut(op, " ")
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
				if !known[method+" "+path] {
					known[method+" "+path] = true
					c.ask(method, filled(path), nil, http.StatusMethodNotAllowed)
				}
			}
		}
		for _, path := range []string{"/api/", "/api/v1", "/api/v1/nothing", "/api/v1/pixels/px_1/nothing/at/all", "/api/v2/pixels"} {
			c.ask(http.MethodGet, path, nil, http.StatusNotFound)
		}
	})
	t.Run("bad input is refused in the form of a problem", func(t *testing.T) {
		for _, op := range contract.Operations() {
			method, path, _ := strings.Cut(op, " ")
			if !contract.TakesBody(op) {
				continue
			}
			for _, body := range []string{"{", `{"no_such_member": 1}`, `[1,2]`, `"text"`} {
				c.refused(method, filled(path), body)
			}
		}
	})
}

// wrong makes a call that somebody got wrong, and wants to be told so.
func (c *caller) wrong(method, path string, body any) {
	c.t.Helper()
	text, _ := body.(string)
	if status := c.refused(method, path, text); status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
		c.t.Errorf("%s %s with %q: %d", method, path, text, status)
	}
}

// refused makes a call that cannot succeed; whether the answer has the form of a
// problem is the contract's to say.
func (c *caller) refused(method, path, body string) int {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 500 {
		c.t.Errorf("%s %s with %s: %d", method, path, body, resp.StatusCode)
	}
	return resp.StatusCode
}

// filled puts something into the places of a path.
func filled(path string) string {
	return strings.NewReplacer("{id}", "nothing", "{name}", "nobody", "{queue}", "nowhere", "{event}", "purchase").Replace(path)
}

func (c *caller) pixels() {
	made := c.post("/pixels", map[string]any{"name": "Second", "advertiser": "Acme", "domains": []string{"second.example.com"}, "consent_mode": "gcm"}, http.StatusCreated)
	at := "/api/v1/pixels/" + field(made, "id")
	c.get("/pixels")
	c.ask(http.MethodGet, at, nil, 200)
	c.ask(http.MethodPatch, at, `{"name":"The second","domains":null,"retention":{"events_days":30}}`, 200)
	c.wrong(http.MethodPatch, at, `{"no_such":1}`)
	c.ask(http.MethodGet, at+"/snippet", nil, 200)
	c.ask(http.MethodGet, at+"/installation", nil, 200)
	c.ask(http.MethodGet, at+"/tag-manager.tpl", nil, 200)
	c.ask(http.MethodPut, at+"/routes", `[{"partner":"ttd","event":"purchase","enabled":true,"params":{"adv":"a","tracker_id":"t"}}]`, 200)
	c.wrong(http.MethodPut, at+"/routes", `[{"partner":"nobody","event":"purchase"}]`)
	c.ask(http.MethodPut, at+"/schemas/purchase", `{"type":"object","required":["order_id"]}`, 200)
	c.ask(http.MethodGet, at+"/schemas", nil, 200)
	c.ask(http.MethodDelete, at+"/schemas/purchase", nil, 200)
	c.ask(http.MethodDelete, at, nil, 204)
	c.ask(http.MethodGet, at, nil, 404)
}

func (c *caller) partners() {
	c.get("/partners")
	c.get("/partners/ttd")
	c.ask(http.MethodPatch, "/api/v1/partners/ttd", `{"mode":"on","accounts":{"second":{}}}`, 200)
	c.wrong(http.MethodPatch, "/api/v1/partners/ttd", `{"mode":"sideways"}`)
	c.post("/partners/ttd/test", `{"pixel_id":"px_1"}`, 200)
	c.post("/partners/amazon/test", `{"pixel_id":"px_1","dry":true}`, 200)
}

func (c *caller) events() {
	if got := c.journey.post("e1", optedIn); got != "accepted" {
		c.t.Fatalf("e1: %s", got)
	}
	c.settled("e1")
	c.get("/events?pixel_id=px_1&limit=1")
	c.get("/events?country=US&not.device=bot")
	c.get("/events?format=csv")
	c.get("/events?format=parquet")
	c.get("/events/e1?pixel_id=px_1")
	c.get("/syncs?partner=ttd&event_id=e1")
	c.wrong(http.MethodGet, "/api/v1/events?since=never", nil)

	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1/events/live?pixel_id=px_1", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		c.t.Errorf("the stream: %q %v", line, err)
	}
}

func (c *caller) reports() {
	for _, path := range []string{
		"at-risk", "timeseries", "timeseries?metric=revenue&step=hour&group_by=country", "top?dimension=country&country=US", "attribution?model=all", "attribution/paths",
		"consent", "consent?step=hour", "match-readiness", "ledger", "reconciliation", "funnel?step=page_view&step=purchase&window=7d", "latency", "latency?step=hour", "duplicates", "loss",
	} {
		c.get("/reports/" + path)
	}
	for _, path := range []string{"timeseries", "top?dimension=name", "attribution", "attribution/paths", "consent", "match-readiness", "ledger", "reconciliation", "funnel?step=page_view&step=purchase", "latency", "duplicates"} {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		c.get("/reports/" + path + sep + "format=csv")
	}
	waitFor(c.t, "the fields that were sent are known", func() bool { return len(listed(c.get("/fields?pixel_id=px_1&partner=ttd"))) > 0 })
	c.get("/fields?format=csv")
	c.wrong(http.MethodGet, "/api/v1/reports/top", nil)
	c.post("/reports/attribution/run", nil, 202)
}

// queuesAndLetters has a partner hold its events and another refuse them.
func (c *caller) queuesAndLetters() {
	c.ask(http.MethodPatch, "/api/v1/partners/amazon", `{"mode":"hold"}`, 200)
	c.ask(http.MethodPut, "/api/v1/pixels/px_1/routes", `[{"partner":"ttd","event":"purchase","enabled":true,"params":{"adv":"adv1","tracker_id":"undefined1"}},
		{"partner":"amazon","event":"purchase","enabled":true,"params":{"account_id":"1234567890"}}]`, 200)
	for i := range 4 {
		if got := c.journey.post(fmt.Sprint("held-", i), optedIn); got != "accepted" {
			c.t.Fatal(got)
		}
	}
	waitFor(c.t, "letters are dead and messages held", func() bool {
		return len(listed(c.get("/dlq/ttd"))) == 4 && len(listed(c.get("/queues/s2s:amazon/messages"))) == 4
	})
	c.get("/queues")
	c.get("/processes")
	first := listed(c.get("/queues/s2s:amazon/messages"))[0]
	c.post("/queues/s2s:amazon/skip", map[string]any{"ids": []string{field(first, "id")}, "reason": "looked wrong"}, 200)
	c.post("/queues/s2s:amazon/drain", `{"reason":"looked wrong","dry_run":true}`, 200)
	c.post("/queues/s2s:nobody/drain", `{"reason":"looked wrong"}`, 404)
	c.post("/dlq/ttd/replay", `{"all":true,"dry_run":true}`, 200)
	c.post("/dlq/ttd/replay", `{"all":true,"limit":1,"edit":{"params":{"tracker_id":"trk1"}}}`, 200)
	c.ask(http.MethodDelete, "/api/v1/dlq/ttd", `{"all":true}`, 200)
	c.wrong(http.MethodDelete, "/api/v1/dlq/ttd", `{}`)
	c.get("/dlq/validation")
	c.ask(http.MethodPatch, "/api/v1/partners/amazon", `{"mode":"on"}`, 200)
}

func (c *caller) replays() {
	job := c.post("/backfills", map[string]any{"since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "storage": true, "rate": 1}, 201)
	at := "/backfills/" + field(job, "id")
	c.get("/backfills")
	c.get(at)
	c.post(at+"/cancel", nil, 200)
	waitFor(c.t, "it is cancelled", func() bool { return field(c.get(at), "state") == "cancelled" })
	c.post(at+"/resume", nil, 200)
	c.post(at+"/cancel", nil, 200)
	c.post("/rehearsals", map[string]any{"pixel_id": "px_1", "since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "change": map[string]any{"routes": []any{}}}, 201)
	c.wrong(http.MethodPost, "/api/v1"+"/backfills", `{}`)
}

func (c *caller) identities() {
	body := fmt.Sprintf(`{"pixel_id":"px_1","sent_at":%[1]q,"consent":%[2]s,"identity":{"anonymous_id":"anon-9","user_id":"customer-9"},"events":[{"id":"seen-9","name":"login","time":%[1]q}]}`,
		time.Now().UTC().Format(time.RFC3339Nano), optedIn)
	resp, err := http.Post(c.journey.base+"/collect", "application/json", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	var profile map[string]any
	waitFor(c.t, "the two are one", func() bool {
		if len(listed(c.get("/events?pixel_id=px_1&id=seen-9"))) == 0 {
			return false
		}
		profile = c.get("/identities/customer-9?pixel_id=px_1")
		links, _ := profile["links"].([]any)
		return len(links) > 0
	})
	link := profile["links"].([]any)[0].(map[string]any)
	a, b := field(link["a"], "id"), field(link["b"], "id")
	for _, what := range []string{"unlink", "relink"} {
		c.post("/identities/"+url.PathEscape(a)+"/"+what, map[string]any{"pixel_id": "px_1", "other": b}, 200)
	}
	for _, what := range []string{"isolate", "release"} {
		c.post("/identities/"+url.PathEscape(a)+"/"+what, map[string]any{"pixel_id": "px_1"}, 200)
		c.get("/quarantine")
	}
}

func (c *caller) privacy() {
	c.get("/consent/receipts?visitor_id=anon-1")
	who := map[string]any{"identifiers": []any{map[string]any{"kind": "user_id", "value": "customer-9"}}, "pixel_id": "px_1"}
	who["dry_run"] = true
	c.post("/erasures", who, 200)
	delete(who, "dry_run")
	asked := c.post("/erasures", who, 202)
	c.get("/erasures")
	at := "/erasures/" + field(asked, "id")
	waitFor(c.t, "the person is erased", func() bool { return field(c.get(at), "state") == "done" })
	c.get(at + "/certificate")
	c.wrong(http.MethodPost, "/api/v1"+"/erasures", `{"identifiers":[{"kind":"shoe_size","value":"9"}]}`)
}

func (c *caller) people() {
	c.get("/audit?limit=2")
	c.approvals()
	made := c.post("/users", `{"login":"ada@example.com","role":"marketer"}`, 201)
	c.get("/users")
	c.ask(http.MethodPatch, "/api/v1/users/"+field(made, "id"), `{"role":"viewer"}`, 200)
	c.ask(http.MethodDelete, "/api/v1/users/"+field(made, "id"), nil, 204)
	token := c.post("/tokens", `{"name":"ci","role":"viewer"}`, 201)
	c.get("/tokens")
	c.ask(http.MethodDelete, "/api/v1/tokens/"+field(token, "id"), nil, 204)
}

// approvals has a change of consent rules proposed by the token, and approved by
// somebody who is signed in.
func (c *caller) approvals() {
	link, err := c.console.LoginLink(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	jar, _ := cookiejar.New(nil)
	person := *c
	person.token, person.client = "", &http.Client{Transport: c.client.Transport, Jar: jar}
	resp, err := person.client.Get(link)
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	pixel := "/api/v1/pixels/px_1"
	undo := func() string { return "/api/v1/audit/" + field(listed(c.get("/audit?limit=1"))[0], "id") + "/undo" }
	c.ask(http.MethodPatch, pixel, `{"name":"renamed"}`, 200)
	c.ask(http.MethodPost, undo(), nil, 204)
	c.ask(http.MethodPatch, pixel, `{"consent_approval":true}`, 200)
	c.ask(http.MethodPost, undo(), nil, 202)
	c.post("/approvals/"+field(listed(c.get("/approvals"))[0], "id")+"/reject", nil, 200)
	decide := func(what string, want int) {
		c.post("/fields/decide", map[string]any{"pixel_id": "px_1", "partner": "ttd", "decision": what, "paths": []string{"data[].never"}}, want)
	}
	c.post("/fields/hold", map[string]any{"pixel_id": "px_1", "hold": true}, 204)
	c.post("/fields/hold", map[string]any{"pixel_id": "px_1", "hold": false}, 202)
	decide("refuse", 204)
	decide("approve", 202)
	c.get("/fields/waiting")
	c.ask(http.MethodDelete, pixel, nil, 202)
	asked := c.ask(http.MethodPatch, pixel, `{"consent_approval":false}`, 202)
	c.post("/approvals/"+field(asked, "id")+"/approve", nil, 403)
	person.post("/approvals/"+field(asked, "id")+"/approve", nil, 200)
	c.post("/fields/hold", map[string]any{"pixel_id": "px_1", "hold": false}, 204)
}
