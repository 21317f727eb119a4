package statetest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/miq/pixel/modules/state"
)

func absent(t *testing.T, b Backend) {
	is(t, get(t, b, "a"), nil)
	ok(t, b.Set(t.Context(), e("b", "1")))
	is(t, get(t, b, "a", "b", "c", "b"), nil, "1", nil, "1")
}

func set(t *testing.T, b Backend) {
	ok(t, b.Set(t.Context(), e("a", "1"), e("b", ""), state.Entry{Key: "c"}, e("d", "1"), e("d", "2")))
	is(t, get(t, b, "a", "b", "c", "d"), "1", "", "", "2")
	ok(t, b.Set(t.Context(), e("a", "longer than before")))
	is(t, get(t, b, "a"), "longer than before")
}

func anyBytes(t *testing.T, b Backend) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	keys := []string{"ü:{}*?[", "with space\n", "quote'\"", "slot{one}", "slot{two}"}
	for _, k := range keys {
		ok(t, b.Set(t.Context(), state.Entry{Key: k, Value: append(bytes.Clone(every), k...)}))
	}
	for i, v := range get(t, b, keys...) {
		if string(v) != string(every)+keys[i] {
			t.Errorf("%q holds %q", keys[i], v)
		}
	}
}

func many(t *testing.T, b Backend) {
	for _, n := range []int{2, 15, 16, 17, 255, 256, 257, 600} {
		var keys []string
		var even []state.Entry
		for i := range n {
			keys = append(keys, fmt.Sprintf("many:%d:%d", n, i))
			if i%2 == 0 {
				even = append(even, e(keys[i], fmt.Sprint(i)))
			}
		}
		ok(t, b.Set(t.Context(), even...))
		var entries []state.Entry
		for i, v := range get(t, b, keys...) {
			if i%2 == 0 && string(v) != fmt.Sprint(i) || i%2 == 1 && v != nil {
				t.Fatalf("of %d, %s holds %q", n, keys[i], v)
			}
			entries = append(entries, e(keys[i], "claimed"))
		}
		claimed, err := b.Claim(t.Context(), entries...)
		ok(t, err)
		for i, v := range claimed {
			if i%2 == 0 && string(v) != fmt.Sprint(i) || i%2 == 1 && string(v) != "claimed" {
				t.Fatalf("of %d, the claim to %s gave %q", n, keys[i], v)
			}
		}
	}
}

func claim(t *testing.T, b Backend) {
	ok(t, b.Set(t.Context(), e("taken", "theirs"), e("empty", "")))
	values, err := b.Claim(t.Context(), e("free", "mine"), e("taken", "mine"), e("empty", "mine"), e("twice", "first"), e("twice", "second"))
	ok(t, err)
	is(t, values, "mine", "theirs", "", "first", "first")
	is(t, get(t, b, "free", "taken", "empty", "twice"), "mine", "theirs", "", "first")
	values, err = b.Claim(t.Context(), e("free", "again"))
	ok(t, err)
	is(t, values, "mine")
}

// race runs fn n times at once.
func race(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- fn(i) }()
	}
	for range n {
		ok(t, <-errs)
	}
}

func claimRace(t *testing.T, b Backend) {
	const claimants, keys = 8, 50
	got := make([][][]byte, claimants)
	race(t, claimants, func(i int) (err error) {
		var entries []state.Entry
		for k := range keys {
			entries = append(entries, state.Entry{Key: fmt.Sprint("race:", (k+i*7)%keys), Value: fmt.Append(nil, i), TTL: time.Hour})
		}
		got[i], err = b.Claim(t.Context(), entries...)
		return err
	})
	for k := range keys {
		standing := get(t, b, fmt.Sprint("race:", k))[0]
		for i := range claimants {
			if v := got[i][(k-i*7%keys+keys)%keys]; !bytes.Equal(v, standing) {
				t.Errorf("claimant %d was told %q of key %d, where %q stands", i, v, k, standing)
			}
		}
	}
}

// ttl is an expiry that a test can wait for.
const ttl = 150 * time.Millisecond

// gone waits until a key is absent, and checks that it was there until then.
func gone(t *testing.T, b Backend, key string, after time.Duration) {
	t.Helper()
	for start := time.Now(); ; {
		before := time.Since(start)
		if get(t, b, key)[0] == nil {
			if took := time.Since(start); took < after-20*time.Millisecond {
				t.Errorf("%s was gone after %s, want %s", key, took, after)
			}
			return
		}
		if before > after+5*time.Second {
			t.Fatalf("%s is still there after %s, want %s", key, before, after)
		}
	}
}

func expiry(t *testing.T, b Backend) {
	short := func(key string) state.Entry { return state.Entry{Key: key, Value: []byte("short"), TTL: ttl} }
	ok(t, b.Set(t.Context(), e("kept", "1"), short("set"), short("swapped")))
	_, err := b.Claim(t.Context(), short("claimed"))
	ok(t, err)
	is(t, get(t, b, "kept", "set", "claimed", "swapped"), "1", "short", "short", "short")
	gone(t, b, "claimed", ttl)
	is(t, get(t, b, "kept", "set", "claimed", "swapped"), "1", nil, nil, nil)

	// Absent for all that ask for absence.
	values, err := b.Claim(t.Context(), e("claimed", "new"))
	ok(t, err)
	is(t, values, "new")
	if swapped, err := b.Swap(t.Context(), []byte("short"), e("swapped", "new")); err != nil || swapped {
		t.Errorf("swapped over an expired value: %v, %v", swapped, err)
	}
	if swapped, err := b.Swap(t.Context(), nil, e("swapped", "new")); err != nil || !swapped {
		t.Errorf("an expired key does not count as absent: %v, %v", swapped, err)
	}
	is(t, get(t, b, "kept", "set", "claimed", "swapped"), "1", nil, "new", "new")
}

