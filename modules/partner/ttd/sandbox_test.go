package ttd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/partner"
)

// worked is the documentation's example: the first event is good.
const worked = `{"tracker_id":"abc123x","merchant_id":"merch1234","event_name":"purchase","adid_type":"UID2","adid":"lz3+Rj7IV4X1+Vr1ujkG7tstkxwk5pgkqJ6mXbpOgTs=",
  "client_ip":"203.0.113.7","referrer_url":"https://shop.example.com/thanks","order_id":"A-1","value":"99.50","currency":"GBP",
  "items":[{"item_code":"SKU1","name":"Shoe","qty":"1","price":"99.50"}],
  "privacy_settings":[{"privacy_type":"GDPR","is_applicable":1,"consent_string":"CPexample"}]}`

const workedBad = `{"tracker_id":"abc123x","merchant_id":"merch1234","event_name":"viewitem","client_ip":"203.0.113.8","referrer_url":"https://shop.example.com/p/1",
  "privacy_settings":[{"privacy_type":"GDPR","is_applicable":1,"consent_string":"not a string"}]}`

func ask(path, body string, header ...string) (*httptest.ResponseRecorder, []partner.Received) {
	var got []partner.Received
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	New().Sandbox(func(r partner.Received) { got = append(got, r) }).ServeHTTP(w, r)
	return w, got
}

func TestSandboxAnswersTheDocumentedExampleAsDocumented(t *testing.T) {
	w, got := ask(realTimePath, `{"data":[`+worked+`,`+workedBad+`]}`)
	const want = `{"Message":null,"EventResponses":[{"EventIndex":1,"EventErrors":[{"Error":"InvalidPrivacySetting","ErrorMessage":"The request has an invalid privacy setting."}],"EventWarnings":[],"Successful":false}]}`
	if w.Code != 400 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(got) != 1 || fmt.Sprint(got[0].OrderIDs) != "[A-1]" || got[0].Status != 400 {
		t.Errorf("recorded %+v", got)
	}
	if w, _ := ask(realTimePath, `{"data":[`+worked+`]}`); w.Code != 200 || w.Body.String() != `{"Message":null,"EventResponses":[]}` {
		t.Errorf("the good one alone: %d %s", w.Code, w.Body)
	}
}

func TestSandboxRefusesWhatTheRealOneWould(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(worked, old) {
			t.Fatalf("the example does not hold %s", old)
		}
		return `{"data":[` + strings.Replace(worked, old, new, 1) + `]}`
	}
	for name, c := range map[string]struct {
		body string
		want string
	}{
		"no object":                    {`[]`, "400 the body"},
		"no events":                    {`{"data":[]}`, "400 the body"},
		"unknown member of the body":   {`{"data":[` + worked + `],"token":"x"}`, "400 the body"},
		"unknown member":               {change(`"order_id"`, `"event_time"`), "InvalidEvent"},
		"value as a number":            {change(`"99.50","currency"`, `99.50,"currency"`), "InvalidEvent"},
		"quantity as a number":         {change(`"qty":"1"`, `"qty":1`), "InvalidEvent"},
		"item with a brand":            {change(`"qty":"1"`, `"item_brand":"x"`), "InvalidEvent"},
		"both advertiser and merchant": {change(`"merchant_id"`, `"adv":"a","merchant_id"`), "InvalidAdvertiser"},
		"neither":                      {change(`"merchant_id":"merch1234",`, ``), "InvalidAdvertiser"},
		"tracker and pixel":            {change(`"tracker_id"`, `"upixel_id":"u","tracker_id"`), "InvalidTag"},
		"pixel of a merchant":          {change(`"tracker_id"`, `"upixel_id"`), "InvalidAdvertiser"},
		"tracker without a name":       {change(`"event_name":"purchase",`, ``), "InvalidEventName"},
		"value with a comma":           {change(`"99.50","currency"`, `"99,50","currency"`), "InvalidValue"},
		"value without currency":       {change(`,"currency":"GBP"`, ``), "InvalidCurrency"},
		"currency in words":            {change(`"GBP"`, `"pounds"`), "InvalidCurrency"},
		"address hashed":               {change(`"203.0.113.7"`, `"5e884898da28047151d0e56f8dc62927"`), "InvalidIP"},
		"unknown kind of id":           {change(`"UID2"`, `"EMAIL"`), "InvalidId"},
		"item without a code":          {change(`"item_code":"SKU1",`, ``), "InvalidItem"},
		"empty privacy setting":        {change(`{"privacy_type":"GDPR","is_applicable":1,"consent_string":"CPexample"}`, `{}`), "InvalidPrivacySetting"},
		"another policy":               {change(`"order_id"`, `"data_processing_option":{"policies":["LDU","X"],"region":"US-CA"},"order_id"`), "InvalidDataProcessingOption"},
		"another country's region":     {change(`"order_id"`, `"data_processing_option":{"policies":["LDU"],"region":"CA-ON"},"order_id"`), "InvalidDataProcessingOption"},
		"a hash as UID2":               {change(`"order_id"`, `"uid2":"6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd","order_id"`), "InvalidId"},
		"undefined tag":                {change(`"abc123x"`, `"undefined1"`), "402 the tag"},
		"undefined name":               {change(`"purchase"`, `"undefined_name"`), "402 the tag"},
	} {
		t.Run(name, func(t *testing.T) {
			w, got := ask(realTimePath, c.body)
			if answer := fmt.Sprint(w.Code, " ", w.Body); w.Code < 400 || !strings.Contains(answer, c.want) {
				t.Errorf("%s, want %s", answer, c.want)
			}
			if len(got) != 1 || len(got[0].OrderIDs) > 0 {
				t.Errorf("recorded %+v", got)
			}
		})
	}
	if w, _ := ask(realTimePath, `{"data":[`+worked+`]}`, "Authorization", "Bearer x"); w.Code != 400 {
		t.Errorf("an Authorization header is answered %d", w.Code)
	}
	if w, _ := ask(realTimePath, `{"data":[`+worked+`]}`, "Content-Type", "text/plain"); w.Code != 415 {
		t.Errorf("plain text is answered %d", w.Code)
	}
}

