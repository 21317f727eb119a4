package amazon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/partner"
)

// first and second are the documentation's example; the second names a country
// that Amazon does not know.
const (
	first = `{"eventDescription":{"name":"purchase","conversionType":"OFF_AMAZON_PURCHASES","eventSource":"WEBSITE","eventIngestionMethod":"SERVER_TO_SERVER"},
  "eventTime":"2026-11-22T09:59:59.500Z","countryCode":"GB","eventId":"0193-example-1","value":99.5,"currencyCode":"GBP","unitsSold":1,
  "matchKeys":[{"type":"EMAIL","values":["6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd"]},
               {"type":"PHONE","values":["9b48e488a39eabd0e13d5893897b88695cec8e22d254304d278a7008a0b2a439"]}],
  "customData":[{"name":"orderId","value":"A_1","dataType":"STRING"}],"consent":{"tcf":"CPexample"}}`
	second = `{"eventDescription":{"name":"page_view","conversionType":"PAGE_VIEW","eventSource":"WEBSITE","eventIngestionMethod":"SERVER_TO_SERVER"},
  "eventTime":"2026-11-22T10:00:00Z","countryCode":"UK","eventId":"0193-example-2",
  "matchKeys":[{"type":"MAID","values":["38400000-8cf0-11bd-b23e-10b96e40000d"]}],"consent":{"tcf":"CPexample"}}`
)

type client struct {
	t   *testing.T
	h   http.Handler
	got []partner.Received
}

func start(t *testing.T) *client {
	time.Sleep(time.Until(time.Date(2026, 11, 22, 10, 0, 5, 0, time.UTC)))
	c := &client{t: t}
	c.h = New().Sandbox(func(r partner.Received) { c.got = append(c.got, r) })
	return c
}

func (c *client) token(change func(url.Values, http.Header)) *httptest.ResponseRecorder {
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {"client"}, "client_secret": {"secret"}, "refresh_token": {"Atzr|x"}}
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if change != nil {
		change(form, h)
	}
	r := httptest.NewRequest(http.MethodPost, tokenPath, strings.NewReader(form.Encode()))
	r.Header = h
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	return w
}

func (c *client) fresh() string {
	var got struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
	}
	w := c.token(nil)
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.TokenType != "bearer" || got.ExpiresIn != 3600 {
		c.t.Fatalf("token: %d %s", w.Code, w.Body)
	}
	return got.AccessToken
}

func (c *client) create(token, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, eventsPath, strings.NewReader(body))
	r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}}
	r.Header.Set("Amazon-Ads-ClientId", "client")
	r.Header.Set("Amazon-Ads-AccountId", "123456789")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	return w
}

func TestSandboxAnswersTheDocumentedExampleAsDocumented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		w := c.create(c.fresh(), `{"events":[`+first+`,`+second+`]}`)
		const want = `{"success":[{"index":0,"event":{"eventId":"0193-example-1"}}],"error":[{"index":1,"errors":[{"code":"FIELD_VALUE_IS_INVALID","fieldLocation":"events[1].countryCode","message":"is not one of the enumeration"}]}]}`
		if w.Code != 207 || w.Body.String() != want {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if len(c.got) != 1 || fmt.Sprint(c.got[0].EventIDs, c.got[0].OrderIDs) != "[0193-example-1] [A_1]" {
			t.Errorf("recorded %+v", c.got)
		}
	})
}

func TestSandboxKnowsARepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		token := c.fresh()
		for range 2 {
			if w := c.create(token, `{"events":[`+first+`]}`); w.Code != 207 || !strings.Contains(w.Body.String(), `"error":[]`) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		if fmt.Sprint(c.got[0].Duplicates, c.got[1].Duplicates) != "[] [0193-example-1]" {
			t.Errorf("repeats: %v, then %v", c.got[0].Duplicates, c.got[1].Duplicates)
		}
		// Another account's event is another event.
		c.create(token, `{"events":[`+first+`]}`, "Amazon-Ads-AccountId", "2")
		if c.got[2].Duplicates != nil {
			t.Errorf("another account's: %v", c.got[2].Duplicates)
		}
		w := c.create(token, `{"events":[`+first+`,`+first+`]}`)
		if !strings.Contains(w.Body.String(), `"index":1,"errors":[{"code":"DUPLICATE_FIELD_VALUE_FOUND"`) {
			t.Errorf("twice in one request: %s", w.Body)
		}
	})
}

func TestSandboxAuthorises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		for want, change := range map[string]func(url.Values, http.Header){
			"unsupported_grant_type":  func(f url.Values, _ http.Header) { f.Set("grant_type", "password") },
			"invalid_client":          func(f url.Values, _ http.Header) { f.Del("client_secret") },
			"invalid_grant":           func(f url.Values, _ http.Header) { f.Set("refresh_token", "revoked-1") },
			"no Authorization header": func(_ url.Values, h http.Header) { h.Set("Authorization", "Bearer x") },
			"the body must be a form": func(_ url.Values, h http.Header) { h.Set("Content-Type", "application/json") },
		} {
			if w := c.token(change); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %d %s", want, w.Code, w.Body)
			}
		}
		token := c.fresh()
		body := `{"events":[` + first + `]}`
		for name, try := range map[string]struct {
			w    *httptest.ResponseRecorder
			want int
		}{
			"unknown token":      {c.create("Atza|made-up", body), 401},
			"no bearer":          {c.create(token, body, "Authorization", token), 401},
			"another's client":   {c.create(token, body, "Amazon-Ads-ClientId", "other"), 401},
			"no account":         {c.create(token, body, "Amazon-Ads-AccountId", ""), 400},
			"no rights":          {c.create(token, body, "Amazon-Ads-AccountId", "forbidden-1"), 403},
			"plain text":         {c.create(token, body, "Content-Type", "text/plain"), 400},
			"no events":          {c.create(token, `{"events":[]}`), 400},
			"the older envelope": {c.create(token, `{"eventData":[`+first+`],"ingestionMethod":"SERVER_TO_SERVER"}`), 400},
			"too many":           {c.create(token, `{"events":[`+strings.Repeat(first+",", 500)+first+`]}`), 413},
			"good":               {c.create(token, body), 207},
		} {
			if try.w.Code != try.want {
				t.Errorf("%s: %d, want %d: %s", name, try.w.Code, try.want, try.w.Body)
			}
		}
		time.Sleep(time.Hour + time.Second)
		if w := c.create(token, body); w.Code != 401 {
			t.Errorf("an expired token is answered %d", w.Code)
		}
	})
}

