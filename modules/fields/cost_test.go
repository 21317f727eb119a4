package fields

import (
	"bytes"
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// BenchmarkSent is the cost of an event in a full request to Amazon.
func BenchmarkSent(b *testing.B) {
	raw, err := os.ReadFile("../partner/amazon/testdata/full/request.json")
	if err != nil {
		b.Fatal(err)
	}
	var q struct {
		Body struct {
			Events []jsontext.Value `json:"events"`
		} `json:"body"`
	}
	if err := json.Unmarshal(raw, &q); err != nil {
		b.Fatal(err)
	}
	event := q.Body.Events[0]
	if err := event.Compact(); err != nil {
		b.Fatal(err)
	}
	const events = 500
	r := New(nil, slog.New(slog.DiscardHandler))
	full := Request{Body: append(append([]byte(`{"events":[`), bytes.Join(slices.Repeat([][]byte{event}, events), []byte(","))...), `]}`...), Pixels: make([]string, events), At: noon}
	b.SetBytes(int64(len(event)))
	for n := 0; n < b.N; n += events {
		r.Sent("acme", full)
	}
}
