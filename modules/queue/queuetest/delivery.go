package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
)

func order(t *testing.T, b Backend) {
	push(t, b, name, "1", "2")
	push(t, b, name, "3")
	push(t, b, name, "4", "5")
	if b.Loose {
		// Of one push they keep their order, and those of all come out.
		got := texts(await(t, b, name, 5))
		if slices.Index(got, "1") > slices.Index(got, "2") || slices.Index(got, "4") > slices.Index(got, "5") {
			t.Errorf("came out as %q", got)
		}
		none(t, b, name)
		return
	}
	want(t, pull(t, b, name, 2), "1", "2")
	want(t, pull(t, b, name, 100), "3", "4", "5")
	none(t, b, name)
}

func empty(t *testing.T, b Backend) {
	start := time.Now()
	none(t, b, name)
	if took := time.Since(start); took < patient.Wait*9/10 || took > 5*time.Second {
		t.Fatalf("waited %s, want about %s", took, patient.Wait)
	}
}

func wakes(t *testing.T, b Backend) {
	type answer struct {
		msgs []queue.Message
		err  error
	}
	got := make(chan answer)
	for range 2 {
		go func() {
			msgs, err := b.Pull(t.Context(), name, 1)
			got <- answer{msgs, err}
		}()
	}
	start := time.Now()
	push(t, b, name, "one", "two")
	var bodies []string
	for range 2 {
		a := <-got
		ok(t, a.err)
		bodies = append(bodies, texts(a.msgs)...)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("the pullers got their messages after %s", took)
	}
	slices.Sort(bodies)
	if !slices.Equal(bodies, []string{"one", "two"}) {
		t.Errorf("the pullers got %q", bodies)
	}
}

func cancelled(t *testing.T, b Backend) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	msgs, err := b.Pull(ctx, name, 1)
	<-ctx.Done()
	if len(msgs) > 0 || err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %d messages, error %v", len(msgs), err)
	}
	if err := b.Push(ctx, queue.Item{Queue: name, Body: []byte("late")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a push whose context had ended returned %v", err)
	}
}

func max(t *testing.T, b Backend) {
	push(t, b, name, "1", "2", "3")
	want(t, pull(t, b, name, 1), "1")
	want(t, pull(t, b, name, 5), "2", "3")
}

func bodies(t *testing.T, b Backend) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	in := [][]byte{{}, every, []byte("\x00\xff\xfe"), []byte(`{"a":"ü"}`), bytes.Repeat([]byte("large "), 200_000)}
	before := time.Now().Add(-time.Second)
	var items []queue.Item
	for _, body := range in {
		items = append(items, queue.Item{Queue: name, Body: body})
	}
	ok(t, b.Push(t.Context(), items...))
	var first []queue.Message
	for delivery := 1; delivery <= 2; delivery++ {
		msgs := await(t, b, name, len(in))
		for i, m := range msgs {
			if !bytes.Equal(m.Body, in[i]) {
				t.Errorf("delivery %d: body %d has %d bytes and differs, want %d", delivery, i, len(m.Body), len(in[i]))
			}
			if m.Deliveries != delivery {
				t.Errorf("message %d says delivery %d, want %d", i, m.Deliveries, delivery)
			}
			if m.PushedAt.Before(before) || m.PushedAt.After(time.Now().Add(time.Second)) {
				t.Errorf("message %d was pushed at %s, now it is %s", i, m.PushedAt, time.Now())
			}
			if first != nil && (m.ID != first[i].ID || !m.PushedAt.Equal(first[i].PushedAt)) {
				t.Errorf("message %d changed: %s of %s, was %s of %s", i, m.ID, m.PushedAt, first[i].ID, first[i].PushedAt)
			}
		}
		first = msgs
		all := ids(msgs)
		ok(t, b.Retry(t.Context(), name, time.Now(), all...))
		if slices.Sort(all); len(slices.Compact(all)) != len(in) {
			t.Errorf("ids are not unique: %q", all)
		}
	}
}

