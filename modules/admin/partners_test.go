package admin

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/atrisk"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/amazon"
	"github.com/miq/pixel/modules/partner/dv360"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/partner/yahoo"
	"github.com/miq/pixel/modules/sandbox"
	"github.com/miq/pixel/modules/settings"
)

// An administrator connects an account, of Amazon or of Google: there, back, and a test
// event goes by it.
func TestAnAccountIsConnectedInTheConsole(t *testing.T) {
	t.Run("amazon", func(t *testing.T) {
		connects(t, amazon.New(), "?region=Europe", `"account_id":"123456789","region":"NA"`)
	})
	t.Run("dv360", func(t *testing.T) {
		connects(t, dv360.New(), "", `"profile_id":"7654321","floodlight_configuration_id":"1234567","floodlight_activity_id":"111111"`)
	})
}

func connects(t *testing.T, adapter partner.Adapter, region, params string) {
	adapters, name := []partner.Adapter{adapter}, adapter.Spec().Name
	box := httptest.NewServer(sandbox.New(adapters))
	defer box.Close()
	at := sandbox.Endpoints(box.URL, adapters)[name]
	b := open(t, func(o *Options) {
		o.Adapters = adapters
		o.Config.PublicURL = "https://console.example.com"
		o.Partners = map[string]config.Partner{name: {Endpoint: at.Endpoint, TokenURL: at.TokenURL, AuthorizeURL: at.AuthorizeURL}}
	})
	w := b.as(Administrator)
	contains(t, w.get("/partners/"+name).body, "https://console.example.com/connected", "Connect")
	contains(t, w.follow("/partners/"+name+"/credentials", url.Values{"c.client_id": {"amzn1.application-oa2-client.example"}, "c.client_secret": {"the-s3cret"}}).body, "Credentials saved")
	notice := func(from answer) string {
		t.Helper()
		if from.status != 303 {
			t.Fatalf("%d %s", from.status, from.body)
		}
		return w.get(from.header.Get("Location")).body
	}
	visit := func() (allow, refuse string) {
		t.Helper()
		sent := w.get("/partners/" + name + "/connect" + region)
		if sent.status != 303 {
			t.Fatalf("%d %s", sent.status, sent.body)
		}
		res, err := http.Get(sent.header.Get("Location"))
		must(t, err)
		defer res.Body.Close()
		page, err := io.ReadAll(res.Body)
		must(t, err)
		links := regexp.MustCompile(`href="(https://console[^"]+)"`).FindAllStringSubmatch(string(page), -1)
		if res.StatusCode != 200 || len(links) != 2 {
			t.Fatalf("%d %s", res.StatusCode, page)
		}
		path := func(link string) string {
			return strings.TrimPrefix(html.UnescapeString(link), "https://console.example.com")
		}
		return path(links[0][1]), path(links[1][1])
	}
	_, refuse := visit()
	contains(t, notice(w.get(refuse)), "access was refused")
	allow, _ := visit()
	// Somebody else's browser cannot finish it, nor can a state that was made up.
	contains(t, notice(w.get("/connected?code=x&state=made-up")), "is not known")
	contains(t, notice(w.get(allow)), "is connected")
	contains(t, notice(w.get(allow)), "was used already")
	c, err := b.o.Settings.Credentials(b.o.Settings.Partner(name), "")
	must(t, err)
	if !strings.HasPrefix(c["refresh_token"], "Atzr|sandbox-") {
		t.Errorf("%v", c)
	}
	ask[any](b, post, base+"/pixels", `{"id":"px_1","country":"GB","routes":[{"partner":"`+name+`","event":"purchase","mode":"on","params":{`+params+`}}]}`, 201)
	result := ask[testResult](b, post, base+"/partners/"+name+"/test", map[string]any{"pixel_id": "px_1"}, 200)
	if result.Outcome != event.Accepted {
		t.Errorf("%+v", result)
	}
	dry := ask[testResult](b, post, base+"/partners/"+name+"/test", map[string]any{"pixel_id": "px_1", "dry": true}, 200)
	if dry.Outcome != event.Dry || dry.Request == nil || dry.Answer != nil {
		t.Errorf("%+v", dry)
	}
	if strings.Contains(w.get("/partners/"+name).body, c["refresh_token"]) {
		t.Error("the refresh token can be read")
	}
}