func renew(t *testing.T, b Backend) {
	ok(t, b.Set(t.Context(), state.Entry{Key: "for ever", Value: []byte("1"), TTL: ttl}, state.Entry{Key: "renewed", Value: []byte("1"), TTL: ttl}, e("limited", "1")))
	ok(t, b.Set(t.Context(), e("for ever", "2"), state.Entry{Key: "renewed", Value: []byte("2"), TTL: time.Hour}, state.Entry{Key: "limited", Value: []byte("2"), TTL: ttl + 50*time.Millisecond}))
	// A lost claim does not touch the expiry of what stands.
	_, err := b.Claim(t.Context(), state.Entry{Key: "limited", Value: []byte("3"), TTL: time.Hour}, state.Entry{Key: "renewed", Value: []byte("3"), TTL: time.Millisecond})
	ok(t, err)
	gone(t, b, "limited", ttl+50*time.Millisecond)
	is(t, get(t, b, "for ever", "renewed"), "2", "2")
}

func kept(t *testing.T, b Backend) {
	over := func(key, value string) state.Entry {
		return state.Entry{Key: key, Value: []byte(value), TTL: state.Kept}
	}
	var made, rest []state.Entry
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprint("many:", i))
		if i%3 > 0 {
			made = append(made, e(keys[i], "before"))
		}
		if i%2 == 0 {
			rest = append(rest, over(keys[i], "after"))
		} else {
			rest = append(rest, e(keys[i], "set"))
		}
	}
	ok(t, b.Set(t.Context(), append(made, e("for ever", "1"), state.Entry{Key: "limited", Value: []byte("1"), TTL: ttl}, state.Entry{Key: "over", Value: []byte("1"), TTL: time.Millisecond})...))
	gone(t, b, "over", 0)
	ok(t, b.Set(t.Context(), append(rest, over("for ever", ""), over("limited", "2"), over("absent", "2"), over("over", "2"), e("twice", "1"), over("twice", "2"))...))
	is(t, get(t, b, "for ever", "limited", "absent", "over", "twice"), "", "2", nil, nil, "2")
	for i, v := range get(t, b, keys...) {
		want := "set"
		if i%2 == 0 {
			if want = "after"; i%3 == 0 {
				want = ""
			}
		}
		if string(v) != want || (v == nil) != (want == "") {
			t.Errorf("%s holds %q, want %q", keys[i], v, want)
		}
	}
	gone(t, b, "limited", 0) // and does not stay for ever
	is(t, get(t, b, "for ever", "twice"), "", "2")
}

func swap(t *testing.T, b Backend) {
	for _, step := range []struct {
		name  string
		old   []byte
		value string
		want  bool
		after any
	}{
		{"absent, something expected", []byte("x"), "1", false, nil},
		{"absent, empty expected", []byte{}, "1", false, nil},
		{"absent, absence expected", nil, "1", true, "1"},
		{"there, absence expected", nil, "2", false, "1"},
		{"there, something else expected", []byte("2"), "2", false, "1"},
		{"there, empty expected", []byte{}, "2", false, "1"},
		{"there, as expected", []byte("1"), "", true, ""},
		{"empty, absence expected", nil, "3", false, ""},
		{"empty, as expected", []byte{}, "3", true, "3"},
	} {
		got, err := b.Swap(t.Context(), step.old, e("k", step.value))
		if err != nil || got != step.want {
			t.Errorf("%s: swapped %v, want %v, error %v", step.name, got, step.want, err)
		}
		is(t, get(t, b, "k"), step.after)
	}
	if _, err := b.Swap(t.Context(), []byte("3"), state.Entry{Key: "k", Value: []byte("4"), TTL: ttl}); err != nil {
		t.Error(err)
	}
	is(t, get(t, b, "k"), "4")
	gone(t, b, "k", ttl)
}

func swapRace(t *testing.T, b Backend) {
	const runners, rounds = 8, 20
	ok(t, b.Set(t.Context(), e("counter", "0")))
	wins := make([]int, runners)
	race(t, runners, func(i int) error {
		for r := 0; r < rounds; {
			values, err := b.Get(t.Context(), "counter")
			if err != nil {
				return err
			}
			var n int
			fmt.Sscan(string(values[0]), &n)
			swapped, err := b.Swap(t.Context(), values[0], e("counter", fmt.Sprint(n+1)))
			if err != nil {
				return err
			}
			if swapped {
				wins[i]++
				r++
			}
		}
		return nil
	})
	is(t, get(t, b, "counter"), fmt.Sprint(runners*rounds))
}

func deleteKeys(t *testing.T, b Backend) {
	ok(t, b.Set(t.Context(), e("a", "1"), e("b", "1"), e("c", "1")))
	ok(t, b.Delete(t.Context(), "a", "c", "never there"))
	is(t, get(t, b, "a", "b", "c"), nil, "1", nil)
}

func nothing(t *testing.T, b Backend) {
	is(t, get(t, b))
	ok(t, b.Set(t.Context()))
	ok(t, b.Delete(t.Context()))
	values, err := b.Claim(t.Context())
	ok(t, err)
	is(t, values)
}

func ended(t *testing.T, b Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Set(ctx, e("a", "1")); err == nil {
		t.Error("set returned nil")
	}
	if _, err := b.Claim(ctx, e("a", "1")); err == nil {
		t.Error("claim returned nil")
	}
	if _, err := b.Put(ctx, "pixels", state.Document{ID: "a"}); err == nil {
		t.Error("put returned nil")
	}
	is(t, get(t, b, "a"), nil)
}
