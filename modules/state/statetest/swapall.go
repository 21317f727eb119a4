package statetest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/miq/pixel/modules/state"
)

func change(old any, key, value string) state.Change {
	c := state.Change{Entry: e(key, value)}
	if old != nil {
		c.Old = []byte(old.(string))
	}
	return c
}

func swapAll(t *testing.T, b Backend) {
	ok(t, b.Set(t.Context(), e("held", "1"), e("other", "1"), e("empty", ""), e("taken", "theirs"), e("same", "mine")))
	standing, err := b.SwapAll(t.Context(),
		change("1", "held", "2"), change("x", "other", "2"), change("", "empty", "filled"), change(nil, "free", "mine"),
		change(nil, "taken", "mine"), change("x", "absent", "mine"), change("", "never", "mine"), change("x", "same", "mine"))
	ok(t, err)
	is(t, standing, "2", "1", "filled", "mine", "theirs", nil, nil, "mine")
	is(t, get(t, b, "held", "other", "empty", "free", "taken", "absent", "never"), "2", "1", "filled", "mine", "theirs", nil, nil)

	// To an empty value, and with an expiry.
	short := change("2", "held", "")
	short.TTL = ttl
	standing, err = b.SwapAll(t.Context(), short, change("mine", "free", ""))
	ok(t, err)
	is(t, standing, "", "")
	is(t, get(t, b, "held", "free"), "", "")
	gone(t, b, "held", ttl)
	again := change("", "held", "x")
	standing, err = b.SwapAll(t.Context(), again)
	ok(t, err)
	is(t, standing, nil) // what expired is absent
	again.Old, again.TTL = nil, time.Hour
	standing, err = b.SwapAll(t.Context(), again)
	ok(t, err)
	is(t, standing, "x")

	standing, err = b.SwapAll(t.Context())
	ok(t, err)
	is(t, standing)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.SwapAll(ctx, change(nil, "late", "1")); err == nil {
		t.Error("a context that ended did not stop it")
	}
	is(t, get(t, b, "late"), nil)
}

func swapAllMany(t *testing.T, b Backend) {
	const n = 600
	old := make([]any, n)
	for round := range 3 {
		var changes []state.Change
		for i := range n {
			key := fmt.Sprintf("many:%d\x00\xff:%d", i*7919, i)
			if i%5 == 4 { // whose key holds something else
				changes = append(changes, change("nothing like it", key, "never"))
				continue
			}
			changes = append(changes, change(old[i], key, fmt.Sprint(round, i)))
			old[i] = fmt.Sprint(round, i)
		}
		standing, err := b.SwapAll(t.Context(), changes...)
		ok(t, err)
		for i, v := range standing {
			if want := fmt.Sprint(round, i); i%5 == 4 && v != nil || i%5 != 4 && string(v) != want {
				t.Fatalf("round %d: key %d holds %q", round, i, v)
			}
		}
	}
}

// swapAllRace adds one to many counters at once, from many sides.
func swapAllRace(t *testing.T, b Backend) {
	const runners, keys, rounds = 6, 12, 10
	race(t, runners, func(i int) error {
		left := map[string]int{}
		var names []string
		for k := range keys {
			names = append(names, fmt.Sprint("count:", (k+i)%keys))
			left[names[k]] = rounds
		}
		values, err := b.Get(t.Context(), names...)
		for err == nil {
			var changes []state.Change
			var at []int
			for k, v := range values {
				if left[names[k]] > 0 {
					n, _ := strconv.Atoi(firstWord(v))
					// With a mark of its own: nobody else's write is taken for it.
					value := fmt.Appendf(nil, "%d by %d", n+1, i)
					changes, at = append(changes, state.Change{Old: v, Entry: state.Entry{Key: names[k], Value: value}}), append(at, k)
				}
			}
			if len(changes) == 0 {
				return nil
			}
			var standing [][]byte
			if standing, err = b.SwapAll(t.Context(), changes...); err != nil {
				break
			}
			for j, v := range standing {
				if string(v) == string(changes[j].Value) {
					left[changes[j].Key]--
				}
				values[at[j]] = v
			}
		}
		return err
	})
	for k := range keys {
		if got := firstWord(get(t, b, fmt.Sprint("count:", k))[0]); got != strconv.Itoa(runners*rounds) {
			t.Errorf("counter %d is %s, want %d", k, got, runners*rounds)
		}
	}
}

func firstWord(b []byte) string {
	var s string
	fmt.Sscan(string(b), &s)
	return s
}