func spans(t *testing.T, b Backend) {
	ok(t, b.Push(t.Context(),
		queue.Item{Queue: "ingest:high", Body: []byte("h1")},
		queue.Item{Queue: "s2s:acme", Body: []byte("a1")},
		queue.Item{Queue: "ingest:high", Body: []byte("h2")},
		queue.Item{Queue: "dlq:validation", Body: []byte("v1"), Reason: "no name"},
	))
	want(t, pull(t, b, "ingest:high", 10), "h1", "h2")
	want(t, pull(t, b, "s2s:acme", 10), "a1")
	if l := dead(t, b, "dlq:validation"); len(l) != 1 || string(l[0].Body) != "v1" {
		t.Errorf("dead letters are %+v", l)
	}
}

func nothing(t *testing.T, b Backend) {
	ok(t, b.Push(t.Context()))
	ok(t, b.Ack(t.Context(), name))
	ok(t, b.Retry(t.Context(), name, time.Now()))
	ok(t, b.Release(t.Context(), name))
	ok(t, b.Bury(t.Context(), name, "no reason"))
	none(t, b, name)
}

func exclusive(t *testing.T, b Backend) {
	push(t, b, name, "1", "2", "3", "4")
	one, two := pull(t, b, name, 2), pull(t, b, name, 2)
	want(t, one, "1", "2")
	want(t, two, "3", "4")
	none(t, b, name)
}

func acked(t *testing.T, b Backend) {
	push(t, b, name, "1", "2", "3")
	msgs := pull(t, b, name, 3)
	ok(t, b.Ack(t.Context(), name, msgs[1].ID, msgs[0].ID))
	// What was not acked comes back with the lease, and alone.
	want(t, await(t, b, name, 1), "3")
	none(t, b, name)
	counts(t, b, name, 0, 1, 0)
}

func leaseEnds(t *testing.T, b Backend) {
	push(t, b, name, "1", "2")
	start := time.Now()
	first := await(t, b, name, 2)
	push(t, b, name, "3")
	later := await(t, b, name, 1)
	want(t, later, "3")
	ok(t, b.Ack(t.Context(), name, ids(later)...))
	again := await(t, b, name, 2)
	if took := time.Since(start); took < quick.Lease*9/10 {
		t.Errorf("came back after %s, though the lease is %s", took, quick.Lease)
	}
	want(t, again, "1", "2")
	for i, m := range again {
		if m.ID != first[i].ID || m.Deliveries != 2 {
			t.Errorf("came back as %s with delivery %d, was %s", m.ID, m.Deliveries, first[i].ID)
		}
	}
}

func lateAck(t *testing.T, b Backend) {
	push(t, b, name, "1", "2")
	held := pull(t, b, name, 1)
	// The other holder is given the first one anew when its lease has ended.
	await(t, b, name, 2)
	ok(t, b.Ack(t.Context(), name, held[0].ID))
	want(t, await(t, b, name, 1), "2")
	none(t, b, name)
}

func retried(t *testing.T, b Backend) {
	push(t, b, name, "now", "later", "latest")
	msgs := pull(t, b, name, 3)
	start := time.Now()
	ok(t, b.Retry(t.Context(), name, start.Add(400*time.Millisecond), msgs[1].ID))
	ok(t, b.Retry(t.Context(), name, start.Add(700*time.Millisecond), msgs[2].ID))
	counts(t, b, name, 0, 1, 2)
	none(t, b, name)
	for i, wait := range []time.Duration{400 * time.Millisecond, 700 * time.Millisecond} {
		m := await(t, b, name, 1)[0]
		// A few milliseconds for stores that count in milliseconds.
		if took := time.Since(start); took < wait-5*time.Millisecond {
			t.Errorf("%s came back after %s, want %s", m.Body, took, wait)
		}
		if m.ID != msgs[i+1].ID || m.Deliveries != 2 {
			t.Errorf("got %s with delivery %d, want %s", m.Body, m.Deliveries, msgs[i+1].Body)
		}
	}
	none(t, b, name)
}

