package dispatcher

import (
	"fmt"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/settings"
)

const closed = lanestatus.Closed

// probe is how often a paused seat tries whether it may go on.
const probe = time.Minute

// mood is why a seat sends or does not, and what it shows of itself.
type mood struct {
	mu sync.Mutex

	breaker string
	since   time.Time

	// paused says what a person must do first.
	paused   string
	revision int64     // of the partner's settings under which it was paused
	probeAt  time.Time // when to try all the same

	// throttled counts how often in a row the partner asked for peace.
	throttled int

	answers         []lanestatus.Answer
	inFlight        int
	success, failed uint64
}

// gate says whether a batch may be begun.
type gate int

const (
	shut    gate = iota // not now
	careful             // one batch, alone, to find out
	open                // go on
)

// gate decides by a pause and the breaker. The partner's switch and its pace are
// decided elsewhere.
func (s *seat) gate(now time.Time) gate {
	p := s.lane.settings.Partner(s.lane.name)
	s.mood.mu.Lock()
	defer s.mood.mu.Unlock()
	if s.mood.paused != "" {
		switch {
		case p.Revision != s.mood.revision:
			s.mood.paused = ""
			s.showPause()
			s.log().Info("lane goes on: its settings changed")
		case now.Before(s.mood.probeAt):
			return shut
		}
	}
	switch s.breaker.State() {
	case circuitbreaker.OpenState:
		if s.breaker.RemainingDelay() > 0 {
			return shut
		}
		return careful
	case circuitbreaker.HalfOpenState:
		return careful
	}
	if s.mood.paused != "" {
		return careful
	}
	return open
}

// reopens is about when the seat may take batches again.
func (s *seat) reopens(now time.Time) time.Time {
	wait := max(s.pace.wait(now), s.breaker.RemainingDelay(), time.Second)
	s.mood.mu.Lock()
	defer s.mood.mu.Unlock()
	if s.mood.paused != "" {
		wait = max(wait, s.mood.probeAt.Sub(now))
	}
	return now.Add(wait)
}

// pause stops the seat until its settings change; once a minute it tries again.
func (s *seat) pause(reason string, revision int64, now time.Time) {
	s.mood.mu.Lock()
	defer s.mood.mu.Unlock()
	if s.mood.paused != reason {
		s.log().Error("lane paused: nothing is sent until somebody acts", "cause", reason)
	}
	s.mood.paused, s.mood.revision, s.mood.probeAt = reason, revision, now.Add(probe)
	s.showPause()
}

// postpone puts off the next try of a paused seat: the last one told nothing.
func (s *seat) postpone(now time.Time) {
	s.mood.mu.Lock()
	defer s.mood.mu.Unlock()
	s.mood.probeAt = now.Add(probe)
}

// unpause ends a pause: a request went through.
func (s *seat) unpause() {
	s.mood.mu.Lock()
	defer s.mood.mu.Unlock()
	if s.mood.paused != "" {
		s.mood.paused = ""
		s.showPause()
		s.log().Info("lane goes on: the partner takes requests again")
	}
}

// showPause tells the metrics; its caller holds the lock.
func (s *seat) showPause() {
	value := 0.0
	if s.mood.paused != "" {
		value = 1
	}
	s.lane.metrics.paused.WithLabelValues(s.lane.name, s.account).Set(value)
}

// throttle slows the seat down because the partner asked for it: quiet for as long
// as it said, else longer each time, and slower afterwards.
func (s *seat) throttle(after time.Duration, now time.Time) {
	s.mood.mu.Lock()
	s.mood.throttled++
	if after <= 0 {
		after = min(time.Second<<min(s.mood.throttled-1, 6), time.Minute)
	}
	s.mood.mu.Unlock()
	s.pace.refused(now, after)
}

func (s *seat) breakerChanged(state circuitbreaker.State) {
	name, value := lanestatus.Closed, 0.0
	switch state {
	case circuitbreaker.OpenState:
		name, value = lanestatus.Open, 1
	case circuitbreaker.HalfOpenState:
		name, value = lanestatus.HalfOpen, 0.5
	}
	s.lane.metrics.breaker.WithLabelValues(s.lane.name, s.account).Set(value)
	s.log().Warn("breaker changed", "state", name)
	s.mood.mu.Lock()
	defer s.mood.mu.Unlock()
	s.mood.breaker, s.mood.since = name, time.Now()
}

// answered keeps the last answers for people to see.
func (s *seat) answered(a lanestatus.Answer, success, failed int) {
	s.mood.mu.Lock()
	defer s.mood.mu.Unlock()
	s.mood.answers = append([]lanestatus.Answer{a}, s.mood.answers[:min(len(s.mood.answers), 4)]...)
	s.mood.success += uint64(success)
	s.mood.failed += uint64(failed)
	if a.Status != 0 && a.Status != 429 && a.Status < 500 {
		s.mood.throttled = 0
	}
}

func (s *seat) inFlight(events int) {
	s.mood.mu.Lock()
	defer s.mood.mu.Unlock()
	s.mood.inFlight += events
}

func (s *seat) status(now time.Time) lanestatus.Status {
	mode := s.lane.settings.Partner(s.lane.name).Mode
	perSecond, until := s.pace.now(now)
	s.mood.mu.Lock()
	defer s.mood.mu.Unlock()
	out := lanestatus.Status{
		Partner: s.lane.name, Account: s.account, Breaker: s.mood.breaker, Since: s.mood.since, Paused: s.mood.paused,
		Answers:  append([]lanestatus.Answer(nil), s.mood.answers...),
		InFlight: s.mood.inFlight, Success: s.mood.success, Failed: s.mood.failed,
		Parallel: s.limiter.Limit(), PerSecond: perSecond,
	}
	if out.Paused == "" && mode != settings.Off && now.Before(until) {
		out.Paused = fmt.Sprintf("the partner takes no more for now (HTTP 429 or Retry-After); the lane waits until %s", until.UTC().Format(time.RFC3339))
	}
	s.lane.metrics.mode.WithLabelValues(s.lane.name).Set(map[settings.Mode]float64{settings.On: 1, settings.Hold: 0.5}[mode])
	s.lane.metrics.parallel.WithLabelValues(s.lane.name, s.account).Set(float64(out.Parallel))
	s.lane.metrics.perSecond.WithLabelValues(s.lane.name, s.account).Set(perSecond)
	return out
}
