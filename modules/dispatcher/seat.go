package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
)

// seat is one account at a partner: its credentials with a breaker, a pace and a
// bound of requests of their own, so that one account that is paused, throttled
// or broken holds up no other.
type seat struct {
	lane    *lane
	account string // "": the partner's own credentials

	breaker circuitbreaker.CircuitBreaker[delivery.Exchange]
	through failsafe.Executor[delivery.Exchange]
	// limiter bounds the requests that are under way: it learns from how long they
	// take how many the partner bears.
	limiter adaptivelimiter.AdaptiveLimiter[any]
	pace    *pace
	mood    mood

	waiting atomic.Int32 // batches that wait for leave
	mu      sync.Mutex
	flying  int // batches under way
}

// newSeat makes a seat whose breaker opens when so many of the last requests got no
// answer or a server's fault. The library's own default would open at the first.
func newSeat(l *lane, account string) *seat {
	s := &seat{lane: l, account: account}
	c := l.config.Breaker
	s.breaker = circuitbreaker.NewBuilder[delivery.Exchange]().
		WithFailureThresholdRatio(uint(max(c.Failures, 1)), uint(max(c.Window, c.Failures, 1))).
		WithSuccessThreshold(1).
		WithDelay(c.Delay).
		WithJitterFactor(0.1).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) { s.breakerChanged(e.NewState) }).
		Build()
	s.through = failsafe.With(s.breaker)
	most := uint(max(l.config.Concurrency, 1))
	if n := l.spec.Limits.Parallel; n > 0 {
		most = min(most, uint(n))
	}
	s.limiter = adaptivelimiter.NewBuilder[any]().
		WithLimits(1, most, min(most, 4)).
		WithMaxLimitStabilizationWindow(10 * time.Second).
		Build()
	s.pace = newPace(l.spec.Limits)
	s.mood.breaker, s.mood.since = closed, time.Now()
	l.metrics.breaker.WithLabelValues(l.name, account).Set(0)
	l.metrics.paused.WithLabelValues(l.name, account).Set(0)
	return s
}

// seat returns an account's, made when it is first needed.
func (l *lane) seat(account string) *seat {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.seats[account]
	if s == nil {
		s = newSeat(l, account)
		l.seats[account] = s
	}
	return s
}

func (l *lane) allSeats() []*seat {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*seat, 0, len(l.seats))
	for _, s := range l.seats {
		out = append(out, s)
	}
	return out
}

// ready reports whether a batch that is pulled now could be begun soon, and if not,
// how long at most that is worth waiting for.
func (s *seat) ready(now time.Time) (bool, time.Duration) {
	g := s.gate(now)
	s.mu.Lock()
	flying := s.flying
	s.mu.Unlock()
	switch {
	case g == shut, g == careful && flying > 0, s.waiting.Load() > 0, !s.limiter.CanAcquirePermit():
		return false, look
	}
	if wait := s.pace.wait(now); wait > 0 {
		return false, wait
	}
	return true, 0
}

// begin takes leave for a batch: true, unless the gate is shut or must be passed
// alone.
func (s *seat) begin(now time.Time) bool {
	g := s.gate(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if g == shut || g == careful && s.flying > 0 {
		return false
	}
	s.flying++
	return true
}

func (s *seat) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
}

// await begins a batch as soon as the seat lets it, or hands it back once too much
// of its lease has gone by.
func (s *seat) await(b *batch) {
	l := s.lane
	until := l.beginBefore(b)
	permit, err := s.limiter.AcquirePermitWithMaxWait(l.pulling, max(time.Until(until), 0))
	if err != nil {
		s.waiting.Add(-1)
		l.release(b)
		return
	}
	for {
		now := time.Now()
		wait := s.pace.take(now)
		if wait <= 0 {
			break
		}
		if now.Add(wait).After(until) || l.pulling.Err() != nil {
			s.waiting.Add(-1)
			permit.Drop()
			l.release(b)
			return
		}
		l.sleep(min(wait, look))
	}
	// What was pulled may have waited, and meanwhile the lane been stopped.
	began := l.pulling.Err() == nil && s.begin(time.Now())
	s.waiting.Add(-1)
	if !began {
		permit.Drop()
		l.release(b)
		l.sleep(look / 5)
		return
	}
	if l.send(b) {
		permit.Record()
	} else {
		permit.Drop()
	}
	s.end()
	l.awake()
}

// request makes one request. False: nothing left the house, since the breaker is
// open or the lane stops.
func (s *seat) request(ctx context.Context, a delivery.Account, deliveries []event.Delivery, last delivery.Last) (delivery.Exchange, bool) {
	if ctx.Err() != nil {
		return delivery.Exchange{}, false
	}
	x, err := s.through.Get(func() (delivery.Exchange, error) {
		return s.lane.sender.Send(ctx, a, deliveries, last)
	})
	return x, !errors.Is(err, circuitbreaker.ErrOpen)
}

// credentials are what is set for the seat now.
func (s *seat) credentials() (delivery.Account, settings.Partner, error) {
	p := s.lane.settings.Partner(s.lane.name)
	c, err := s.lane.settings.Credentials(p, s.account)
	if err != nil {
		return delivery.Account{}, p, err
	}
	return delivery.AccountOf(s.lane.spec, s.lane.address, p, c), p, nil
}

// ask makes the request for what became of an earlier one.
func (s *seat) ask(ctx context.Context, a delivery.Account, requestID string, deliveries []event.Delivery) (delivery.Exchange, bool) {
	deferred, ok := s.lane.adapter.(partner.Deferred)
	if !ok || ctx.Err() != nil {
		return delivery.Exchange{}, false
	}
	x, err := s.through.Get(func() (delivery.Exchange, error) {
		return s.lane.sender.Ask(ctx, deferred, a, requestID, deliveries)
	})
	return x, !errors.Is(err, circuitbreaker.ErrOpen)
}

func (s *seat) log() *slog.Logger {
	if s.account == "" {
		return s.lane.log
	}
	return s.lane.log.With("account", s.account)
}