func retriedAtOnce(t *testing.T, b Backend) {
	push(t, b, name, "1", "2", "3", "4")
	msgs := pull(t, b, name, 3)
	ok(t, b.Retry(t.Context(), name, time.Now().Add(-time.Hour), ids(msgs)...))
	want(t, await(t, b, name, 4), "1", "2", "3", "4")
}

func released(t *testing.T, b Backend) {
	push(t, b, name, "1", "2")
	for range patient.MaxDeliveries + 2 {
		msgs := await(t, b, name, 2)
		want(t, msgs, "1", "2")
		for _, m := range msgs {
			if m.Deliveries != 1 {
				t.Fatalf("%s says delivery %d, want 1", m.Body, m.Deliveries)
			}
		}
		ok(t, b.Release(t.Context(), name, ids(msgs)...))
	}
	if l := dead(t, b, queue.DeadLetters(name)); len(l) > 0 {
		t.Errorf("released messages were buried: %+v", l)
	}
}

func unknown(t *testing.T, b Backend) {
	push(t, b, name, "1", "2")
	msgs := pull(t, b, name, 1)
	ok(t, b.Ack(t.Context(), name, msgs[0].ID))
	gone := msgs[0].ID
	ok(t, b.Ack(t.Context(), name, gone))
	ok(t, b.Retry(t.Context(), name, time.Now(), gone))
	ok(t, b.Release(t.Context(), name, gone))
	ok(t, b.Bury(t.Context(), name, "why not", gone))
	ok(t, b.Ack(t.Context(), "s2s:nobody", gone))
	if l := dead(t, b, queue.DeadLetters(name)); len(l) > 0 {
		t.Errorf("buried what was acked: %+v", l)
	}
	want(t, await(t, b, name, 1), "2")
	none(t, b, name)
}

// drain has pullers ack most of what they get, retry and release some, while
// pushers go on pushing, and counts what was acked.
func drain(t *testing.T, b Backend) {
	const total, pushers, pullers, batch = 10_000, 4, 4, 100
	errs := make(chan error, pushers+pullers)
	for p := range pushers {
		go func() {
			errs <- func() error {
				for i := 0; i < total/pushers; i += batch {
					items := make([]queue.Item, batch)
					for j := range items {
						items[j] = queue.Item{Queue: name, Body: fmt.Appendf(nil, "%d/%d", p, i+j)}
					}
					if err := b.Push(t.Context(), items...); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	acked := make(chan string, total)
	for range pullers {
		go func() {
			errs <- func() error {
				for idle := 0; idle < 10 && len(acked) < total; idle++ {
					msgs, err := b.Pull(t.Context(), name, 64)
					if err != nil {
						return err
					}
					if len(msgs) > 0 {
						idle = 0
					}
					var done, again, untried []string
					for i, m := range msgs {
						switch {
						case m.Deliveries == 1 && i%16 == 3:
							again = append(again, m.ID)
						case m.Deliveries == 1 && i == 5:
							untried = append(untried, m.ID)
						default:
							done = append(done, m.ID)
							acked <- string(m.Body)
						}
					}
					if err := errors.Join(
						b.Retry(t.Context(), name, time.Now().Add(10*time.Millisecond), again...),
						b.Release(t.Context(), name, untried...),
						b.Ack(t.Context(), name, done...),
					); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range pushers + pullers {
		ok(t, <-errs)
	}
	close(acked)
	seen := map[string]int{}
	for body := range acked {
		seen[body]++
	}
	var twice []string
	for body, n := range seen {
		if n > 1 {
			twice = append(twice, body)
		}
	}
	if len(seen) != total || len(twice) > 0 {
		t.Errorf("%d of %d messages were acked, more than once: %s", len(seen), total, strings.Join(twice, " "))
	}
	counts(t, b, name, 0, 0, 0)
}
