package queuetest

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// peeked lists all that Peek shows, as "body state", a page at a time.
func peeked(t *testing.T, b Backend, of string, page int) []string {
	t.Helper()
	var all []string
	for cursor := ""; ; {
		msgs, next, err := b.Peek(t.Context(), of, cursor, page)
		ok(t, err)
		if len(msgs) > page {
			t.Fatalf("a page of %d messages, asked for at most %d", len(msgs), page)
		}
		for _, m := range msgs {
			all = append(all, fmt.Sprintf("%s %s", m.Body, m.State))
		}
		if next == "" {
			return all
		}
		cursor = next
	}
}

func peek(t *testing.T, b Backend) {
	counted(t, b, name, account("px_a"), "held", "later", "sooner")
	start := time.Now()
	msgs := pull(t, b, name, 3)
	ok(t, b.Retry(t.Context(), name, start.Add(2*time.Hour), msgs[1].ID))
	ok(t, b.Retry(t.Context(), name, start.Add(time.Hour), msgs[2].ID))
	push(t, b, name, "1", "2")
	want := []string{"1 ready", "2 ready", "sooner delayed", "later delayed", "held in_flight"}
	if got := peeked(t, b, name, 10); !slices.Equal(got, want) {
		t.Errorf("peek shows %q, want %q", got, want)
	}
	if got := peeked(t, b, name, 2); !slices.Equal(got, want) {
		t.Errorf("by pages peek shows %q, want %q", got, want)
	}
	list, _, err := b.Peek(t.Context(), name, "", 10)
	ok(t, err)
	for i, w := range list {
		var until time.Duration
		switch i {
		case 2:
			until = time.Hour
		case 3:
			until = 2 * time.Hour
		case 4:
			until = patient.Lease
		}
		if d := w.Until.Sub(start) - until; until > 0 && (d < -10*time.Millisecond || d > time.Minute) || until == 0 && !w.Until.IsZero() {
			t.Errorf("%s waits until %s", w.Body, w.Until)
		}
	}
	if w := list[4]; w.ID != msgs[0].ID || w.Deliveries != 1 || w.Account != account("px_a") || !w.PushedAt.Equal(msgs[0].PushedAt) {
		t.Errorf("peek shows %+v, pulled was %+v", w, msgs[0])
	}
	// Nothing of it was claimed.
	counts(t, b, name, 2, 1, 2)
	fresh := await(t, b, name, 2)
	if fresh[0].Deliveries != 1 {
		t.Errorf("peeking counted as a delivery: %+v", fresh[0])
	}
	if got := peeked(t, b, "s2s:nobody", 2); len(got) > 0 {
		t.Errorf("a queue that does not exist shows %q", got)
	}
	if _, _, err := b.Peek(t.Context(), name, "no cursor", 10); err == nil {
		t.Error("a made-up cursor is no error")
	}
}

func peekPages(t *testing.T, b Backend) {
	var wanted []string
	for i := range 50 {
		push(t, b, name, fmt.Sprint(2*i), fmt.Sprint(2*i+1))
		wanted = append(wanted, fmt.Sprintf("%d ready", 2*i), fmt.Sprintf("%d ready", 2*i+1))
	}
	got := peeked(t, b, name, 7)
	if b.Loose {
		slices.Sort(got)
		slices.Sort(wanted)
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("peek shows %q", got)
	}
}

func skip(t *testing.T, b Backend) {
	counted(t, b, name, account("px_a"), "held", "delayed")
	msgs := pull(t, b, name, 2)
	ok(t, b.Retry(t.Context(), name, time.Now().Add(time.Hour), msgs[1].ID))
	counted(t, b, name, account("px_a"), "1", "2", "3")
	list, _, err := b.Peek(t.Context(), name, "", 10)
	ok(t, err)
	at := map[string]string{}
	for _, w := range list {
		at[string(w.Body)] = w.ID
	}
	n, err := b.Skip(t.Context(), name, "an operator's wish", at["2"], at["delayed"], at["held"], at["2"])
	if ok(t, err); n != 2 {
		t.Errorf("skipped %d, want 2", n)
	}
	n, err = b.Skip(t.Context(), name, "again", at["2"])
	if ok(t, err); n != 0 {
		t.Errorf("skipped %d a second time", n)
	}
	var bodies []string
	for _, l := range dead(t, b, "dlq:acme") {
		bodies = append(bodies, string(l.Body))
		if l.Reason != "an operator's wish" || l.Origin != name || l.Account != account("px_a") {
			t.Errorf("the letter is %+v", l)
		}
	}
	if slices.Sort(bodies); !slices.Equal(bodies, []string{"2", "delayed"}) {
		t.Errorf("dead letters are %q", bodies)
	}
	counts(t, b, name, 2, 1, 0)
	want(t, await(t, b, name, 2), "1", "3")
	ok(t, b.Ack(t.Context(), name, at["held"]))
	say(t, b, "dlq:acme px_a in=2", "s2s:acme px_a buried=2", "s2s:acme px_a in=5")
	// And back again, from never delivered.
	letters := dead(t, b, "dlq:acme")
	if n, err = b.Revive(t.Context(), "dlq:acme", letters[0].ID, letters[1].ID); err != nil || n != 2 {
		t.Fatalf("revived %d, %v", n, err)
	}
	for _, m := range await(t, b, name, 2) {
		if m.ID != at[string(m.Body)] || m.Deliveries != 1 {
			t.Errorf("came back as %+v", m)
		}
	}
}

