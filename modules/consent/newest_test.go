package consent

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

// memory is state.Keys in a map, as far as this package uses it.
type memory struct {
	state.Keys
	mu    sync.Mutex
	keys  map[string]state.Entry
	trips int
	fail  error
	// intrude runs before a swap, as another replica might.
	intrude func()
}

func (m *memory) Get(_ context.Context, keys ...string) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips++
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = m.keys[k].Value
	}
	return out, m.fail
}

func (m *memory) Claim(_ context.Context, entries ...state.Entry) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips++
	if m.keys == nil {
		m.keys = map[string]state.Entry{}
	}
	out := make([][]byte, len(entries))
	for i, e := range entries {
		if _, ok := m.keys[e.Key]; !ok && m.fail == nil {
			m.keys[e.Key] = e
		}
		out[i] = m.keys[e.Key].Value
	}
	return out, m.fail
}

func (m *memory) SwapAll(_ context.Context, changes ...state.Change) ([][]byte, error) {
	if f := m.intrude; f != nil {
		m.intrude = nil
		f()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips++
	if m.keys == nil {
		m.keys = map[string]state.Entry{}
	}
	out := make([][]byte, len(changes))
	for i, c := range changes {
		if bytes.Equal(c.Old, m.keys[c.Key].Value) && m.fail == nil {
			m.keys[c.Key] = c.Entry
		}
		out[i] = m.keys[c.Key].Value
	}
	return out, m.fail
}

var ann = Visitor{PixelID: "px_demo", ID: "ann"}

func at(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }

func change(s event.State, minutes int) Change {
	c := map[event.State]event.Consent{
		event.Full: {TCF: acceptAll}, event.Partial: {TCF: analytics}, event.None: {TCF: refuseAll},
	}
	return Change{Visitor: ann, Verdict: event.Verdict{State: s, Regime: "gdpr", Rule: "R1"}, Signals: c[s], At: at(minutes)}
}

func bookOf(m *memory) *Book { return NewBook(m, New(Options{}), []byte("seal")) }

func enter(ctx context.Context, m *memory, changes ...Change) error {
	_, _, err := bookOf(m).Record(ctx, changes...)
	return err
}

func withdraw(ctx context.Context, m *memory, at time.Time) error {
	_, err := bookOf(m).Decide(ctx, Change{Visitor: ann, Verdict: Revoked(), At: at})
	return err
}

func newest(t *testing.T, m *memory) *Newest {
	t.Helper()
	got, err := Load(t.Context(), m, ann)
	require.NoError(t, err)
	return got[0]
}

func TestTheNewestConsentStands(t *testing.T) {
	const full, partial, none = event.Full, event.Partial, event.None
	for name, c := range map[string]struct {
		changes []Change
		state   event.State
		revoked int // minutes; -1: never
	}{
		"full":                                     {[]Change{change(full, 1)}, full, -1},
		"full, then partial":                       {[]Change{change(full, 1), change(partial, 2)}, partial, -1},
		"partial, then full":                       {[]Change{change(partial, 1), change(full, 2)}, full, -1},
		"a late full does not outdo a partial":     {[]Change{change(partial, 2), change(full, 1)}, partial, -1},
		"nor one that was seen again meanwhile":    {[]Change{change(partial, 1), change(partial, 3), change(full, 2)}, partial, -1},
		"at the same time the stricter: first":     {[]Change{change(partial, 1), change(full, 1)}, partial, -1},
		"at the same time the stricter: last":      {[]Change{change(full, 1), change(partial, 1)}, partial, -1},
		"full, then none":                          {[]Change{change(full, 1), change(none, 2)}, none, 2},
		"none, then full keeps the tombstone":      {[]Change{change(full, 1), change(none, 2), change(full, 3)}, full, 2},
		"a late none leaves its tombstone":         {[]Change{change(full, 3), change(none, 2)}, full, 2},
		"a late full does not undo a none":         {[]Change{change(full, 1), change(none, 3), change(full, 2)}, none, 3},
		"an older tombstone does not move it back": {[]Change{change(full, 1), change(none, 3), change(none, 2)}, none, 3},
		"a newer one moves it on":                  {[]Change{change(full, 1), change(none, 3), change(none, 5), change(full, 4)}, none, 5},
	} {
		for how, record := range map[string]func(context.Context, *memory) error{
			"one by one": func(ctx context.Context, m *memory) error {
				for _, x := range c.changes {
					if err := enter(ctx, m, x); err != nil {
						return err
					}
				}
				return nil
			},
			"at once": func(ctx context.Context, m *memory) error { return enter(ctx, m, c.changes...) },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				m := new(memory)
				require.NoError(t, record(t.Context(), m))
				got := newest(t, m)
				assert.Equal(t, c.state, got.Verdict.State)
				if c.revoked < 0 {
					assert.Zero(t, got.Revoked)
				} else {
					assert.True(t, at(c.revoked).Equal(got.Revoked), got.Revoked)
				}
			})
		}
	}
}