func TestSandboxOfTheOfflineCall(t *testing.T) {
	const good = `{"TrackingTagId":"abc123x","TimestampUtc":"2025-01-02T03:04:05.000Z","UserIdArray":[["0","11111111-2222-3333-4444-555555555555"]],"OrderId":"L-1"}`
	wrap := func(items string) string {
		return `{"DataProviderId":"p","UserIdArrayMetadataFormat":["type","id"],"Items":[` + items + `]}`
	}
	for name, c := range map[string]struct {
		body, auth, want string
	}{
		"good":                {wrap(good), "token", `200 {"FailedLines":[]}`},
		"no token":            {wrap(good), "", "401 TTD-Auth"},
		"revoked token":       {wrap(good), "revoked-1", "403 "},
		"no provider":         {`{"Items":[` + good + `]}`, "token", "400 invalid"},
		"unknown member":      {wrap(strings.Replace(good, `"OrderId"`, `"order_id"`, 1)), "token", `"ErrorCode":"ItemDeserializationError"`},
		"a value as a number": {wrap(strings.Replace(good, `"OrderId":"L-1"`, `"Value":1`, 1)), "token", `"ErrorCode":"ItemDeserializationError"`},
		"no tag":              {wrap(strings.Replace(good, `"abc123x"`, `""`, 1)), "token", "MissingOrInvalidTrackingTagId"},
		"no time":             {wrap(strings.Replace(good, `"2025-01-02T03:04:05.000Z"`, `"yesterday"`, 1)), "token", "InvalidTimestamp"},
		"no id":               {wrap(strings.Replace(good, `[["0","11111111-2222-3333-4444-555555555555"]]`, `[]`, 1)), "token", "MissingOrInvalidTDIDAndImpressionId"},
		"unknown kind of id":  {wrap(strings.Replace(good, `["0",`, `["9",`, 1)), "token", "InvalidUserIdTypeOrUserId"},
		"one of two":          {wrap(good + `,` + strings.Replace(good, `"abc123x"`, `""`, 1)), "token", `200 {"FailedLines":[{"ItemNumber":"2"`},
	} {
		t.Run(name, func(t *testing.T) {
			w, got := ask(offlinePath, c.body, "TTD-Auth", c.auth)
			if answer := fmt.Sprint(w.Code, " ", w.Body); !strings.Contains(answer, c.want) {
				t.Errorf("%s, want %s", answer, c.want)
			}
			if len(got) != 1 || (len(got[0].OrderIDs) > 0) != (w.Code == 200) {
				t.Errorf("recorded %+v", got)
			}
		})
	}
}
