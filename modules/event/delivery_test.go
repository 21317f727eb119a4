package event_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
)

func TestASyncKeepsEveryFieldThroughJSON(t *testing.T) {
	want := event.Sync{
		EventID: "e-1", PixelID: "px_demo", Partner: "ttd", Attempt: 2, At: time.Date(2026, 11, 22, 10, 0, 0, 1, time.UTC),
		Outcome: event.Retry, Code: "timeout", Message: "it took too long", Status: 504, Latency: 1500 * time.Millisecond,
		RequestID: "r-1", Payload: "ab", Answer: "{}", Request: "[]", OrderID: "A-1",
	}
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test sets no %s", v.Type().Field(i).Name)
		}
	}
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got event.Sync
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s became %+v, not %+v", body, got, want)
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	if fields["latency_ns"] != 1.5e9 || fields["event_id"] != "e-1" {
		t.Errorf("got %s", body)
	}
}