func TestAVisitorWhoNeverAllowedAnythingLeavesNoTrace(t *testing.T) {
	m := new(memory)
	require.NoError(t, enter(t.Context(), m, change(event.None, 1), change("", 2)))
	require.NoError(t, enter(t.Context(), m, Change{Verdict: event.Verdict{State: event.Full}}))
	assert.Empty(t, m.keys)
	require.NoError(t, withdraw(t.Context(), m, at(3)))
	got := newest(t, m)
	assert.Equal(t, event.None, got.Verdict.State)
	assert.True(t, at(3).Equal(got.Revoked))
}

func TestATombstoneHoldsNoIdentifier(t *testing.T) {
	m := new(memory)
	require.NoError(t, enter(t.Context(), m, change(event.Full, 1)))
	require.NoError(t, withdraw(t.Context(), m, at(2)))
	require.Len(t, m.keys, 1)
	for k, e := range m.keys {
		assert.NotContains(t, string(e.Value), ann.ID)
		assert.True(t, strings.HasPrefix(k, "consent:px_demo:"))
		assert.NotContains(t, k, ann.ID)
		assert.NotContains(t, string(e.Value), acceptAll, "the strings go with the consent")
		assert.Equal(t, keepRevoked, e.TTL)
	}
	other, err := Load(t.Context(), m, Visitor{"px_other", "ann"}, Visitor{"px_demo", ""})
	require.NoError(t, err)
	assert.Equal(t, []*Newest{nil, nil}, other)
}

func TestUnchangedFullConsentCostsOneRoundTrip(t *testing.T) {
	m := new(memory)
	require.NoError(t, enter(t.Context(), m, change(event.Full, 1)))
	m.trips = 0
	soon := change(event.Full, 1)
	soon.At = soon.At.Add(30 * time.Second)
	require.NoError(t, enter(t.Context(), m, soon, soon, soon))
	assert.Equal(t, 1, m.trips)
	require.NoError(t, enter(t.Context(), m, change(event.Full, 3+24*60)))
	assert.True(t, at(3+24*60).Equal(newest(t, m).At), "but its time is not left to grow old")
}

func TestLessThanFullConsentIsKeptNearlyExact(t *testing.T) {
	m := new(memory)
	soon := func(c Change, seconds int) Change {
		c.At = c.At.Add(time.Duration(seconds) * time.Second)
		return c
	}
	require.NoError(t, enter(t.Context(), m, soon(change(event.Partial, 1), 0)))
	require.NoError(t, enter(t.Context(), m, soon(change(event.Partial, 1), 20)))
	require.NoError(t, enter(t.Context(), m, soon(change(event.Full, 1), 10)))
	assert.Equal(t, event.Partial, newest(t, m).Verdict.State)
}

func TestSignalsThatAreNoTextAreKeptToo(t *testing.T) {
	m := new(memory)
	c := change(event.Full, 1)
	c.Signals.GPP = "caf\xe9"
	require.NoError(t, enter(t.Context(), m, c))
	assert.Equal(t, "caf\uFFFD", newest(t, m).Signals.GPP)
	m.trips = 0
	require.NoError(t, enter(t.Context(), m, c))
	assert.Equal(t, 1, m.trips)
}

func TestAWithdrawalIsNotLostBetweenReplicas(t *testing.T) {
	m := new(memory)
	require.NoError(t, enter(t.Context(), m, change(event.Full, 1)))
	m.intrude = func() { require.NoError(t, withdraw(t.Context(), m, at(5))) }
	require.NoError(t, enter(t.Context(), m, change(event.Partial, 4)))
	got := newest(t, m)
	assert.Equal(t, event.None, got.Verdict.State)
	assert.True(t, at(5).Equal(got.Revoked))
}

