package consent

import (
	"context"
	"errors"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/miq/pixel/modules/event"
)

// by names what brought a change.
func by(id string, c Change) Change {
	c.Source, c.ID = "web", id
	return c
}

// chain records changes one by one and returns what was given out, each receipt once,
// as a store that goes by their hashes would have it.
func chain(t *testing.T, m *memory, changes ...Change) []event.ConsentReceipt {
	t.Helper()
	var out []event.ConsentReceipt
	for _, c := range changes {
		_, got, err := bookOf(m).Record(t.Context(), c)
		require.NoError(t, err)
		out = store(out, got)
	}
	return out
}

func store(list, more []event.ConsentReceipt) []event.ConsentReceipt {
	for _, r := range more {
		known := false
		for i := range list {
			known = known || list[i].Hash == r.Hash
		}
		if !known {
			list = append(list, r)
		}
	}
	return list
}

func TestEveryChangeLeavesAReceipt(t *testing.T) {
	m := new(memory)
	got := chain(t, m,
		by("e1", change(event.Full, 1)), by("e2", change(event.Full, 2)), by("e3", change(event.Partial, 3)),
		by("e4", change(event.Partial, 4)), by("e5", change(event.None, 5)), by("e6", change(event.None, 6)), by("e7", change(event.Full, 7)))
	var states []event.State
	for i, r := range got {
		states = append(states, r.Verdict.State)
		assert.Equal(t, i+1, r.Seq)
		assert.Equal(t, Subject(ann), r.Subject)
		assert.Equal(t, "px_demo", r.PixelID)
		assert.NotContains(t, r.Hash+r.Subject, ann.ID)
	}
	assert.Equal(t, []event.State{event.Full, event.Partial, event.None, event.Full}, states)
	assert.Equal(t, "e3", got[1].SourceID)
	assert.True(t, at(3).Equal(got[1].At))
	assert.Equal(t, acceptAll, got[0].Signals.TCF)
	assert.Equal(t, event.ConsentPolicy{TCFPolicy: 5, VendorList: 150, CMP: 123, CMPVersion: 1, Updated: got[0].Policy.Updated}, got[0].Policy)
	assert.Equal(t, event.Consent{}, got[2].Signals, "of a withdrawal the strings are not kept")
	assert.Equal(t, digest(event.Consent{TCF: refuseAll}), got[2].SignalsSHA256)

	problems, chains := bookOf(m).Check(got, newest(t, m))
	assert.Empty(t, problems)
	assert.Equal(t, 1, chains)
}

func TestTamperingShows(t *testing.T) {
	m := new(memory)
	good := chain(t, m, by("e1", change(event.Full, 1)), by("e3", change(event.Partial, 3)), by("e5", change(event.None, 5)), by("e7", change(event.Full, 7)))
	for name, c := range map[string]struct {
		spoil func([]event.ConsentReceipt) []event.ConsentReceipt
		says  string
	}{
		"a changed decision": {func(l []event.ConsentReceipt) []event.ConsentReceipt { l[1].Verdict.State = event.Full; return l }, "not as it was written"},
		"a changed time":     {func(l []event.ConsentReceipt) []event.ConsentReceipt { l[2].At = at(6); return l }, "not as it was written"},
		"other signals":      {func(l []event.ConsentReceipt) []event.ConsentReceipt { l[0].Signals.TCF = refuseAll; return l }, "not as it was written"},
		"one in the middle":  {func(l []event.ConsentReceipt) []event.ConsentReceipt { return append(l[:1], l[2:]...) }, "does not follow"},
		"the first is gone":  {func(l []event.ConsentReceipt) []event.ConsentReceipt { return l[1:] }, "before this one are missing"},
		"the last is gone":   {func(l []event.ConsentReceipt) []event.ConsentReceipt { return l[:3] }, "last receipt is missing"},
		"all are gone":       {func([]event.ConsentReceipt) []event.ConsentReceipt { return nil }, "receipts are missing"},
		"one twice":          {func(l []event.ConsentReceipt) []event.ConsentReceipt { return append(l, l[3]) }, "does not follow"},
		"a chain made to fit, without the key": {func(l []event.ConsentReceipt) []event.ConsentReceipt {
			l[0].Verdict.Rule = "D1"
			prev := ""
			for i := range l {
				l[i].Prev = prev
				l[i].Hash = hash(l[i], []byte("a guess"))
				prev = l[i].Hash
			}
			return l
		}, "not as it was written"},
	} {
		t.Run(name, func(t *testing.T) {
			list := c.spoil(append([]event.ConsentReceipt{}, good...))
			problems, _ := bookOf(m).Check(list, newest(t, m))
			require.NotEmpty(t, problems)
			said := ""
			for _, p := range problems {
				said += p.Message + "\n"
			}
			assert.Contains(t, said, c.says)
		})
	}
	// A key that was replaced still knows its receipts.
	turned := NewBook(m, New(Options{}), []byte("another"), []byte("seal"))
	problems, _ := turned.Check(good, newest(t, m))
	assert.Empty(t, problems)
}

