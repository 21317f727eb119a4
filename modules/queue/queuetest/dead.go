package queuetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
)

func poison(t *testing.T, b Backend) {
	push(t, b, name, "poison", "mate")
	// Whoever pulls the poison dies of it, and takes its mate along. Once the mate
	// escapes, and so has a delivery left at the end.
	for i := range steady.MaxDeliveries {
		msgs := await(t, b, name, 2)
		slices.SortFunc(msgs, func(a, b queue.Message) int { return strings.Compare(string(b.Body), string(a.Body)) })
		want(t, msgs, "poison", "mate")
		if i == 1 {
			// Its next lease must end well after that of the poison, or else it could
			// come again before it.
			time.Sleep(steady.Lease / 2)
			ok(t, b.Release(t.Context(), name, msgs[1].ID))
		}
	}
	msgs := await(t, b, name, 1)
	want(t, msgs, "mate")
	ok(t, b.Ack(t.Context(), name, ids(msgs)...))
	var letters []queue.DeadLetter
	for giveUp := time.Now().Add(10 * steady.Lease); len(letters) == 0 && time.Now().Before(giveUp); {
		none(t, b, name)
		letters = dead(t, b, "dlq:acme")
	}
	if len(letters) != 1 {
		t.Fatalf("dead letters are %+v, want the poison alone", letters)
	}
	l := letters[0]
	if string(l.Body) != "poison" || l.Origin != name || l.Deliveries != steady.MaxDeliveries || l.Reason == "" {
		t.Errorf("the letter is %+v of %q", l, l.Body)
	}
	counts(t, b, name, 0, 0, 0)
}

func retriedTooOften(t *testing.T, b Backend) {
	push(t, b, name, "again")
	for i := range patient.MaxDeliveries {
		msgs := await(t, b, name, 1)
		if msgs[0].Deliveries != i+1 {
			t.Fatalf("delivery %d says %d", i+1, msgs[0].Deliveries)
		}
		ok(t, b.Retry(t.Context(), name, time.Now(), msgs[0].ID))
	}
	none(t, b, name)
	if letters := dead(t, b, "dlq:acme"); len(letters) != 1 || letters[0].Deliveries != patient.MaxDeliveries {
		t.Errorf("dead letters are %+v", letters)
	}
}

func bury(t *testing.T, b Backend) {
	push(t, b, "ingest:low", "fine", "bad", "worse")
	msgs := pull(t, b, "ingest:low", 3)
	before := time.Now().Add(-time.Second)
	ok(t, b.Bury(t.Context(), "ingest:low", "cannot be decoded: ü", msgs[1].ID, msgs[2].ID))
	ok(t, b.Bury(t.Context(), "ingest:low", "a second time", msgs[1].ID))
	ok(t, b.Ack(t.Context(), "ingest:low", msgs[0].ID))
	none(t, b, "ingest:low")
	letters := dead(t, b, "dlq:validation")
	var got []string
	for _, l := range letters {
		got = append(got, string(l.Body))
		if l.Reason != "cannot be decoded: ü" || l.Origin != "ingest:low" || l.Deliveries != 1 || l.ID == "" {
			t.Errorf("the letter is %+v", l)
		}
		if l.BuriedAt.Before(before) || l.BuriedAt.After(time.Now().Add(time.Second)) {
			t.Errorf("buried at %s, now it is %s", l.BuriedAt, time.Now())
		}
	}
	if slices.Sort(got); !slices.Equal(got, []string{"bad", "worse"}) {
		t.Errorf("dead letters are %q", got)
	}
	counts(t, b, "ingest:low", 0, 0, 0)
}

func refused(t *testing.T, b Backend) {
	ok(t, b.Push(t.Context(), queue.Item{Queue: queue.Validation, Body: []byte(`{"name":1}`), Reason: "name: want a string"}))
	letters := dead(t, b, queue.Validation)
	if len(letters) != 1 {
		t.Fatalf("dead letters are %+v", letters)
	}
	l := letters[0]
	if string(l.Body) != `{"name":1}` || l.Reason != "name: want a string" || l.Origin != "" || l.Deliveries != 0 || l.ID == "" || time.Since(l.BuriedAt) > time.Minute {
		t.Errorf("the letter is %+v of %q", l, l.Body)
	}
}

// graveyard buries n letters, one after the other, with the bodies 1 … n.
func graveyard(t *testing.T, b Backend, n int) {
	t.Helper()
	for i := range n {
		push(t, b, name, fmt.Sprint(i+1))
		ok(t, b.Bury(t.Context(), name, "rejected", pull(t, b, name, 1)[0].ID))
	}
}