func drainQueue(t *testing.T, b Backend) {
	counted(t, b, name, account("px_a"), "held", "delayed")
	msgs := pull(t, b, name, 2)
	ok(t, b.Retry(t.Context(), name, time.Now().Add(time.Hour), msgs[1].ID))
	for i := range 9 {
		counted(t, b, name, account("px_a"), fmt.Sprint(i))
	}
	if n, err := b.Drain(t.Context(), name, "moved by an operator", 4); err != nil || n != 4 {
		t.Errorf("drained %d, %v", n, err)
	}
	if l := dead(t, b, "dlq:acme"); len(l) != 4 || l[0].Reason != "moved by an operator" || l[0].Origin != name {
		t.Errorf("dead letters are %+v", l)
	}
	total := 0
	for {
		n, err := b.Drain(t.Context(), name, "", 4)
		if ok(t, err); n > 4 {
			t.Fatalf("drained %d, asked for at most 4", n)
		}
		if total += n; n == 0 {
			break
		}
	}
	if total != 6 {
		t.Errorf("drained %d, want 6", total)
	}
	none(t, b, name)
	counts(t, b, name, 0, 1, 0)
	say(t, b, "dlq:acme px_a in=4", "s2s:acme px_a buried=4", "s2s:acme px_a dropped=6", "s2s:acme px_a in=11")
	if n, err := b.Drain(t.Context(), "dlq:acme", "", 3); err != nil || n != 3 {
		t.Errorf("drained %d letters, %v", n, err)
	}
	if _, err := b.Drain(t.Context(), "dlq:acme", "why", 3); err == nil {
		t.Error("dead letters were buried again")
	}
	if l := dead(t, b, "dlq:acme"); len(l) != 1 {
		t.Errorf("%d letters are left, want 1", len(l))
	}
	say(t, b, "dlq:acme px_a dropped=3", "dlq:acme px_a in=4", "s2s:acme px_a buried=4", "s2s:acme px_a dropped=6", "s2s:acme px_a in=11")
	if n, err := b.Drain(t.Context(), "s2s:nobody", "", 3); err != nil || n != 0 {
		t.Errorf("drained %d of a queue that does not exist, %v", n, err)
	}
	ok(t, b.Ack(t.Context(), name, msgs[0].ID))
}

// wipe leaves of one push a message in every state, and looks whether each is still
// what it was.
func wipe(t *testing.T, b Backend) {
	counted(t, b, name, account("px_a"), "acked", "held", "later", "buried", "dropped", "back", "waits", "waits too")
	msgs := pull(t, b, name, 6)
	ok(t, b.Ack(t.Context(), name, msgs[0].ID))
	ok(t, b.Retry(t.Context(), name, time.Now().Add(time.Hour), msgs[2].ID))
	ok(t, b.Bury(t.Context(), name, "bad", msgs[3].ID))
	ok(t, b.Release(t.Context(), name, msgs[4].ID, msgs[5].ID))
	if n, err := b.Skip(t.Context(), name, "goes", msgs[4].ID); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	letters, _, err := b.Dead(t.Context(), "dlq:acme", "", 10)
	ok(t, err)
	for _, l := range letters {
		if l.Reason == "goes" {
			_, err := b.Drop(t.Context(), "dlq:acme", l.ID)
			ok(t, err)
		}
	}
	for range 2 {
		ok(t, b.Wipe(t.Context()))
	}
	got := peeked(t, b, name, 10)
	slices.Sort(got)
	if want := []string{"back ready", "held in_flight", "later delayed", "waits ready", "waits too ready"}; !slices.Equal(got, want) {
		t.Errorf("after it there are %q, want %q", got, want)
	}
	letters, _, err = b.Dead(t.Context(), "dlq:acme", "", 10)
	ok(t, err)
	if len(letters) != 1 || string(letters[0].Body) != "buried" {
		t.Errorf("dead are %+v", letters)
	}
	again := b.Reopen(t)
	var bodies []string
	for _, m := range pull(t, again, name, 3) {
		bodies = append(bodies, string(m.Body))
		if m.Account != account("px_a") {
			t.Errorf("%s lost its account", m.Body)
		}
	}
	slices.Sort(bodies)
	if !slices.Contains(bodies, "waits") && !slices.Contains(bodies, "back") {
		t.Errorf("reopened it gives %q", bodies)
	}
}
