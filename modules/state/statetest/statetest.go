// Package statetest checks that a backend keeps the promises of modules/state.
// Every backend passes the same suite, in ten lines of its own.
package statetest

import (
	"testing"

	"github.com/miq/pixel/modules/state"
)

// Backend is an opened backend.
type Backend struct {
	state.Store
	// Reopen abandons this one, as a crash of its process would, and opens the
	// same store anew.
	Reopen func(t *testing.T) Backend
}

// Open opens a backend on an empty store; what it needs is cleaned up with t.
type Open func(t *testing.T) Backend

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, Backend)
	}{
		{"absent keys read as nil, each key at its place", absent},
		{"set overwrites, and an empty value is not an absent one", set},
		{"keys and values are any bytes", anyBytes},
		{"batches of many keys keep their order", many},
		{"a claim returns what stands afterwards", claim},
		{"of concurrent claims to a key one wins and all agree", claimRace},
		{"an expired key is as absent as one never set", expiry},
		{"setting again renews or ends the expiry", renew},
		{"an entry that is kept overwrites, leaves the expiry and makes no key", kept},
		{"swap writes only over what was expected", swap},
		{"of concurrent swaps from the same value one succeeds", swapRace},
		{"of many swaps each is for itself, and what stands is returned", swapAll},
		{"many swaps of keys that are in many slots", swapAllMany},
		{"of concurrent swaps of many keys none is lost", swapAllRace},
		{"delete removes, and absent keys are no error", deleteKeys},
		{"batches of nothing are no error", nothing},
		{"a context that ended stops a write", ended},
		{"a new document has revision 1, and a collection is ordered by id", put},
		{"put refuses a document that changed in the meantime", conflict},
		{"of concurrent puts to a document one succeeds", putRace},
		{"a version grows with each change of its collection and no other", versions},
		{"a removed document can be made anew", remove},
		{"everything survives a reopen", reopen},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, open(t)) })
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// e is an entry for ever.
func e(key, value string) state.Entry { return state.Entry{Key: key, Value: []byte(value)} }

// is compares values; a want of nil is an absent key.
func is(t *testing.T, got [][]byte, want ...any) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d values, want %d", len(got), len(want))
	}
	for i, w := range want {
		if w == nil {
			if got[i] != nil {
				t.Errorf("value %d is %q, want none", i, got[i])
			}
		} else if got[i] == nil || string(got[i]) != w.(string) {
			t.Errorf("value %d is %q (absent: %v), want %q", i, got[i], got[i] == nil, w)
		}
	}
}

func get(t *testing.T, b Backend, keys ...string) [][]byte {
	t.Helper()
	values, err := b.Get(t.Context(), keys...)
	ok(t, err)
	return values
}