func TestErrorsOfTheStoreComeBack(t *testing.T) {
	m := &memory{fail: errors.New("down")}
	_, err := Load(t.Context(), m, ann)
	require.ErrorIs(t, err, m.fail)
	require.ErrorIs(t, enter(t.Context(), m, change(event.Full, 1)), m.fail)
	m.fail = nil
	m.keys = map[string]state.Entry{key(ann): {Value: []byte("{")}}
	_, err = Load(t.Context(), m, ann)
	require.ErrorContains(t, err, "decode the newest consent")
	require.ErrorContains(t, withdraw(t.Context(), m, at(1)), "decode the newest consent")
}

func TestWhichEventsATombstoneDrops(t *testing.T) {
	n := &Newest{Revoked: at(10)}
	for name, c := range map[string]struct {
		e    event.Event
		want bool
	}{
		"received before":                                   {event.Event{ReceivedAt: at(9)}, true},
		"received in the same moment":                       {event.Event{ReceivedAt: at(10)}, true},
		"received after":                                    {event.Event{ReceivedAt: at(11)}, false},
		"received after, happened before":                   {event.Event{ReceivedAt: at(11), SentAt: at(11), Time: at(8)}, true},
		"happened after, by a clock that is an hour behind": {event.Event{ReceivedAt: at(12), SentAt: at(-48), Time: at(-49)}, false},
		"happened before, by a clock that is an hour ahead": {event.Event{ReceivedAt: at(12), SentAt: at(72), Time: at(69)}, true},
		"a time in the future is no excuse":                 {event.Event{ReceivedAt: at(9), SentAt: at(9), Time: at(99)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, n.Drops(&c.e))
			assert.False(t, (*Newest)(nil).Drops(&c.e))
			assert.False(t, (&Newest{}).Drops(&c.e))
		})
	}
}

func TestAPartnerGetsWhatTheEventAndTheVisitorAllow(t *testing.T) {
	d := New(Options{})
	noTTD := build(tc{consents: every, vendors: []int{25, 101, 755, 793}})
	e := &event.Event{
		ReceivedAt: at(5), Consent: event.Consent{TCF: acceptAll},
		Verdict: event.Verdict{State: event.Full, Regime: "gdpr", Rule: "R2/G5"},
	}
	record := func(s event.State, tcf string, minute int) *Newest {
		return &Newest{Verdict: event.Verdict{State: s, Regime: "gdpr"}, Signals: event.Consent{TCF: tcf}, At: at(minute)}
	}
	for name, c := range map[string]struct {
		n      *Newest
		want   event.Permission
		capped event.State
		reason string
	}{
		"nothing newer":                     {nil, event.Allowed, event.Full, "everything"},
		"the same again":                    {record(event.Full, acceptAll, 9), event.Allowed, event.Full, "everything"},
		"less since":                        {record(event.Partial, analytics, 9), event.Denied, event.Partial, "purpose 2 (decided after the event)"},
		"less before":                       {record(event.Partial, analytics, 1), event.Allowed, event.Full, "everything"},
		"this partner deselected since":     {record(event.Full, noTTD, 9), event.Denied, event.Full, "did not allow The Trade Desk (vendor 21) (decided after the event)"},
		"withdrawn since":                   {&Newest{Verdict: event.Verdict{State: event.None}, At: at(9), Revoked: at(9)}, event.Denied, event.None, "withdrew consent after the event"},
		"withdrawn before, allowed anew":    {&Newest{Verdict: event.Verdict{State: event.None}, At: at(4), Revoked: at(4)}, event.Allowed, event.Full, "everything"},
		"withdrawn and allowed anew, since": {&Newest{Verdict: event.Verdict{State: event.Full, Regime: "gdpr"}, Signals: event.Consent{TCF: acceptAll}, At: at(9), Revoked: at(7)}, event.Denied, event.Full, "withdrew consent after the event"},
		"none since, without a tombstone":   {record(event.None, "", 9), event.Denied, event.None, "consent: "},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason := d.Permit(e, c.n, "ttd", ttd, Site{}, now)
			assert.Equal(t, c.want, got, reason)
			assert.Contains(t, reason, c.reason)
			assert.Equal(t, c.capped, c.n.Cap(e).State)
		})
	}
}

func TestTwoReplicasAgree(t *testing.T) {
	m := new(memory)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			s := event.Full
			if i%3 == 0 {
				s = event.Partial
			}
			// A record that keeps changing is an error to try again, never a wrong answer.
			for errors.Is(enter(t.Context(), m, change(s, i)), ErrBusy) {
			}
		})
	}
	wg.Wait()
	got := newest(t, m)
	assert.Equal(t, event.Full, got.Verdict.State)
	assert.True(t, at(19).Equal(got.At))
}