func paging(t *testing.T, b Backend) {
	graveyard(t, b, 20)
	var got []string
	for _, l := range dead(t, b, "dlq:acme") {
		got = append(got, string(l.Body))
	}
	var wanted []string
	for i := 20; i > 0; i-- {
		wanted = append(wanted, fmt.Sprint(i))
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("letters came as %q", got)
	}
	// A page that ends with the last letter has no next one.
	letters, next, err := b.Dead(t.Context(), "dlq:acme", "", 20)
	if ok(t, err); len(letters) != 20 || next != "" {
		t.Errorf("a page of all gave %d letters and the cursor %q", len(letters), next)
	}
	letters, next, err = b.Dead(t.Context(), "dlq:nobody", "", 20)
	if ok(t, err); len(letters) != 0 || next != "" {
		t.Errorf("a queue that does not exist has %d letters and the cursor %q", len(letters), next)
	}
	if _, _, err := b.Dead(t.Context(), "dlq:acme", "no cursor", 20); err == nil {
		t.Error("a made-up cursor is no error")
	}
}

// lettersByBody finds dead letters' ids.
func lettersByBody(t *testing.T, b Backend, from string) map[string]string {
	out := map[string]string{}
	for _, l := range dead(t, b, from) {
		out[string(l.Body)] = l.ID
	}
	return out
}

func revive(t *testing.T, b Backend) {
	graveyard(t, b, 3)
	at := lettersByBody(t, b, "dlq:acme")
	n, err := b.Revive(t.Context(), "dlq:acme", at["3"], at["1"], at["1"])
	if ok(t, err); n != 2 {
		t.Errorf("revived %d, want 2", n)
	}
	msgs := await(t, b, name, 2)
	got := texts(msgs)
	if slices.Sort(got); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("came back: %q", got)
	}
	for _, m := range msgs {
		if m.Deliveries != 1 {
			t.Errorf("%s says delivery %d, want 1", m.Body, m.Deliveries)
		}
	}
	if n, err = b.Revive(t.Context(), "dlq:acme", at["3"]); err != nil || n != 0 {
		t.Errorf("revived %d a second time, error %v", n, err)
	}
	if n, err = b.Revive(t.Context(), "dlq:acme"); err != nil || n != 0 {
		t.Errorf("revived %d without naming any, error %v", n, err)
	}
	counts(t, b, "dlq:acme", 1, 0, 0)
	// A revived message can be buried and revived again.
	ok(t, b.Bury(t.Context(), name, "rejected again", ids(msgs)...))
	counts(t, b, "dlq:acme", 3, 0, 0)
	counts(t, b, name, 0, 0, 0)
}

func reviveRefused(t *testing.T, b Backend) {
	ok(t, b.Push(t.Context(), queue.Item{Queue: queue.Validation, Body: []byte("refused"), Reason: "bad"}))
	push(t, b, "ingest:high", "buried")
	ok(t, b.Bury(t.Context(), "ingest:high", "bad too", pull(t, b, "ingest:high", 1)[0].ID))
	at := lettersByBody(t, b, queue.Validation)
	n, err := b.Revive(t.Context(), queue.Validation, at["refused"], at["buried"])
	if ok(t, err); n != 1 {
		t.Errorf("revived %d, want 1", n)
	}
	want(t, await(t, b, "ingest:high", 1), "buried")
	if l := dead(t, b, queue.Validation); len(l) != 1 || string(l[0].Body) != "refused" {
		t.Errorf("left are %+v", l)
	}
}

func drop(t *testing.T, b Backend) {
	graveyard(t, b, 3)
	at := lettersByBody(t, b, "dlq:acme")
	n, err := b.Drop(t.Context(), "dlq:acme", at["2"], at["3"], at["2"])
	if ok(t, err); n != 2 {
		t.Errorf("dropped %d, want 2", n)
	}
	if l := dead(t, b, "dlq:acme"); len(l) != 1 || string(l[0].Body) != "1" {
		t.Errorf("left are %+v", l)
	}
	if n, err = b.Drop(t.Context(), "dlq:acme"); err != nil || n != 0 {
		t.Errorf("dropped %d without naming any, error %v", n, err)
	}
	none(t, b, name)
	counts(t, b, "dlq:acme", 1, 0, 0)
}

func pullDead(t *testing.T, b Backend) {
	graveyard(t, b, 1)
	none(t, b, "dlq:acme")
	counts(t, b, "dlq:acme", 1, 0, 0)
}