func TestSandboxRefusesWhatTheRealOneWould(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown member":            {`"eventId"`, `"clientDedupeId"`, "BAD_REQUEST"},
		"no description":            {`"eventDescription":{"name":"purchase","conversionType":"OFF_AMAZON_PURCHASES","eventSource":"WEBSITE","eventIngestionMethod":"SERVER_TO_SERVER"},`, ``, "FIELD_VALUE_IS_NULL"},
		"source in lower case":      {`"WEBSITE"`, `"website"`, "FIELD_VALUE_IS_INVALID"},
		"unknown conversion":        {`"OFF_AMAZON_PURCHASES"`, `"PURCHASE"`, "FIELD_VALUE_IS_INVALID"},
		"time in milliseconds":      {`"2026-11-22T09:59:59.500Z"`, `"1795341599500"`, "FIELD_VALUE_IS_INVALID"},
		"a month ago":               {`"2026-11-22T`, `"2026-10-22T`, "FIELD_VALUE_IS_OUT_OF_RANGE"},
		"tomorrow":                  {`"2026-11-22T`, `"2026-11-23T`, "FIELD_VALUE_IS_OUT_OF_RANGE"},
		"country of three letters":  {`"GB"`, `"GBR"`, "FIELD_VALUE_IS_INVALID"},
		"country as a locale":       {`"GB"`, `"en_GB"`, "FIELD_VALUE_IS_INVALID"},
		"value as a string":         {`99.5`, `"99.5"`, "FIELD_VALUE_IS_INVALID"},
		"value with three decimals": {`99.5`, `99.555`, "FIELD_VALUE_IS_INVALID"},
		"negative purchase":         {`99.5`, `-99.5`, "FIELD_VALUE_IS_BELOW_MINIMUM_LIMIT"},
		"money without a currency":  {`"currencyCode":"GBP",`, ``, "FIELD_VALUE_IS_NULL"},
		"unknown currency":          {`"GBP"`, `"XYZ"`, "FIELD_VALUE_IS_INVALID"},
		"currency of a lead":        {`"OFF_AMAZON_PURCHASES"`, `"LEAD"`, "FIELD_VALUE_IS_INVALID"},
		"units in parts":            {`"unitsSold":1`, `"unitsSold":1.5`, "BAD_REQUEST"},
		"e-mail in clear":           {`6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd`, `buyer@example.com`, "FIELD_VALUE_IS_INVALID"},
		"digest in capitals":        {`6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd`, `6A6C26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd`, "FIELD_VALUE_IS_INVALID"},
		"two values of a key":       {`["6a6c`, `["x","6a6c`, "FIELD_SIZE_IS_OUT_OF_RANGE"},
		"key's value as a string":   {`["6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd"]`, `"6a6c"`, "BAD_REQUEST"},
		"unknown key":               {`"EMAIL"`, `"HASHED_EMAIL"`, "FIELD_VALUE_IS_INVALID"},
		"custom data with a dash":   {`"A_1"`, `"A-1"`, "FIELD_VALUE_CONTAINS_INVALID_CHARACTERS"},
		"custom data of a new type": {`"STRING"`, `"DOUBLE"`, "FIELD_VALUE_CONTAINS_INVALID_CHARACTERS"},
		"empty consent":             {`{"tcf":"CPexample"}`, `{}`, "FIELD_VALUE_IS_EMPTY"},
		"consent in lower case":     {`{"tcf":"CPexample"}`, `{"amazonConsent":{"amznUserData":"granted"}}`, "FIELD_VALUE_IS_INVALID"},
		"consent of no address":     {`{"tcf":"CPexample"}`, `{"geo":{"ipAddress":"here"}}`, "FIELD_VALUE_IS_INVALID"},
		"data processing as a list": {`"consent"`, `"dataProcessingOptions":["LIMITED_DATA_USE"],"consent"`, "BAD_REQUEST"},
		"long user agent":           {`"consent"`, `"deviceInfo":{"userAgent":"` + strings.Repeat("a", 513) + `"},"consent"`, "FIELD_SIZE_IS_ABOVE_MAXIMUM_LIMIT"},
		"tokens of another kind":    {`"consent"`, `"arefMeasurementTokens":"x","consent"`, "FIELD_VALUE_IS_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(first, c.old) {
				t.Fatalf("the example does not hold %s", c.old)
			}
			synctest.Test(t, func(t *testing.T) {
				s := start(t)
				w := s.create(s.fresh(), `{"events":[`+strings.Replace(first, c.old, c.new, 1)+`]}`)
				if w.Code != 207 || !strings.Contains(w.Body.String(), `"index":0,"errors":[{"code":"`+c.want+`"`) {
					t.Errorf("%d %s, want %s", w.Code, w.Body, c.want)
				}
				if len(s.got) != 1 || s.got[0].EventIDs != nil {
					t.Errorf("recorded %+v", s.got)
				}
			})
		})
	}
}
