package sqlitequeue_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/miq/pixel/modules/queue"
)

// TestAnyHistoryLeavesWhatAModelSays does random things to a queue, among them to
// close it and open it again, and compares it with a model: where each message
// is, what the figures say, and that the books balance.
func TestAnyHistoryLeavesWhatAModelSays(t *testing.T) {
	const name, dead = "ingest:high", queue.Validation
	if testing.Short() {
		t.Skip("one caller at a time: the race detector would see nothing")
	}
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), "queue.db")
		opts := queue.Options{Lease: time.Hour, MaxDeliveries: 1000, Wait: 0}
		q, closeAll := open(t, path, opts)
		defer func() { closeAll() }()
		account := queue.Account{Pixel: "px", Hour: 5}
		waiting, held, buried := map[string]bool{}, map[string]string{}, map[string]bool{} // held: body → id
		pushed := 0
		fail := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		some := func(what string) (bodies, ids []string) {
			for _, b := range slices.Sorted(maps.Keys(held)) {
				if rapid.Bool().Draw(rt, what) {
					bodies, ids = append(bodies, b), append(ids, held[b])
				}
			}
			return bodies, ids
		}
		rt.Repeat(map[string]func(*rapid.T){
			"push": func(rt *rapid.T) {
				items := make([]queue.Item, rapid.IntRange(1, 9).Draw(rt, "n"))
				for i := range items {
					body := fmt.Sprint("m", pushed)
					pushed++
					waiting[body] = true
					items[i] = queue.Item{Queue: name, Body: []byte(body), Account: account}
				}
				fail(q.Push(t.Context(), items...))
			},
			"pull": func(rt *rapid.T) {
				msgs, err := q.Pull(t.Context(), name, rapid.IntRange(1, 12).Draw(rt, "max"))
				fail(err)
				for _, m := range msgs {
					if !waiting[string(m.Body)] {
						rt.Fatalf("pulled %s, which does not wait", m.Body)
					}
					delete(waiting, string(m.Body))
					held[string(m.Body)] = m.ID
				}
			},
			"settle": func(rt *rapid.T) {
				bodies, ids := some("settle")
				half := len(ids) / 2
				// The second end names some of the first's again, which must not count.
				fail(q.Settle(t.Context(), name, queue.End{Account: account, Outcome: "stored", IDs: ids[:half]}, queue.End{Account: account, Outcome: "stored", IDs: ids[half/2:]}))
				for _, b := range bodies {
					delete(held, b)
				}
			},
			"hand back": func(rt *rapid.T) {
				bodies, ids := some("back")
				if rapid.Bool().Draw(rt, "untried") {
					fail(q.Release(t.Context(), name, ids...))
				} else {
					fail(q.Retry(t.Context(), name, time.Now(), ids...))
				}
				for _, b := range bodies {
					delete(held, b)
					waiting[b] = true
				}
			},
			"bury": func(rt *rapid.T) {
				bodies, ids := some("bury")
				fail(q.Bury(t.Context(), name, "bad", ids...))
				for _, b := range bodies {
					delete(held, b)
					buried[b] = true
				}
			},
			"take out": func(rt *rapid.T) {
				msgs, _, err := q.Peek(t.Context(), name, "", 20)
				fail(err)
				var ids, bodies []string
				for _, m := range msgs {
					if m.State == queue.Ready && rapid.Bool().Draw(rt, "skip") {
						ids, bodies = append(ids, m.ID), append(bodies, string(m.Body))
					}
				}
				n, err := q.Skip(t.Context(), name, "skipped", ids...)
				fail(err)
				if n != len(ids) {
					rt.Fatalf("skipped %d of %d", n, len(ids))
				}
				for _, b := range bodies {
					delete(waiting, b)
					buried[b] = true
				}
			},
			"drain": func(rt *rapid.T) {
				max := rapid.IntRange(1, 4).Draw(rt, "max")
				n, err := q.Drain(t.Context(), name, "drained", max)
				fail(err)
				if n != min(max, len(waiting)) {
					rt.Fatalf("drained %d of %d waiting, asked for %d", n, len(waiting), max)
				}
				letters, _, err := q.Dead(t.Context(), dead, "", n+1)
				fail(err)
				for _, l := range letters[:n] {
					delete(waiting, string(l.Body))
					buried[string(l.Body)] = true
				}
			},
			"revive or drop": func(rt *rapid.T) {
				letters, _, err := q.Dead(t.Context(), dead, "", 5)
				fail(err)
				revive := rapid.Bool().Draw(rt, "revive")
				for _, l := range letters {
					var n int
					if revive {
						n, err = q.Revive(t.Context(), dead, l.ID)
						waiting[string(l.Body)] = true
					} else {
						n, err = q.Drop(t.Context(), dead, l.ID)
					}
					fail(err)
					if n != 1 {
						rt.Fatalf("%d letters moved", n)
					}
					delete(buried, string(l.Body))
				}
			},
			"reopen": func(rt *rapid.T) {
				closeAll()
				q, closeAll = open(t, path, opts)
				for b := range held {
					waiting[b] = true
				}
				clear(held)
			},
			"": func(rt *rapid.T) {
				is := map[queue.State]map[string]bool{queue.Ready: {}, queue.InFlight: {}, queue.Delayed: {}}
				for cursor := ""; ; {
					msgs, next, err := q.Peek(t.Context(), name, cursor, 7)
					fail(err)
					for _, m := range msgs {
						if is[m.State][string(m.Body)] {
							rt.Fatalf("%s is there twice", m.Body)
						}
						is[m.State][string(m.Body)] = true
					}
					if cursor = next; next == "" {
						break
					}
				}
				holds := map[string]bool{}
				for b := range held {
					holds[b] = true
				}
				if !maps.Equal(is[queue.Ready], waiting) || !maps.Equal(is[queue.InFlight], holds) {
					rt.Fatalf("ready %v, want %v; held %v, want %v", is[queue.Ready], waiting, is[queue.InFlight], holds)
				}
				balance(rt, q, name, dead, len(waiting), len(held), len(buried))
			},
		})
	})
}

// balance compares figures and books with a model.
func balance(rt *rapid.T, q interface {
	queue.Inspector
	queue.Books
}, name, dead string, waiting, held, buried int) {
	all, err := q.Stats(rt.Context())
	if err != nil {
		rt.Fatal(err)
	}
	for _, s := range all {
		want := fmt.Sprint(waiting, held, 0)
		if s.Queue == dead {
			want = fmt.Sprint(buried, 0, 0)
		}
		if got := fmt.Sprint(s.Ready, s.InFlight, s.Delayed); got != want {
			rt.Fatalf("%s has %s, want %s", s.Queue, got, want)
		}
	}
	counts, err := q.Counts(rt.Context(), 0, 100)
	if err != nil {
		rt.Fatal(err)
	}
	left := map[string]int64{}
	for _, c := range counts {
		switch {
		case c.Stage == queue.In, c.Stage == queue.Revived && c.Queue == name:
			left[c.Queue] += c.N
		default:
			left[c.Queue] -= c.N
		}
	}
	if left[name] != int64(waiting+held) || left[dead] != int64(buried) {
		rt.Fatalf("by the books %d wait and %d are dead, want %d and %d", left[name], left[dead], waiting+held, buried)
	}
}
