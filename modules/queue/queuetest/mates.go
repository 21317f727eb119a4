package queuetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
)

func matesOverLeases(t *testing.T, b Backend) {
	mates(t, b, func(b Backend) Backend { return b })
}

func matesOverReopens(t *testing.T, b Backend) {
	mates(t, b, func(b Backend) Backend { return b.Reopen(t) })
}

// mates has every holder of the poison die, of which nobody settles anything then,
// and every other holder ack what it has.
func mates(t *testing.T, b Backend, die func(Backend) Backend) {
	const before, after = 4, 5
	// One of them had a delivery before, so it has one less to escape with.
	push(t, b, name, "tried")
	ok(t, b.Retry(t.Context(), name, time.Now(), ids(await(t, b, name, 1))...))
	all := []string{"tried"}
	// Pushes of their own lie in different partitions, where there are several; the
	// poison lies in the middle of one.
	for i := range before {
		all = append(all, fmt.Sprint("before ", i))
		push(t, b, name, all[len(all)-1])
	}
	push(t, b, name, "left", "poison", "right")
	all = append(all, "left", "right")
	for i := range after {
		all = append(all, fmt.Sprint("after ", i))
		push(t, b, name, all[len(all)-1])
	}
	acked := map[string]bool{}
	var batches [][]string // that somebody died with
	var letters []queue.DeadLetter
	for giveUp := time.Now().Add(time.Minute); len(letters) == 0 || len(acked) < len(all); letters = dead(t, b, "dlq:acme") {
		if len(letters) > 1 {
			break
		}
		if time.Now().After(giveUp) {
			t.Fatalf("after a minute %d of %d are acked, the dead letters are %+v, and holders died with %q", len(acked), len(all), letters, batches)
		}
		msgs := pull(t, b, name, 100)
		if got := texts(msgs); slices.Contains(got, "poison") {
			batches = append(batches, got)
			b = die(b)
			continue
		}
		ok(t, b.Ack(t.Context(), name, ids(msgs)...))
		for _, m := range msgs {
			acked[string(m.Body)] = true
		}
	}
	if len(letters) != 1 {
		var bodies []string
		for _, l := range letters {
			bodies = append(bodies, string(l.Body))
		}
		t.Fatalf("dead letters are %q, want the poison alone; holders died with %q", bodies, batches)
	}
	l := letters[0]
	if string(l.Body) != "poison" || l.Origin != name || l.Deliveries != quick.MaxDeliveries || l.Reason == "" {
		t.Errorf("the letter is %+v of %q", l, l.Body)
	}
	if len(batches) != quick.MaxDeliveries {
		t.Errorf("holders died with %q, want %d times", batches, quick.MaxDeliveries)
	}
	if len(batches[0]) != len(all)+1 {
		t.Errorf("the first batch was %q, want all %d", batches[0], len(all)+1)
	}
	for _, m := range all {
		if !acked[m] {
			t.Errorf("%s is lost", m)
		}
	}
	counts(t, b, name, 0, 0, 0)
}
