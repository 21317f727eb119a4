package yahoo

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

func serve(t *testing.T) (*httptest.Server, *[]partner.Received) {
	got := &[]partner.Received{}
	srv := httptest.NewServer(New().Sandbox(func(r partner.Received) { *got = append(*got, r) }))
	t.Cleanup(srv.Close)
	return srv, got
}

func client(t *testing.T, srv *httptest.Server) map[string]string {
	t.Helper()
	resp, err := http.Get(srv.URL + "/client.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var c map[string]string
	if err := json.UnmarshalRead(resp.Body, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func purchase() event.Delivery {
	return event.Delivery{
		Partner: "yahoo", Permission: event.Allowed, Params: jsontext.Value(`{"pixel_id":"10012345"}`),
		Event: event.Event{
			ID: "e-1", PixelID: "px", Name: "purchase", Time: time.Now().Add(-time.Minute), ReceivedAt: time.Now(),
			Verdict: event.Verdict{Regime: "default"}, Order: event.Order{ID: "A-1", Value: "99.5"},
			Subject: event.Subject{ClickIDs: map[string]string{"vmcid": "v-1"}},
		},
	}
}

const dspForm = `{"token_audience":"https://id.b2b.yahooincapis.com/zts/v1/oauth2/token?realm=dsp","token_scope":"dsp-api-access","token_realm":"dsp","token_client_id_prefix":"","token_assertion_seconds":600}`

// The code that sends in earnest signs in at the sandbox, in both forms that
// sources show, and by the right secret only.
func TestASignedAssertionSignsIn(t *testing.T) {
	srv, got := serve(t)
	s := delivery.New(New(), delivery.NewClient(1), nil, time.Now)
	defer s.Close()
	good := client(t, srv)
	account := func(settings string, c map[string]string) delivery.Account {
		return delivery.Account{Endpoint: srv.URL + eventsPath, TokenURL: srv.URL + "/zts/v1/oauth2/token", Settings: jsontext.Value(settings), Credentials: c}
	}
	for name, settings := range map[string]string{"DataX": "", "DSP API": dspForm} {
		x, err := s.Send(t.Context(), account(settings, good), []event.Delivery{purchase()}, nil)
		if err != nil || x.Status != 200 || x.Receipt.Results[0].Outcome != event.Accepted {
			t.Errorf("%s: %d %+v %v", name, x.Status, x.Receipt, err)
		}
	}
	if len(*got) != 2 || len((*got)[1].Duplicates) != 1 {
		t.Errorf("received %+v", *got)
	}
	wrong := map[string]string{"client_id": good["client_id"], "client_secret": "guessed"}
	if x, _ := s.Send(t.Context(), account("", wrong), []event.Delivery{purchase()}, nil); x.Receipt.Pause == "" {
		t.Errorf("a wrong secret signs in: %+v", x.Receipt)
	}
	if x, _ := s.Send(t.Context(), account("", nil), []event.Delivery{purchase()}, nil); x.Receipt.Pause == "" {
		t.Errorf("without credentials: %+v", x.Receipt)
	}
	// The click postback needs none.
	x, err := s.Send(t.Context(), account(`{"transport":"click_postback","click_partner_id":"p"}`, nil), []event.Delivery{purchase()}, nil)
	if err != nil || x.Receipt.Results[0].Outcome != event.Accepted || !strings.HasPrefix(x.URL, srv.URL+"/") {
		t.Errorf("postback: %s %+v %v", x.URL, x.Receipt, err)
	}
}

func TestTheTokenServerIsStrict(t *testing.T) {
	srv, _ := serve(t)
	secret := client(t, srv)["client_secret"]
	now := time.Now().Unix()
	claims := func(change func(map[string]any)) map[string]any {
		c := map[string]any{"iss": "idb2b.dsp.datax.sandbox-client", "sub": "idb2b.dsp.datax.sandbox-client", "aud": "https://id.b2b.yahooincapis.com/zts/v1", "jti": t.Name() + time.Now().String(), "iat": now, "exp": now + 3600}
		change(c)
		return c
	}
	sign := func(header string, c map[string]any, enc *base64.Encoding) string {
		body, _ := json.Marshal(c)
		plain := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString(body)
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte(plain))
		return plain + "." + enc.EncodeToString(h.Sum(nil))
	}
	const hs = `{"alg":"HS256","typ":"JWT"}`
	keep := func(map[string]any) {}
	once := sign(hs, claims(keep), base64.RawURLEncoding)
	for _, c := range []struct {
		name, assertion string
		form            func(url.Values)
		want            string
	}{
		{"good", once, nil, "access_token"},
		{"the same again", once, nil, "jti was used"},
		{"padding", sign(hs, claims(keep), base64.URLEncoding), nil, "without padding"},
		{"another algorithm", sign(`{"alg":"none"}`, claims(keep), base64.RawURLEncoding), nil, "HS256"},
		{"no prefix", sign(hs, claims(func(c map[string]any) { c["iss"], c["sub"] = "sandbox-client", "sandbox-client" }), base64.RawURLEncoding), nil, "client id"},
		{"another subject", sign(hs, claims(func(c map[string]any) { c["sub"] = "x" }), base64.RawURLEncoding), nil, "client id"},
		{"another audience", sign(hs, claims(func(c map[string]any) { c["aud"] = tokenURL }), base64.RawURLEncoding), nil, "aud must be"},
		{"expired", sign(hs, claims(func(c map[string]any) { c["exp"] = now - 1 }), base64.RawURLEncoding), nil, "expired"},
		{"too long", sign(hs, claims(func(c map[string]any) { c["exp"] = now + 7200 }), base64.RawURLEncoding), nil, "too long"},
		{"no jti", sign(hs, claims(func(c map[string]any) { delete(c, "jti") }), base64.RawURLEncoding), nil, "jti"},
		{"forged", sign(hs, claims(keep), base64.RawURLEncoding) + "x", nil, "invalid_client"},
		{"the secret sent", sign(hs, claims(keep), base64.RawURLEncoding), func(f url.Values) { f.Set("client_secret", secret) }, "never sent"},
		{"another grant", sign(hs, claims(keep), base64.RawURLEncoding), func(f url.Values) { f.Set("grant_type", "refresh_token") }, "unsupported_grant_type"},
		{"another scope", sign(hs, claims(keep), base64.RawURLEncoding), func(f url.Values) { f.Set("scope", "dsp-api-access") }, "invalid_scope"},
		{"no type", sign(hs, claims(keep), base64.RawURLEncoding), func(f url.Values) { f.Del("client_assertion_type") }, "client_assertion_type"},
	} {
		f := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {c.assertion}, "scope": {"idb2b.dsp.datax:role.online.writer"}}
		if c.form != nil {
			c.form(f)
		}
		resp, err := http.PostForm(srv.URL+"/zts/v1/oauth2/token", f)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(body), c.want) || (resp.StatusCode == 200) != (c.name == "good") {
			t.Errorf("%s: %d %s, want %s", c.name, resp.StatusCode, body, c.want)
		}
	}
}