func TestReceiptsSurviveAStore(t *testing.T) {
	m := new(memory)
	list := chain(t, m, by("e1", change(event.Full, 1)), by("e2", change(event.None, 2)))
	for i, r := range list {
		b, err := json.Marshal(r)
		require.NoError(t, err)
		var back event.ConsentReceipt
		require.NoError(t, json.Unmarshal(b, &back))
		assert.True(t, bookOf(m).genuine(&back), i)
	}
}

// TestNoReceiptIsLostByACrash stops after each write of the state, before its receipts
// are stored: whoever comes next gives them out again.
func TestNoReceiptIsLostByACrash(t *testing.T) {
	ctx := t.Context()
	m := new(memory)
	stored := chain(t, m, by("e1", change(event.Full, 1)))

	// The message comes again.
	_, lost, err := bookOf(m).Record(ctx, by("e2", change(event.Partial, 2)))
	require.NoError(t, err)
	require.Len(t, lost, 2)
	_, again, err := bookOf(m).Record(ctx, by("e2", change(event.Partial, 2)))
	require.NoError(t, err)
	stored = store(stored, again)
	problems, _ := bookOf(m).Check(stored, newest(t, m))
	assert.Empty(t, problems)

	// Somebody else goes on first.
	_, _, err = bookOf(m).Record(ctx, by("e3", change(event.Full, 3)))
	require.NoError(t, err)
	_, next, err := bookOf(m).Record(ctx, by("e4", change(event.None, 4)))
	require.NoError(t, err)
	stored = store(stored, next)
	problems, _ = bookOf(m).Check(stored, newest(t, m))
	assert.Empty(t, problems)

	// A request is sent again after it was answered with an error.
	_, err = bookOf(m).Decide(ctx, Change{Visitor: ann, Verdict: Revoked(), At: at(9), ID: "r1"})
	require.NoError(t, err)
	retry, err := bookOf(m).Decide(ctx, Change{Visitor: ann, Verdict: Revoked(), At: at(10), ID: "r2"})
	require.NoError(t, err)
	stored = store(stored, retry)
	problems, _ = bookOf(m).Check(stored, newest(t, m))
	assert.Empty(t, problems)
}

func TestTwoReplicasMakeOneChain(t *testing.T) {
	m := new(memory)
	stored := chain(t, m, by("e1", change(event.Full, 1)))
	m.intrude = func() {
		_, got, err := bookOf(m).Record(t.Context(), by("e3", change(event.Partial, 3)))
		require.NoError(t, err)
		stored = store(stored, got)
	}
	_, got, err := bookOf(m).Record(t.Context(), by("e4", change(event.None, 4)))
	require.NoError(t, err)
	stored = store(stored, got)
	problems, chains := bookOf(m).Check(stored, newest(t, m))
	assert.Empty(t, problems)
	assert.Equal(t, 1, chains)
	assert.Len(t, stored, 3)
}

func TestOnlyAnAcquaintanceWithdrawsByAnEvent(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		before, says event.State
		receipts     int
		revoked      bool
	}{
		"a stranger":              {"", event.None, 0, false},
		"full, then none":         {event.Full, event.None, 2, true},
		"partial, then none":      {event.Partial, event.None, 2, true},
		"full, then partial":      {event.Full, event.Partial, 2, false},
		"partial, then partial":   {event.Partial, event.Partial, 0, false},
		"partial, then full":      {event.Partial, event.Full, 0, false},
		"a stranger with partial": {"", event.Partial, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(memory)
			if c.before != "" {
				require.NoError(t, enter(ctx, m, change(c.before, 1)))
			}
			receipts, revoked, err := bookOf(m).Withdraw(ctx, change(c.says, 2))
			require.NoError(t, err)
			assert.Len(t, receipts, c.receipts)
			assert.Equal(t, c.revoked, revoked)
			if c.before == "" {
				assert.Empty(t, m.keys)
			} else if c.receipts > 0 {
				assert.Equal(t, c.says, newest(t, m).Verdict.State)
			}
		})
	}
	_, _, err := bookOf(&memory{fail: errors.New("down")}).Withdraw(ctx, change(event.None, 1))
	assert.Error(t, err)
}

func TestTheEndOfTheChainIsStoredOnce(t *testing.T) {
	m := new(memory)
	require.NoError(t, enter(t.Context(), m, by("e1", change(event.Full, 1))))
	for _, e := range m.keys {
		assert.Less(t, len(e.Value), 2*len(acceptAll)+900)
	}
}
