package dispatcher

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/state"
)

// The states of a record.
const (
	held = "held" // an attempt is under way
	free = "free" // it may be tried again
	told = "told" // the partner has queued it; it is to be asked what became of it
	done = "done" // the partner took it, or it was decided not to send it: never again
)

// record is what the lanes remember together of one event for one partner, so
// that a message that comes twice is not sent twice.
type record struct {
	State string `json:"s"`
	// Holder is the message whose attempt is under way, and Until is when it must
	// be over, so that a copy may be tried. Once it is done, Holder tells that message,
	// whose end the queue may not have been told, from a copy, and End is what the
	// ledger calls its end.
	Holder string    `json:"h,omitempty"`
	Until  time.Time `json:"u,omitzero"`
	// Sending is set just before a request, where the partner has no dedupe key: if
	// the record is found so, whoever held it died, and nobody knows what the partner took.
	Sending bool   `json:"g,omitempty"`
	End     string `json:"e,omitempty"`
	// Attempts counts the requests it was in. It goes on over a replay from the
	// dead letters, so that the sync log keeps both stories.
	Attempts int `json:"a,omitempty"`
	// Excused counts those of them that are no failure of the event's or partner's,
	// such as a 429, or were before a replay: they do not count towards giving up.
	Excused int `json:"x,omitempty"`
	// NotBefore is when to try again, where the queue cannot remember it.
	NotBefore time.Time `json:"n,omitzero"`
	// Request is the one whose outcome is to be asked for, made at Told.
	Request string    `json:"r,omitempty"`
	Told    time.Time `json:"t,omitzero"`
	// Unlogged is set where the partner took it but the sync log could not be
	// written.
	Unlogged bool `json:"l,omitempty"`
}

// again is what the ledger calls the end of a message that came though the record
// is done: its own end, where the queue had not been told, or that of a copy.
func (r record) again(message string) string {
	if r.Holder == message && r.End != "" {
		return r.End
	}
	return ledger.Duplicate
}

func (l *lane) recordKey(j *job) string {
	return delivery.SentKey(l.name, j.delivery.Event.PixelID, j.delivery.Event.ID)
}

// keepRecords is how long a record is kept: longer than the partner takes the
// event, after which it is too old anyway.
func (l *lane) keepRecords(age time.Duration) time.Duration {
	return max(age, 24*time.Hour) + 24*time.Hour
}

// claim reads the records of a batch and takes hold of those that may be tried.
// It fills in each job's record as it was before.
func (l *lane) claim(ctx context.Context, jobs []*job, now time.Time, ttl time.Duration) error {
	until := now.Add(l.lease())
	entries := make([]state.Entry, len(jobs))
	for i, j := range jobs {
		e, err := l.entry(j, record{State: held, Holder: j.message.ID, Until: until}, ttl)
		if err != nil {
			return err
		}
		entries[i] = e
	}
	standing, err := l.keys.Claim(ctx, entries...)
	if err != nil {
		return fmt.Errorf("look up what was sent: %w", err)
	}
	var owed []state.Entry
	var taken []*job
	var changes []state.Change
	for i, j := range jobs {
		if r, ok := l.owed.find(l.recordKey(j)); ok {
			j.record = r
			e, err := l.entry(j, r, ttl)
			if err != nil {
				return err
			}
			owed = append(owed, e)
			j.stood = e.Value
			continue
		}
		j.record, j.stood = record{}, standing[i]
		if err := json.Unmarshal(standing[i], &j.record); err != nil {
			return fmt.Errorf("read what was sent: %w", err)
		}
		if string(standing[i]) == string(entries[i].Value) || !j.mayTry(now) || j.record.State == told {
			continue
		}
		mine := j.record
		mine.State, mine.Holder, mine.Until, mine.NotBefore = held, j.message.ID, until, time.Time{}
		e, err := l.entry(j, mine, ttl)
		if err != nil {
			return err
		}
		taken, changes = append(taken, j), append(changes, state.Change{Old: j.stood, Entry: e})
	}
	if len(owed) > 0 {
		if err := l.keys.Set(ctx, owed...); err != nil {
			return fmt.Errorf("write what was sent: %w", err)
		}
		l.owed.paid(owed)
	}
	lost, err := l.swap(ctx, taken, changes)
	if err != nil {
		return fmt.Errorf("take hold of what is sent: %w", err)
	}
	for _, j := range lost {
		j.anothers(until)
	}
	return nil
}

// swap writes records of jobs that stand as these jobs left them, and returns those
// whose record somebody else has changed: another replica that took hold of a copy at
// the same moment, or whoever went on when this one had stopped for too long.
func (l *lane) swap(ctx context.Context, jobs []*job, changes []state.Change) (lost []*job, err error) {
	standing, err := l.keys.SwapAll(ctx, changes...)
	if err != nil {
		return nil, err
	}
	for i, j := range jobs {
		if !bytes.Equal(standing[i], changes[i].Value) {
			lost = append(lost, j)
			continue
		}
		j.stood = standing[i]
	}
	return lost, nil
}

// anothers notes that another holds the record, until then as far as is known.
func (j *job) anothers(until time.Time) {
	j.record.State, j.record.Holder, j.record.Until = held, "another", until
}

// mayTry reports whether the record lets this message be tried now.
func (j *job) mayTry(now time.Time) bool {
	switch j.record.State {
	case done:
		return false
	case held:
		return j.record.Holder == j.message.ID || !now.Before(j.record.Until)
	}
	return !now.Before(j.record.NotBefore)
}

// again is when a message that may not be tried now should come back.
func (j *job) again(now time.Time) time.Time {
	at := j.record.NotBefore
	if j.record.State == held {
		at = j.record.Until
	}
	if at.Before(now) {
		return now.Add(time.Second)
	}
	return at
}

func (l *lane) entry(j *job, r record, ttl time.Duration) (state.Entry, error) {
	// The store keeps milliseconds at best, and so should what is compared.
	r.Until, r.NotBefore = r.Until.UTC().Truncate(time.Millisecond), r.NotBefore.UTC().Truncate(time.Millisecond)
	r.Told = r.Told.UTC().Truncate(time.Millisecond)
	if r.State != held {
		r.Until, r.Sending = time.Time{}, false
	}
	body, err := json.Marshal(r)
	if err != nil {
		return state.Entry{}, err
	}
	return state.Entry{Key: l.recordKey(j), Value: body, TTL: ttl}, nil
}
