package dispatcher

import (
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/settings"
)

const closed = lanestatus.Closed

// probe is how often a paused lane tries whether it may go on.
const probe = time.Minute

// mood is why a lane sends or does not, and what it shows of itself.
type mood struct {
	mu sync.Mutex

	breaker string
	since   time.Time

	// paused says what a person must do first.
	paused   string
	revision int64     // of the partner's settings under which it was paused
	probeAt  time.Time // when to try all the same

	// wait is until when the partner asked for peace; throttled counts how often
	// in a row it did.
	wait      time.Time
	throttled int
	// quiet is until when the lane rests because something of ours is down.
	quiet time.Time

	answers         []lanestatus.Answer
	inFlight        int
	success, failed uint64
}

// gate says whether a lane may pull.
type gate int

const (
	shut    gate = iota // not now
	careful             // one batch, alone, to find out
	open                // go on
)

// gate decides by the partner's switch, a pause, the partner's wish and the
// breaker.
func (l *lane) gate(now time.Time) gate {
	p := l.settings.Partner(l.name)
	switch p.Mode {
	case settings.Off:
		// What waits is settled as not sent, which needs nobody's leave.
		return open
	case settings.Hold:
		return shut
	}
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	if l.mood.paused != "" {
		switch {
		case p.Revision != l.mood.revision:
			l.mood.paused = ""
			l.log.Info("lane goes on: its settings changed")
		case now.Before(l.mood.probeAt):
			return shut
		}
	}
	if now.Before(l.mood.wait) || now.Before(l.mood.quiet) {
		return shut
	}
	switch l.client.breaker.State() {
	case circuitbreaker.OpenState:
		if l.client.breaker.RemainingDelay() > 0 {
			return shut
		}
		return careful
	case circuitbreaker.HalfOpenState:
		return careful
	}
	if l.mood.paused != "" {
		return careful
	}
	return open
}

// pause stops the lane until its settings change; once a minute it tries again.
func (l *lane) pause(reason string, revision int64, now time.Time) {
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	if l.mood.paused != reason {
		l.log.Error("lane paused: nothing is sent until somebody acts", "cause", reason)
	}
	l.mood.paused, l.mood.revision, l.mood.probeAt = reason, revision, now.Add(probe)
}

// postpone puts off the next try of a paused lane: the last one told nothing.
func (l *lane) postpone(now time.Time) {
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	l.mood.probeAt = now.Add(probe)
}

// unpause ends a pause: a request went through.
func (l *lane) unpause() {
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	if l.mood.paused != "" {
		l.mood.paused = ""
		l.log.Info("lane goes on: the partner takes requests again")
	}
}

// throttle keeps the lane quiet because the partner asked for it: as long as it
// said, else longer each time.
func (l *lane) throttle(after time.Duration, now time.Time) {
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	l.mood.throttled++
	if after <= 0 {
		after = min(time.Second<<min(l.mood.throttled-1, 6), time.Minute)
	}
	if at := now.Add(min(after, time.Hour)); at.After(l.mood.wait) {
		l.mood.wait = at
	}
}

// rest keeps the lane quiet for a moment because something of ours is down.
func (l *lane) rest(d time.Duration) {
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	l.mood.quiet = time.Now().Add(d)
}

func (l *lane) breakerChanged(state circuitbreaker.State) {
	name, value := lanestatus.Closed, 0.0
	switch state {
	case circuitbreaker.OpenState:
		name, value = lanestatus.Open, 1
	case circuitbreaker.HalfOpenState:
		name, value = lanestatus.HalfOpen, 0.5
	}
	l.metrics.breaker.WithLabelValues(l.name).Set(value)
	l.log.Warn("breaker changed", "state", name)
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	l.mood.breaker, l.mood.since = name, time.Now()
}

// answered keeps the last answers for people to see.
func (l *lane) answered(a lanestatus.Answer, success, failed int) {
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	l.mood.answers = append([]lanestatus.Answer{a}, l.mood.answers[:min(len(l.mood.answers), 4)]...)
	l.mood.success += uint64(success)
	l.mood.failed += uint64(failed)
	if a.Status != 0 && a.Status != 429 && a.Status < 500 {
		l.mood.throttled = 0
	}
}

func (l *lane) flying(events int) {
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	l.mood.inFlight += events
}

func (l *lane) status(now time.Time) lanestatus.Status {
	mode := l.settings.Partner(l.name).Mode
	l.mood.mu.Lock()
	defer l.mood.mu.Unlock()
	s := lanestatus.Status{
		Partner: l.name, Breaker: l.mood.breaker, Since: l.mood.since, Paused: l.mood.paused,
		Answers:  append([]lanestatus.Answer(nil), l.mood.answers...),
		InFlight: l.mood.inFlight, Success: l.mood.success, Failed: l.mood.failed,
	}
	if s.Paused == "" && mode != settings.Off && now.Before(l.mood.wait) {
		s.Paused = "the partner takes no more for now (HTTP 429 or Retry-After); the lane waits until " + l.mood.wait.UTC().Format(time.RFC3339)
	}
	return s
}