func TestTheSandboxRefusesWhatYahooWould(t *testing.T) {
	srv, _ := serve(t)
	s := New().Assertion(partner.Batch{Credentials: map[string]string{"client_id": "other"}}, "")
	if s.Client != "idb2b.dsp.datax.other" {
		t.Fatalf("client %q", s.Client)
	}
	bearer := ""
	{
		a := delivery.Account{Endpoint: srv.URL + eventsPath, TokenURL: srv.URL + "/zts/v1/oauth2/token", Credentials: client(t, srv)}
		probe := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { bearer = r.Header.Get("Authorization") }))
		defer probe.Close()
		a.Endpoint = probe.URL
		sender := delivery.New(New(), delivery.NewClient(1), nil, time.Now)
		defer sender.Close()
		_, _ = sender.Send(t.Context(), a, []event.Delivery{purchase()}, nil)
	}
	sum := strings.Repeat("a", 64)
	good := `{"eventTs":1795341599,"eventName":"Purchase","eventId":"1","actionSource":"web","userData":{"email":["` + sum + `"]}}`
	good = strings.Replace(good, "1795341599", jsontext.Int(time.Now().Unix()).String(), 1)
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the example holds no %s", old)
		}
		return `[` + good + `,` + strings.Replace(good, old, new, 1) + `]`
	}
	for name, c := range map[string]struct{ path, bearer, body, want string }{
		"good":                 {"/1", bearer, `[` + good + `]`, `200 {"success":"COMPLETE","message":""}`},
		"an envelope":          {"/1", bearer, `{"data":[` + good + `]}`, "400"},
		"nothing":              {"/1", bearer, `[]`, "400"},
		"no token":             {"/1", "", `[` + good + `]`, "401"},
		"a made-up token":      {"/1", "Bearer x", `[` + good + `]`, "401"},
		"a pixel by name":      {"/px", bearer, `[` + good + `]`, "404"},
		"a pixel not allowed":  {"/4031", bearer, `[` + good + `]`, "403"},
		"too large":            {"/1", bearer, `[` + strings.Repeat(" ", sandboxBytes) + `]`, "413"},
		"an unknown member":    {"/1", bearer, swap(`"eventId"`, `"event_id"`), "{INVALID_EVENT=1}"},
		"a time in words":      {"/1", bearer, swap(`"eventTs":`, `"eventTs":"x","x":`), "{INVALID_EVENT=1}"},
		"an e-mail in clear":   {"/1", bearer, swap(sum, "a@b.c"), "{INVALID_HASH=1}"},
		"an e-mail as text":    {"/1", bearer, swap(`["`+sum+`"]`, `"`+sum+`"`), "{INVALID_EVENT=1}"},
		"no key":               {"/1", bearer, swap(`"email":["`+sum+`"]`, ``), "{MISSING_IDENTIFIER=1}"},
		"no user data":         {"/1", bearer, swap(`,"userData":{"email":["`+sum+`"]}`, ``), "{MISSING_USER_DATA=1}"},
		"another source":       {"/1", bearer, swap(`"web"`, `"website"`), "{INVALID_ACTION_SOURCE=1}"},
		"a price as text":      {"/1", bearer, swap(`"userData"`, `"eventData":{"price":"1"},"userData"`), "{INVALID_PRICE=1}"},
		"a signal of no kind":  {"/1", bearer, swap(`"userData"`, `"privacy":{"privacy_type":"CCPA","consent_string":"1YNN"},"userData"`), "{INVALID_PRIVACY=1}"},
		"somebody opted out":   {"/1", bearer, swap(`"userData"`, `"privacy":{"privacy_type":"OPTOUT"},"userData"`), "{OPTED_OUT=1}"},
		"an identifier hashed": {"/1", bearer, swap(`"email":["`, `"idfa":["`+sum+`"],"email":["`), "{INVALID_IDENTIFIER=1}"},
		"a hashed address":     {"/1", bearer, swap(`"email":["`, `"ip_address":"`+sum+`","email":["`), "{INVALID_IP_ADDRESS=1}"},
	} {
		req, _ := http.NewRequest(http.MethodPost, srv.URL+eventsPath+c.path, strings.NewReader(c.body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", c.bearer)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if answer := resp.Status[:4] + string(body); !strings.Contains(answer, c.want) {
			t.Errorf("%s: %s, want %s", name, answer, c.want)
		}
	}
}

func TestThePostbackStandsBesideARedirectedEndpoint(t *testing.T) {
	for configured, want := range map[string]string{
		"": postbackURL, eventsURL: postbackURL, "https://streaming.datax.yahoo.com": postbackURL,
		"http://localhost:9090/yahoo/v1/events": "http://localhost:9090/yahoo/", "http://localhost:9090/yahoo": "http://localhost:9090/yahoo/",
	} {
		if got := postbackAddress(configured); got != want {
			t.Errorf("%q: %s, want %s", configured, got, want)
		}
	}
}
