package dispatcher

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/state"
)

// The states of a record.
const (
	held = "held" // an attempt is under way
	free = "free" // it may be tried again
	done = "done" // the partner took it, or it was decided not to send it: never again
)

// record is what the lanes remember together of one event for one partner, so
// that a message that comes twice is not sent twice.
type record struct {
	State string `json:"s"`
	// Holder is the message whose attempt is under way, and Until is when it must
	// be over, so that a copy may be tried.
	Holder string    `json:"h,omitempty"`
	Until  time.Time `json:"u,omitzero"`
	// Attempts counts the requests it was in. It goes on over a replay from the
	// dead letters, so that the sync log keeps both stories.
	Attempts int `json:"a,omitempty"`
	// NotBefore is when to try again, where the queue cannot remember it.
	NotBefore time.Time `json:"n,omitzero"`
	// Unlogged is set where the partner took it but the sync log could not be
	// written.
	Unlogged bool `json:"l,omitempty"`
}

func (l *lane) recordKey(j *job) string { return "sent:" + l.name + ":" + j.key() }

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
	var taken []state.Entry
	for i, j := range jobs {
		if r, ok := l.owed.find(l.recordKey(j)); ok {
			j.record = r
			e, err := l.entry(j, r, ttl)
			if err != nil {
				return err
			}
			taken = append(taken, e)
			continue
		}
		j.record = record{}
		if err := json.Unmarshal(standing[i], &j.record); err != nil {
			return fmt.Errorf("read what was sent: %w", err)
		}
		if string(standing[i]) == string(entries[i].Value) || !j.mayTry(now) {
			continue
		}
		// Of two copies that come at the same moment on two replicas both could
		// pass here; a batch's round trip is worth more than that.
		mine := record{State: held, Holder: j.message.ID, Until: until, Attempts: j.record.Attempts}
		e, err := l.entry(j, mine, ttl)
		if err != nil {
			return err
		}
		taken = append(taken, e)
	}
	if len(taken) == 0 {
		return nil
	}
	if err := l.keys.Set(ctx, taken...); err != nil {
		return fmt.Errorf("take hold of what is sent: %w", err)
	}
	l.owed.paid(taken)
	return nil
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
	if r.State != held {
		r.Until = time.Time{}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return state.Entry{}, err
	}
	return state.Entry{Key: l.recordKey(j), Value: body, TTL: ttl}, nil
}

// beginBefore is until when a batch's requests may be begun.
func (l *lane) beginBefore(b *batch) time.Time { return b.pulled.Add(l.lease() / 2) }

// lease is how long the queue leaves a message with its holder.
func (l *lane) lease() time.Duration {
	if l.limits.Lease > 0 {
		return l.limits.Lease
	}
	return time.Minute
}
