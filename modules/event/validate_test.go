package event

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func TestEvents(t *testing.T) {
	cases := read[[]struct {
		Name    string         `json:"name"`
		Event   jsontext.Value `json:"event"`
		Pointer string         `json:"pointer"`
		Code    string         `json:"code"`
	}](t, "testdata/events.json")
	for _, tt := range cases {
		t.Run(tt.Name, func(t *testing.T) {
			var in Incoming
			f := in.Decode(tt.Event)
			if f.Code != tt.Code || f.Pointer != tt.Pointer || (f.Code != "") != (f.Message != "") {
				t.Errorf("got %#v, want %q at %q", f, tt.Code, tt.Pointer)
			}
		})
	}
}

func TestEventsThatAreTooMuch(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, tt := range map[string]struct{ event, code string }{
		"as deep as may be":          {`{"name":"x","properties":{"a":` + nested(MaxEventDepth-2) + `}}`, ""},
		"one deeper":                 {`{"name":"x","properties":{"a":` + nested(MaxEventDepth-1) + `}}`, "too_deep"},
		"thousands deep":             {`{"name":"x","properties":{"a":` + nested(9000) + `}}`, "too_deep"},
		"brackets in text are text":  {`{"name":"x","properties":{"a":"` + strings.Repeat(`[\"{`, 50) + `"}}`, ""},
		"as large as may be":         {`{"name":"x","properties":{"a":"` + strings.Repeat("x", MaxEventBytes-34) + `"}}`, ""},
		"a byte larger":              {`{"name":"x","properties":{"a":"` + strings.Repeat("x", MaxEventBytes-33) + `"}}`, "too_large"},
		"an id as long as may be":    {`{"name":"x","id":"` + strings.Repeat("x", MaxIDLength) + `"}`, ""},
		"an id a character longer":   {`{"name":"x","id":"` + strings.Repeat("x", MaxIDLength+1) + `"}`, "invalid_id"},
		"a time that would not end":  {`{"name":"x","time":"2026-11-22T10:00:00.` + strings.Repeat("0", 100) + `Z"}`, ""},
		"a control character in ids": {`{"name":"x","id":"a\u0000"}`, "invalid_id"},
	} {
		t.Run(name, func(t *testing.T) {
			var in Incoming
			if f := in.Decode(jsontext.Value(tt.event)); f.Code != tt.code {
				t.Errorf("got %+v, want %q", f, tt.code)
			}
		})
	}
}

func TestWhenAnEventHappened(t *testing.T) {
	received := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		time string
		sent time.Time
		want time.Time
		code string
	}{
		"no time":                                 {"", time.Time{}, received, ""},
		"a moment ago":                            {"2026-11-22T09:59:59.5Z", received, received.Add(-500 * time.Millisecond), ""},
		"in another zone":                         {"2026-11-22T11:00:00+02:00", received, received.Add(-time.Hour), ""},
		"a clock that is a little fast":           {"2026-11-22T10:09:00Z", received, received.Add(9 * time.Minute), ""},
		"a clock that is far ahead":               {"2027-11-22T10:00:00Z", received, received, ""},
		"last month":                              {"2026-10-22T10:00:00Z", received, received.AddDate(0, -1, 0), ""},
		"years ago":                               {"2020-01-01T00:00:00Z", received, time.Time{}, "too_old"},
		"years ago, nobody knows when sent":       {"2020-01-01T00:00:00Z", time.Time{}, time.Time{}, "too_old"},
		"a flat battery":                          {"1970-01-01T00:01:00Z", time.Date(1970, 1, 1, 0, 1, 30, 0, time.UTC), received.Add(-30 * time.Second), ""},
		"a flat battery, sent before it happened": {"1970-01-01T00:02:00Z", time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC), received, ""},
		"a day without a time":                    {"2026-11-22", received, time.Time{}, "invalid_time"},
		"words":                                   {"now", received, time.Time{}, "invalid_time"},
		"the 30th of February":                    {"2026-02-30T00:00:00Z", received, time.Time{}, "invalid_time"},
		"endless":                                 {"2026-11-22T10:00:00." + strings.Repeat("0", 100) + "Z", received, time.Time{}, "invalid_time"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, f := (&Incoming{Time: tt.time}).When(tt.sent, received)
			if f.Code != tt.code || f.Code == "" && !got.Equal(tt.want) {
				t.Errorf("got %v %+v, want %v %s", got, f, tt.want, tt.code)
			}
		})
	}
}

