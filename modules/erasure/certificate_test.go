package erasure

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/secret"
)

func signed(t *testing.T) (*Book, []Request) {
	t.Helper()
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	b := NewBook(nil, box, time.Now)
	var all []Request
	for _, id := range []string{"er_1", "er_2", "er_3"} {
		c := &Certificate{Request: id, By: "ada", Left: map[string]int{"queues": 0}}
		if err := b.sign(c, last(all)); err != nil {
			t.Fatal(err)
		}
		all = append(all, Request{ID: id, Certificate: c})
	}
	return b, all
}

func TestACertificateShowsWhatWasDoneToIt(t *testing.T) {
	for name, harm := range map[string]func([]Request) []Request{
		"a count is changed":       func(all []Request) []Request { all[1].Certificate.Left["queues"] = 3; return all },
		"one is taken out":         func(all []Request) []Request { return []Request{all[0], all[2]} },
		"one is signed by another": func(all []Request) []Request { all[2].Certificate.Key = "AAAA"; return all },
		"a signature is of another": func(all []Request) []Request {
			all[2].Certificate.Signature = all[1].Certificate.Signature
			return all
		},
		"two follow one": func(all []Request) []Request { all[2].Certificate.Prev = all[0].Certificate.Hash; return all },
	} {
		t.Run(name, func(t *testing.T) {
			b, all := signed(t)
			if wrong := b.Chain(all); len(wrong) > 0 {
				t.Fatalf("untouched: %v", wrong)
			}
			if wrong := b.Chain(harm(all)); len(wrong) == 0 {
				t.Error("nothing shows")
			}
		})
	}
}

// memory is a state of a few keys.
type memory map[string][]byte

func (m memory) Get(_ context.Context, keys ...string) ([][]byte, error) {
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = m[k]
	}
	return out, nil
}

func TestTombstonesDropWhatCameBefore(t *testing.T) {
	at := time.UnixMicro(1764072000000000)
	keys := memory{tombstone("px", "user:u-1"): []byte("1764072000000000"), tombstone("px", "email:e"): []byte("not a time")}
	events := []*event.Event{
		{PixelID: "px", ReceivedAt: at.Add(-time.Second), Subject: event.Subject{UserID: "u-1"}},
		{PixelID: "px", ReceivedAt: at, Subject: event.Subject{UserID: "u-1"}},
		{PixelID: "px", ReceivedAt: at.Add(time.Second), Subject: event.Subject{UserID: "u-1"}}, // the person came back
		{PixelID: "py", ReceivedAt: at.Add(-time.Second), Subject: event.Subject{UserID: "u-1"}},
		{PixelID: "px", ReceivedAt: at.Add(-time.Second), Subject: event.Subject{UserID: "u-2"}},
		{PixelID: "px", ReceivedAt: at.Add(time.Hour), Subject: event.Subject{Email: "e"}}, // doubt
		{PixelID: "px", ReceivedAt: at.Add(-time.Second)},
	}
	got, err := Drops(t.Context(), keys, events...)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false, false, false, true, false} {
		if got[i] != want {
			t.Errorf("event %d: %v", i, got[i])
		}
	}
}
