package statetest

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miq/pixel/modules/state"
)

// list returns a collection as "id=body@revision …" and its version.
func list(t *testing.T, b Backend, collection string) (string, int64) {
	t.Helper()
	docs, version, err := b.List(t.Context(), collection)
	ok(t, err)
	alone, err := b.Version(t.Context(), collection)
	if ok(t, err); alone != version {
		t.Errorf("list says version %d, Version says %d", version, alone)
	}
	var parts []string
	for _, d := range docs {
		parts = append(parts, fmt.Sprintf("%s=%s@%d", d.ID, d.Body, d.Revision))
	}
	return strings.Join(parts, " "), version
}

func holds(t *testing.T, b Backend, collection, want string) {
	t.Helper()
	if got, _ := list(t, b, collection); got != want {
		t.Errorf("%s holds %q, want %q", collection, got, want)
	}
}

func doc(id, body string, revision int64) state.Document {
	return state.Document{ID: id, Body: []byte(body), Revision: revision}
}

func mustPut(t *testing.T, b Backend, collection string, d state.Document) {
	t.Helper()
	revision, err := b.Put(t.Context(), collection, d)
	if ok(t, err); revision != d.Revision+1 {
		t.Errorf("put over revision %d gave %d", d.Revision, revision)
	}
}

func put(t *testing.T, b Backend) {
	holds(t, b, "pixels", "")
	mustPut(t, b, "pixels", doc("px_b", `{"b":1}`, 0))
	mustPut(t, b, "pixels", doc("px_a", "1:2:3", 0))
	mustPut(t, b, "pixels", doc("px_a2", "", 0))
	mustPut(t, b, "users", doc("px_a", "somebody", 0))
	holds(t, b, "pixels", `px_a=1:2:3@1 px_a2=@1 px_b={"b":1}@1`)
	mustPut(t, b, "pixels", doc("px_b", `{"b":2}`, 1))
	mustPut(t, b, "pixels", doc("px_b", `{"b":3}`, 2))
	holds(t, b, "pixels", `px_a=1:2:3@1 px_a2=@1 px_b={"b":3}@3`)
	holds(t, b, "users", "px_a=somebody@1")
}

func conflict(t *testing.T, b Backend) {
	mustPut(t, b, "pixels", doc("a", "one", 0))
	mustPut(t, b, "pixels", doc("a", "two", 1))
	_, before := list(t, b, "pixels")
	for _, d := range []state.Document{doc("a", "x", 0), doc("a", "x", 1), doc("a", "x", 3), doc("absent", "x", 1)} {
		if _, err := b.Put(t.Context(), "pixels", d); !errors.Is(err, state.ErrConflict) {
			t.Errorf("put %s over revision %d returned %v", d.ID, d.Revision, err)
		}
	}
	if got, after := list(t, b, "pixels"); got != "a=two@2" || after != before {
		t.Errorf("refused puts changed something: %q, version %d, was %d", got, after, before)
	}
}

func putRace(t *testing.T, b Backend) {
	const editors = 8
	for revision := range int64(5) {
		var won atomic.Int64
		race(t, editors, func(i int) error {
			_, err := b.Put(t.Context(), "pixels", doc("a", fmt.Sprint(i), revision))
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, state.ErrConflict) {
				return err
			}
			return nil
		})
		if won.Load() != 1 {
			t.Errorf("%d of %d puts over revision %d succeeded", won.Load(), editors, revision)
		}
	}
}

func versions(t *testing.T, b Backend) {
	if _, v := list(t, b, "pixels"); v != 0 {
		t.Errorf("an empty collection has version %d", v)
	}
	last := int64(0)
	for _, change := range []struct {
		name string
		do   func()
		more bool
	}{
		{"make", func() { mustPut(t, b, "pixels", doc("a", "1", 0)) }, true},
		{"change", func() { mustPut(t, b, "pixels", doc("a", "1", 1)) }, true},
		{"make another", func() { mustPut(t, b, "pixels", doc("b", "1", 0)) }, true},
		{"change another collection", func() { mustPut(t, b, "users", doc("a", "1", 0)) }, false},
		{"remove", func() { ok(t, b.Remove(t.Context(), "pixels", "a")) }, true},
		{"remove what is absent", func() { ok(t, b.Remove(t.Context(), "pixels", "a")) }, false},
		{"remove the last", func() { ok(t, b.Remove(t.Context(), "pixels", "b")) }, true},
	} {
		change.do()
		_, v := list(t, b, "pixels")
		if grew := v > last; grew != change.more || v < last {
			t.Errorf("%s: the version went from %d to %d", change.name, last, v)
		}
		last = v
	}
}

func remove(t *testing.T, b Backend) {
	mustPut(t, b, "pixels", doc("a", "1", 0))
	mustPut(t, b, "pixels", doc("b", "1", 0))
	ok(t, b.Remove(t.Context(), "pixels", "a"))
	holds(t, b, "pixels", "b=1@1")
	if _, err := b.Put(t.Context(), "pixels", doc("a", "2", 1)); !errors.Is(err, state.ErrConflict) {
		t.Errorf("changing a removed document returned %v", err)
	}
	mustPut(t, b, "pixels", doc("a", "2", 0))
	holds(t, b, "pixels", "a=2@1 b=1@1")
}

func reopen(t *testing.T, b Backend) {
	mustPut(t, b, "pixels", doc("a", "1", 0))
	mustPut(t, b, "pixels", doc("a", "2", 1))
	ok(t, b.Set(t.Context(), e("set", "1"), state.Entry{Key: "with expiry", Value: []byte("1"), TTL: time.Hour}))
	_, err := b.Claim(t.Context(), e("claimed", "1"))
	ok(t, err)
	_, err = b.Swap(t.Context(), []byte("1"), e("set", "2"))
	ok(t, err)
	_, before := list(t, b, "pixels")

	b = b.Reopen(t)
	if got, after := list(t, b, "pixels"); got != "a=2@2" || after != before {
		t.Errorf("found %q at version %d, was %d", got, after, before)
	}
	is(t, get(t, b, "set", "with expiry", "claimed"), "2", "1", "1")
}