// FuzzTime looks for a time that is read in another way than the time package reads it.
func FuzzTime(f *testing.F) {
	for _, s := range []string{
		"2026-11-22T10:00:00.000Z", "2024-02-29T23:59:59.999Z", "2026-02-29T00:00:00.000Z", "2026-04-31T00:00:00.000Z", "2026-12-31T00:00:00.001Z",
		"0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "2026-00-10T10:00:00.000Z", "2026-13-10T10:00:00.000Z", "2026-11-00T10:00:00.000Z",
		"2026-11-22T24:00:00.000Z", "2026-11-22T10:60:00.000Z", "2026-11-22T10:00:60.000Z", "2026-11-22T10:00:00,000Z", "2026-11-22t10:00:00.000z",
		"2026-11-22T10:00:00.0000", "2026-11-22T10:00:00+01:00", "2026-11-22 10:00:00.000Z", "2026-11-22T10:00:00.\xff00Z", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 40 {
			return
		}
		want, wantErr := time.Parse(time.RFC3339Nano, s)
		if got, err := parseTime(s); (err == nil) != (wantErr == nil) || err == nil && got != want.UTC() {
			t.Errorf("%q is %v %v, want %v %v", s, got, err, want, wantErr)
		}
	})
}

func TestEveryTimeOfABrowserIsRead(t *testing.T) {
	const form = "2006-01-02T15:04:05.000Z"
	for at := time.Date(1999, 12, 31, 23, 59, 59, 999e6, time.UTC); at.Year() < 2101; at = at.Add(11*time.Hour + 7*time.Minute + 13*time.Second + 17*time.Millisecond) {
		if got, ok := isoTime(at.Format(form)); !ok || got != at {
			t.Fatalf("%s is %v %v", at.Format(form), got, ok)
		}
	}
}

func TestOrders(t *testing.T) {
	cases := read[[]struct {
		Name       string         `json:"name"`
		Event      string         `json:"event"`
		Properties jsontext.Value `json:"properties"`
		Order      jsontext.Value `json:"order"`
		Pointer    string         `json:"pointer"`
	}](t, "testdata/orders.json")
	for _, tt := range cases {
		t.Run(tt.Name, func(t *testing.T) {
			o, f := ParseOrder(tt.Event, tt.Properties)
			if f.Pointer != tt.Pointer || (f.Code != "") != (tt.Pointer != "") {
				t.Fatalf("fault %+v, want one at %q", f, tt.Pointer)
			}
			if tt.Order == nil {
				return
			}
			got, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.Order.Clone()
			if err := want.Compact(); err != nil || string(got) != string(want) {
				t.Errorf("got %s, want %s (%v)", got, want, err)
			}
		})
	}
}

func TestOrdersThatAreTooMuch(t *testing.T) {
	if _, f := ParseOrder("purchase", jsontext.Value(`{"items":[`+strings.Repeat("{},", 200)+`{}]}`)); f.Pointer != "/properties/items" {
		t.Errorf("201 items: %+v", f)
	}
	if _, f := ParseOrder("purchase", jsontext.Value(`{"order_id":"`+strings.Repeat("x", 129)+`"}`)); f.Pointer != "/properties/order_id" {
		t.Errorf("a long order id: %+v", f)
	}
}

func BenchmarkDecode(b *testing.B) {
	const body = `{"pixel_id":"px_demo","sent_at":"2026-11-22T10:00:00.000Z","consent":{"gdpr_applies":false,"us_privacy":"1YNN","state":"full"},"identity":{"anonymous_id":"7d1f2c3b-9a4e-4c58-b6d7-000000000001"},"context":{"page":{"url":"https://shop.example.com/shoes/item-1?utm_source=google&utm_campaign=spring","referrer":"https://www.google.com/","title":"Running shoe 1 | Shop"},"locale":"en-GB","timezone":"Europe/London","screen":{"width":1920,"height":1080},"sdk":{"name":"web","version":"1.0.0"}},"events":[{"id":"01930000-0000-7000-8000-000000000001","name":"view_item","time":"2026-11-22T10:00:00.000Z","properties":{"value":99.5,"currency":"GBP","items":[{"item_id":"SKU1","item_name":"Running shoe","price":99.5,"quantity":1}]}}]}`
	b.ReportAllocs()
	for b.Loop() {
		env, err := DecodeEnvelope([]byte(body), 500)
		if err != nil {
			b.Fatal(err)
		}
		var in Incoming
		if f := in.Decode(env.Events[0]); f.Code != "" {
			b.Fatal(f)
		}
		if _, f := ParseOrder(in.Name, in.Properties); f.Code != "" {
			b.Fatal(f)
		}
	}
}