// A test event goes to each partner, strictly imitated, by its own way of signing in and
// its own flag for tests where it has one.
func TestATestEventGoesToEachPartner(t *testing.T) {
	adapters := []partner.Adapter{dv360.New(), ttd.New(), yahoo.New(), amazon.New()}
	box := httptest.NewServer(sandbox.New(adapters))
	defer box.Close()
	b := open(t, func(o *Options) {
		o.Adapters, o.Partners = adapters, map[string]config.Partner{}
		for name, at := range sandbox.Endpoints(box.URL, adapters) {
			o.Partners[name] = config.Partner{Endpoint: at.Endpoint, TokenURL: at.TokenURL}
		}
	})
	file := func(path string) string {
		t.Helper()
		res, err := http.Get(box.URL + path)
		must(t, err)
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		must(t, err)
		if res.StatusCode != 200 {
			t.Fatalf("%s: %s", path, res.Status)
		}
		return string(raw)
	}
	var client map[string]string
	must(t, json.Unmarshal([]byte(file("/yahoo/client.json")), &client))
	ask[any](b, post, base+"/pixels", `{"id":"px_1","country":"GB","routes":[
		{"partner":"dv360","event":"purchase","mode":"on","params":{"profile_id":"7654321","floodlight_configuration_id":"1234567","floodlight_activity_id":"111111"}},
		{"partner":"ttd","event":"purchase","mode":"on","params":{"adv":"adv1234","tracker_id":"abc123x"}},
		{"partner":"yahoo","event":"purchase","mode":"on","params":{"pixel_id":"10012345"}},
		{"partner":"amazon","event":"purchase","mode":"on","params":{"account_id":"123456789","region":"NA"}}]}`, 201)
	for name, credentials := range map[string]map[string]string{
		"dv360": {"service_account": file("/dv360/service-account.json")}, "yahoo": client,
		"amazon": {"client_id": "amzn1.application-oa2-client.example", "client_secret": "s3cret", "refresh_token": "Atzr|example"},
	} {
		ask[any](b, patch, base+"/partners/"+name, map[string]any{"credentials": credentials}, 200)
	}
	w := b.as(Administrator)
	try := func(what, name, wants string) {
		t.Helper()
		result := ask[testResult](b, post, base+"/partners/"+name+"/test", map[string]any{"pixel_id": "px_1"}, 200)
		if result.Outcome != event.Accepted || !strings.Contains(result.Request.Body, wants) {
			t.Errorf("%s: %s %s %s\n%s", what, result.Outcome, result.Code, result.Message, result.Error)
		}
		contains(t, w.post("/partners/"+name+"/test", url.Values{"route": {"px_1 purchase"}}).body, "accepted")
	}
	try("CM360", "dv360", "conversionsBatchInsertRequest")
	try("The Trade Desk", "ttd", `"order_id":"TEST-`)
	try("Yahoo", "yahoo", `"eventName":"Purchase"`)
	try("Amazon", "amazon", `"matchKeys"`)
	ask[any](b, patch, base+"/partners/dv360", `{"settings":{"api":"data_manager"}}`, 200)
	try("Data Manager", "dv360", `"validateOnly":true`)
}

