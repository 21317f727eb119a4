package queuetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
)

func stats(t *testing.T, b Backend) {
	push(t, b, name, "1", "2", "3", "4", "5", "6")
	push(t, b, "ingest:high", "h")
	counts(t, b, name, 6, 0, 0)
	msgs := pull(t, b, name, 5)
	counts(t, b, name, 1, 5, 0)
	ok(t, b.Retry(t.Context(), name, time.Now().Add(time.Hour), msgs[0].ID, msgs[1].ID))
	counts(t, b, name, 1, 3, 2)
	ok(t, b.Bury(t.Context(), name, "rejected", msgs[2].ID))
	ok(t, b.Ack(t.Context(), name, msgs[3].ID))
	ok(t, b.Release(t.Context(), name, msgs[4].ID))
	counts(t, b, name, 2, 0, 2)
	counts(t, b, "ingest:high", 1, 0, 0)
	counts(t, b, "dlq:acme", 1, 0, 0)
}

func oldest(t *testing.T, b Backend) {
	const age = 30 * time.Millisecond
	start := time.Now()
	push(t, b, name, "1")
	// A pull of another queue waits a moment, so that time passes.
	none(t, b, "s2s:other")
	push(t, b, name, "2", "3")
	// upTo allows what passed since the start, and a store that counts in milliseconds.
	upTo := func(s queue.Stats) bool { return s.Oldest <= time.Since(start)+5*time.Millisecond }
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"ready", func() {}},
		{"in flight", func() { pull(t, b, name, 1) }},
	} {
		step.do()
		if s := statsOf(t, b, name); s.Oldest < age || !upTo(s) {
			t.Errorf("%s: the oldest is %s old, pushed %s ago", step.name, s.Oldest, time.Since(start))
		}
	}
	delayed := pull(t, b, name, 1)
	ok(t, b.Retry(t.Context(), name, time.Now().Add(time.Hour), ids(delayed)...))
	if s := statsOf(t, b, name); s.Oldest < age || !upTo(s) {
		t.Errorf("with one in flight and one delayed, the oldest is %s old, pushed %s ago", s.Oldest, time.Since(start))
	}
	push(t, b, "s2s:done", "x")
	ok(t, b.Ack(t.Context(), "s2s:done", pull(t, b, "s2s:done", 1)[0].ID))
	if s := statsOf(t, b, "s2s:done"); s.Oldest != 0 {
		t.Errorf("an empty queue's oldest is %s old", s.Oldest)
	}
}

func reopen(t *testing.T, b Backend) {
	push(t, b, name, "acked", "held", "retried", "released", "buried", "ready")
	ok(t, b.Push(t.Context(), queue.Item{Queue: queue.Validation, Body: []byte("refused"), Reason: "bad"}))
	msgs := pull(t, b, name, 5)
	ok(t, b.Ack(t.Context(), name, msgs[0].ID))
	ok(t, b.Retry(t.Context(), name, time.Now().Add(500*time.Millisecond), msgs[2].ID))
	ok(t, b.Release(t.Context(), name, msgs[3].ID))
	ok(t, b.Bury(t.Context(), name, "rejected", msgs[4].ID))

	b = b.Reopen(t)
	got := map[string]queue.Message{}
	for len(got) < 4 {
		m := await(t, b, name, 1)[0]
		got[string(m.Body)] = m
		ok(t, b.Ack(t.Context(), name, m.ID))
	}
	for i, body := range []string{"held", "retried", "released"} {
		if m := got[body]; m.ID != msgs[i+1].ID {
			t.Errorf("%s came back as %q, was %q", body, m.ID, msgs[i+1].ID)
		}
	}
	for body, deliveries := range map[string]int{"held": 2, "retried": 2, "released": 1, "ready": 1} {
		if got[body].Deliveries != deliveries {
			t.Errorf("%s says delivery %d, want %d", body, got[body].Deliveries, deliveries)
		}
	}
	none(t, b, name)
	counts(t, b, name, 0, 0, 0)
	if l := dead(t, b, "dlq:acme"); len(l) != 1 || string(l[0].Body) != "buried" || l[0].Reason != "rejected" || l[0].Origin != name {
		t.Errorf("dead letters are %+v", l)
	}
	if l := dead(t, b, queue.Validation); len(l) != 1 || string(l[0].Body) != "refused" {
		t.Errorf("refused are %+v", l)
	}

	// Ids are not given twice, even though the store was empty when it opened.
	b = b.Reopen(t)
	push(t, b, name, "new")
	fresh := await(t, b, name, 1)
	if slices.ContainsFunc(msgs, func(m queue.Message) bool { return m.ID == fresh[0].ID }) {
		t.Errorf("the id %s was given again", fresh[0].ID)
	}
}

func poisonOverReopen(t *testing.T, b Backend) {
	push(t, b, name, "poison")
	for i := range quick.MaxDeliveries {
		if m := await(t, b, name, 1)[0]; m.Deliveries != i+1 {
			t.Fatalf("delivery %d says %d", i+1, m.Deliveries)
		}
		b = b.Reopen(t)
	}
	push(t, b, name, "next")
	// The poison is looked at once its lease is over, at most.
	start := time.Now()
	var got []string
	for time.Since(start) < 2*quick.Lease {
		for _, m := range pull(t, b, name, 10) {
			got = append(got, string(m.Body))
			ok(t, b.Ack(t.Context(), name, m.ID))
		}
	}
	if fmt.Sprint(got) != "[next]" {
		t.Errorf("got %q, want next", got)
	}
	if l := dead(t, b, "dlq:acme"); len(l) != 1 || string(l[0].Body) != "poison" {
		t.Errorf("dead letters are %+v", l)
	}
}
