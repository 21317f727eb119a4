package dv360

import (
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

func serve(t *testing.T) *httptest.Server {
	srv := httptest.NewServer(New().Sandbox(func(partner.Received) {}))
	t.Cleanup(srv.Close)
	return srv
}

func purchase() event.Delivery {
	return event.Delivery{
		Partner: "dv360", Permission: event.Allowed,
		Params: jsontext.Value(`{"profile_id":"7","floodlight_configuration_id":"1","floodlight_activity_id":"2"}`),
		Event: event.Event{
			ID: "e-1", PixelID: "px", Name: "purchase", Time: time.Now().Add(-time.Minute), ReceivedAt: time.Now(),
			Verdict: event.Verdict{Regime: "default"}, Order: event.Order{ID: "A-1", Value: "99.5"},
			Subject: event.Subject{ClickIDs: map[string]string{"dclid": "d-1"}},
		},
	}
}

// The key file that the sandbox gives is what signs in, over TCP and by the code
// that sends in earnest, to both APIs.
func TestAServiceAccountSignsIn(t *testing.T) {
	srv := serve(t)
	resp, err := http.Get(srv.URL + "/service-account.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	key, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	s := delivery.New(New(), delivery.NewClient(1), nil, time.Now)
	defer s.Close()
	for _, api := range []string{apiCM360, apiDataManager} {
		a := delivery.Account{
			Endpoint: srv.URL, TokenURL: srv.URL + "/token", Settings: jsontext.Value(`{"api":"` + api + `"}`),
			Credentials: map[string]string{partner.ServiceAccount: string(key)},
		}
		x, err := s.Send(t.Context(), a, []event.Delivery{purchase()}, nil)
		if err != nil || x.Status != 200 || x.Receipt.Results[0].Outcome != event.Accepted {
			t.Errorf("%s: %d %+v %v %s", api, x.Status, x.Receipt, err, x.Answer)
		}
	}
	var stranger map[string]string
	if err := json.Unmarshal(key, &stranger); err != nil {
		t.Fatal(err)
	}
	stranger["client_email"] = "somebody@else.iam.gserviceaccount.com"
	other, _ := json.Marshal(stranger)
	x, _ := s.Send(t.Context(), delivery.Account{Endpoint: srv.URL, TokenURL: srv.URL + "/token", Credentials: map[string]string{partner.ServiceAccount: string(other)}}, []event.Delivery{purchase()}, nil)
	if x.Receipt.Pause == "" {
		t.Errorf("an unknown account signs in: %+v", x.Receipt)
	}
}

func TestTheTokenServerIsStrict(t *testing.T) {
	srv := serve(t)
	good := url.Values{"grant_type": {"refresh_token"}, "client_id": {"c"}, "client_secret": {"s"}, "refresh_token": {"1//x"}}
	for name, c := range map[string]struct {
		change func(url.Values)
		status int
		want   string
	}{
		"good":            {func(url.Values) {}, 200, "ya29."},
		"one API's token": {func(f url.Values) { f.Set("refresh_token", "1//cm360-only") }, 200, cm360Scope + `"`},
		"another grant":   {func(f url.Values) { f.Set("grant_type", "password") }, 400, "unsupported_grant_type"},
		"no client":       {func(f url.Values) { f.Del("client_id") }, 401, "invalid_client"},
		"revoked":         {func(f url.Values) { f.Set("refresh_token", "revoked-1") }, 400, "invalid_grant"},
		"no JWT": {func(f url.Values) {
			f.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
			f.Set("assertion", "a.b")
		}, 400, "invalid_grant"},
		"a JWT with padding": {func(f url.Values) {
			f.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
			f.Set("assertion", "e30=.e30=.e30=")
		}, 400, "without padding"},
	} {
		f := url.Values{}
		for k, v := range good {
			f[k] = v
		}
		c.change(f)
		resp, err := http.PostForm(srv.URL+"/token", f)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
}

// token is a fresh one of a sandbox.
func token(t *testing.T, srv *httptest.Server, refresh string) string {
	t.Helper()
	resp, err := http.PostForm(srv.URL+"/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {"c"}, "client_secret": {"s"}, "refresh_token": {refresh}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.UnmarshalRead(resp.Body, &got); err != nil || got.Token == "" {
		t.Fatal(err)
	}
	return got.Token
}

func call(t *testing.T, srv *httptest.Server, path, bearer, body string) (int, string) {
	t.Helper()
	req, _ := http.NewRequest(http.MethodPost, srv.URL+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(out)
}

func TestTheSandboxRefusesWhatGoogleWould(t *testing.T) {
	srv := serve(t)
	both, cm, dm := token(t, srv, "1//x"), token(t, srv, "1//cm360-only"), token(t, srv, "1//datamanager-only")
	micros := jsontext.Value(`"` + time.Now().Add(-time.Minute).UTC().Format("20060102") + `"`) // of the wrong unit
	at := time.Now().Add(-time.Minute)
	conv := `{"floodlightConfigurationId":"1","floodlightActivityId":"2","ordinal":"A","timestampMicros":"` + stamp(at) + `","quantity":"1","value":1,"dclid":"d"}`
	insert := "/dfareporting/v5/userprofiles/7/conversions/batchinsert"
	wrap := func(c string) string { return `{"conversions":[` + c + `]}` }
	swap := func(old, new string) string {
		if !strings.Contains(conv, old) {
			t.Fatalf("the example holds no %s", old)
		}
		return wrap(strings.Replace(conv, old, new, 1))
	}
	e := `{"transactionId":"A","eventTimestamp":"` + at.UTC().Format(time.RFC3339) + `","adIdentifiers":{"dclid":"d"},"conversionCount":1,"eventSource":"WEB"}`
	dest := `{"reference":"r","operatingAccount":{"accountType":"FLOODLIGHT_CONFIG","accountId":"1"},"loginAccount":{"accountType":"FLOODLIGHT_CONFIG","accountId":"1"},"productDestinationId":"2"}`
	ingest := func(old, new string) string {
		body := `{"destinations":[` + dest + `],"events":[` + e + `]}`
		if !strings.Contains(body, old) {
			t.Fatalf("the example holds no %s", old)
		}
		return strings.Replace(body, old, new, 1)
	}
	for name, c := range map[string]struct {
		path, token, body string
		status            int
		want              string
	}{
		"good":                      {insert, both, wrap(conv), 200, `"hasFailures":false`},
		"no token":                  {insert, "", wrap(conv), 401, "CREDENTIALS_MISSING"},
		"made-up token":             {insert, "ya29.x", wrap(conv), 401, "UNAUTHENTICATED"},
		"the other API's scope":     {insert, dm, wrap(conv), 403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"},
		"a profile without rights":  {"/dfareporting/v5/userprofiles/403/conversions/batchinsert", both, wrap(conv), 403, "PERMISSION_DENIED"},
		"another call":              {"/dfareporting/v5/userprofiles/7/conversions/delete", both, wrap(conv), 404, "Not Found"},
		"the kind of an update":     {insert, both, `{"kind":"dfareporting#conversionsBatchUpdateRequest","conversions":[` + conv + `]}`, 400, "kind"},
		"an empty batch":            {insert, both, wrap(""), 400, "INVALID_ARGUMENT"},
		"too many":                  {insert, both, wrap(strings.Repeat(conv+",", 1000) + conv), 400, "1000"},
		"an unknown member":         {insert, both, swap(`"ordinal"`, `"orderId"`), 200, "INVALID_ARGUMENT"},
		"no identifier":             {insert, both, swap(`,"dclid":"d"`, ``), 200, "At least one identifier"},
		"two identifiers":           {insert, both, swap(`"dclid":"d"`, `"dclid":"d","gclid":"g"`), 200, "mutually exclusive"},
		"an e-mail alone":           {insert, both, swap(`"dclid":"d"`, `"userIdentifiers":[{"hashedEmail":"`+strings.Repeat("a", 64)+`"}]`), 200, "At least one identifier"},
		"an e-mail in clear":        {insert, both, swap(`"dclid":"d"`, `"dclid":"d","userIdentifiers":[{"hashedEmail":"a@b.c"}]`), 200, "SHA-256"},
		"a hashed postal code":      {insert, both, swap(`"dclid":"d"`, `"dclid":"d","userIdentifiers":[{"addressInfo":{"hashedFirstName":"`+strings.Repeat("a", 64)+`","hashedLastName":"`+strings.Repeat("a", 64)+`","postalCode":"`+strings.Repeat("a", 64)+`","countryCode":"GB"}}]`), 200, "not hashed"},
		"an id as a number":         {insert, both, swap(`"floodlightActivityId":"2"`, `"floodlightActivityId":2`), 200, "INVALID_ARGUMENT"},
		"a value as a string":       {insert, both, swap(`"value":1`, `"value":"1"`), 200, "value is required"},
		"no ordinal":                {insert, both, swap(`"ordinal":"A",`, ``), 200, "ordinal"},
		"seconds":                   {insert, both, swap(`"`+stamp(at)+`"`, string(micros)), 200, "microseconds"},
		"a month ago":               {insert, both, swap(stamp(at), stamp(at.AddDate(0, 0, -29))), 200, "28 days"},
		"tomorrow":                  {insert, both, swap(stamp(at), stamp(at.AddDate(0, 0, 1))), 200, "future"},
		"an encrypted id alone":     {insert, both, swap(`"dclid":"d"`, `"encryptedUserId":"x"`), 200, "encryptionInfo"},
		"a variable too long":       {insert, both, swap(`"dclid":"d"`, `"dclid":"d","customVariables":[{"type":"U1","value":"`+strings.Repeat("é", 101)+`"}]`), 200, "custom variable"},
		"a variable of no number":   {insert, both, swap(`"dclid":"d"`, `"dclid":"d","customVariables":[{"type":"u1","value":"x"}]`), 200, "custom variable"},
		"an update of nothing":      {"/dfareporting/v5/userprofiles/7/conversions/batchupdate", both, swap(`"dclid":"d"`, `"matchId":"m"`), 200, "NOT_FOUND"},
		"an update too early":       {"/dfareporting/v5/userprofiles/7/conversions/batchupdate", both, swap(`"dclid":"d"`, `"matchId":"tag-m"`), 200, "not processed yet"},
		"an update of what cannot":  {"/dfareporting/v5/userprofiles/7/conversions/batchupdate", both, swap(`"dclid":"d"`, `"matchId":"tag-m","limitAdTracking":true`), 200, "not changeable"},
		"ingest":                    {ingestPath, both, ingest("WEB", "WEB"), 200, "requestId"},
		"ingest by another's scope": {ingestPath, cm, ingest("WEB", "WEB"), 403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"},
		"no identifiers":            {ingestPath, both, ingest(`{"dclid":"d"}`, `{}`), 400, "NO_IDENTIFIERS_PROVIDED"},
		"user data unencoded":       {ingestPath, both, ingest(`"eventSource"`, `"userData":{"userIdentifiers":[{"emailAddress":"`+strings.Repeat("a", 64)+`"}]},"eventSource"`), 400, "encoding"},
		"another account":           {ingestPath, both, ingest(`"loginAccount":{"accountType":"FLOODLIGHT_CONFIG","accountId":"1"`, `"loginAccount":{"accountType":"FLOODLIGHT_CONFIG","accountId":"9"`), 400, "LOGIN_ACCOUNT_MISMATCH"},
		"another account type":      {ingestPath, both, ingest(`"operatingAccount":{"accountType":"FLOODLIGHT_CONFIG"`, `"operatingAccount":{"accountType":"GOOGLE_ADS"`), 400, "ACCOUNT_TYPE_MISMATCH"},
		"a currency in words":       {ingestPath, both, ingest(`"eventSource"`, `"currency":"pounds","eventSource"`), 400, "INVALID_CURRENCY_CODE"},
		"no source":                 {ingestPath, both, ingest(`"WEB"`, `"web"`), 400, "INVALID_ENUM_VALUE"},
		"an unknown member there":   {ingestPath, both, ingest(`"eventSource"`, `"ordinal":"A","eventSource"`), 400, "events.events[0]"},
		"an unknown reference":      {ingestPath, both, ingest(`"transactionId"`, `"destinationReferences":["x"],"transactionId"`), 400, "INVALID_DESTINATION_REFERENCE"},
		"no rights to the activity": {ingestPath, both, ingest(`"productDestinationId":"2"`, `"productDestinationId":"4031"`), 403, "PERMISSION_DENIED"},
	} {
		if status, body := call(t, srv, c.path, c.token, c.body); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d with %s", name, status, body, c.status, c.want)
		}
	}
}

func stamp(at time.Time) string { return jsontext.Int(at.UnixMicro()).String() }

func TestARepeatIsKnownByItsKeyAndDay(t *testing.T) {
	var got []partner.Received
	srv := httptest.NewServer(New().Sandbox(func(r partner.Received) { got = append(got, r) }))
	defer srv.Close()
	bearer := token(t, srv, "1//x")
	conv := func(ordinal, click string) string {
		return `{"conversions":[{"floodlightConfigurationId":"1","floodlightActivityId":"2","ordinal":"` + ordinal + `","timestampMicros":"` + stamp(time.Now()) + `","quantity":"1","value":1,"dclid":"` + click + `"}]}`
	}
	for i, c := range []struct {
		body string
		dup  int
	}{{conv("A", "x"), 0}, {conv("A", "x"), 1}, {conv("A", "y"), 0}, {conv("B", "x"), 0}} {
		call(t, srv, "/dfareporting/v5/userprofiles/7/conversions/batchinsert", bearer, c.body)
		if n := len(got[i].Duplicates); n != c.dup || len(got[i].OrderIDs) != 1 {
			t.Errorf("request %d: %+v", i, got[i])
		}
	}
}