func TestRoutesHaveAThreeWaySwitchAndAccounts(t *testing.T) {
	b := open(t)
	put := func(routes string, status int) string {
		t.Helper()
		got := b.call(adminToken, "PUT", base+"/pixels/px_1/routes", routes)
		if got.status != status {
			t.Fatalf("%s: %d %s", routes, got.status, got.body)
		}
		return got.body
	}
	ask[any](b, post, base+"/pixels", `{"id":"px_1","routes":[]}`, 201)
	const params = `"params":{"account_id":"1","region":"NA"}`
	for _, c := range []struct {
		route  string
		status int
		mode   settings.Mode
	}{
		{`"enabled":true`, 200, settings.On}, {`"mode":"on"`, 200, settings.On}, {`"mode":"hold"`, 200, settings.Hold},
		{`"mode":"off"`, 200, settings.Off}, {`"enabled":false`, 200, settings.Off},
		{`"enabled":true,"mode":"hold"`, 422, ""}, {`"enabled":true,"mode":"off"`, 422, ""}, {`"mode":"maybe"`, 422, ""},
		{`"mode":"on","account":"nobody"`, 422, ""},
	} {
		put(`[{"partner":"amazon","event":"purchase",`+c.route+`,`+params+`}]`, c.status)
		p, _ := b.o.Settings.Pixel("px_1")
		if c.status == 200 && p.Routes[0].Switch() != c.mode {
			t.Errorf("%s: %s", c.route, p.Routes[0].Switch())
		}
	}
	ask[any](b, patch, base+"/partners/amazon", `{"accounts":{"eu":{"client_id":"eu-client"}},"dry":true}`, 200)
	put(`[{"partner":"amazon","event":"purchase","mode":"on","account":"eu",`+params+`}]`, 200)
	v := ask[partnerView](b, get, base+"/partners/amazon", nil, 200)
	if !v.Dry || len(v.Accounts) != 1 || !v.Accounts[0].Credentials[0].Set || v.Accounts[0].Credentials[1].Set {
		t.Errorf("%+v", v)
	}
	if got := b.call(adminToken, patch, base+"/partners/amazon", `{"accounts":{"eu":null}}`); got.status != 422 || !strings.Contains(got.body, "px_1") {
		t.Errorf("an account in use is removed: %d %s", got.status, got.body)
	}
}

func TestADeadLetterIsEditedBeforeItGoesBack(t *testing.T) {
	b := open(t)
	seedQueues(t, b, time.Now())
	letters, _, err := b.queue.Dead(t.Context(), "dlq:ttd", "", 1)
	must(t, err)
	for _, bad := range []string{`{"permission":"full"}`, `{"event":{"consent":{}}}`, `{"event":{"id":"x"}}`} {
		if got := b.call(adminToken, post, base+"/dlq/ttd/replay", `{"ids":["`+letters[0].ID+`"],"edit":`+bad+`}`); got.status != 422 {
			t.Errorf("%s: %d %s", bad, got.status, got.body)
		}
	}
	m := ask[moved](b, post, base+"/dlq/ttd/replay", `{"ids":["`+letters[0].ID+`"],"edit":{"params":{"adv":"corrected"}},"rate":100}`, 200)
	if m.Moved != 1 || !strings.Contains(m.Message, "edited") {
		t.Errorf("%+v", m)
	}
	waiting, _, err := b.queue.Peek(t.Context(), "s2s:ttd", "", 1000)
	must(t, err)
	found := false
	for _, w := range waiting {
		found = found || strings.Contains(string(w.Body), `"adv":"corrected"`)
	}
	if !found {
		t.Error("nothing that was edited waits")
	}
}

// What was refused at the door was known by its id: changed, it would end as a
// duplicate, and the letter be gone.
func TestALetterOfRefusedInputIsNotEdited(t *testing.T) {
	b := open(t)
	seedQueues(t, b, time.Now())
	before, _, err := b.queue.Dead(t.Context(), "dlq:validation", "", 1000)
	must(t, err)
	got := b.call(adminToken, post, base+"/dlq/validation/replay", `{"ids":["`+before[0].ID+`"],"edit":{"event":{"name":"purchase"}}}`)
	if got.status != 200 || !strings.Contains(got.body, `"moved":0,"not_replayable":1`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	after, _, err := b.queue.Dead(t.Context(), "dlq:validation", "", 1000)
	must(t, err)
	if len(after) != len(before) {
		t.Errorf("%d letters, were %d", len(after), len(before))
	}
}

func TestMoneyAtRiskIsShown(t *testing.T) {
	b := open(t)
	seedQueues(t, b, time.Now())
	w := b.as(Viewer)
	contains(t, w.get("/at-risk").body, "Money at risk")
	r := ask[atrisk.Report](b, get, base+"/reports/at-risk", nil, 200)
	if r.At.IsZero() {
		t.Errorf("%+v", r)
	}
}
