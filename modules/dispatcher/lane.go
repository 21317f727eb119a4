package dispatcher

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

const (
	// look is how often a lane that waits looks whether it still must.
	look = 250 * time.Millisecond
	// maxPull bounds a pull for partners that state no limit.
	maxPull = 500
)

// lane sends to one partner.
type lane struct {
	name    string
	spec    partner.Spec
	adapter partner.Adapter
	config  config.Dispatcher
	limits  config.Queue
	address config.Partner

	queue    queue.Queue
	keys     state.Keys
	writer   analytics.Writer
	settings sites
	decider  *consent.Decider
	client   *client
	log      *slog.Logger
	metrics  *Metrics
	tracer   trace.Tracer

	mood  mood
	owed  owed
	slots chan struct{} // as many as requests may be under way

	pulling, running  context.Context
	stopPull, stopRun context.CancelFunc
	done              sync.WaitGroup
}

func newLane(d Deps, a partner.Adapter) *lane {
	spec := a.Spec()
	l := &lane{
		name: spec.Name, spec: spec, adapter: a,
		config: d.Config, limits: d.Limits, address: d.Partners[spec.Name],
		queue: d.Queue, keys: d.Keys, writer: d.Writer, settings: d.Settings, decider: d.Decider,
		log: d.Log.With("partner", spec.Name), metrics: d.Metrics, tracer: d.Tracer,
		slots: make(chan struct{}, max(d.Config.Concurrency, 1)),
	}
	l.mood.breaker, l.mood.since = closed, time.Now()
	sender := delivery.New(a, delivery.NewClient(cap(l.slots)), d.Vault, time.Now)
	l.client = newClient(sender, d.Config.Breaker, l.breakerChanged)
	l.metrics.breaker.WithLabelValues(l.name).Set(0)
	return l
}

func (l *lane) start() {
	l.pulling, l.stopPull = context.WithCancel(context.Background())
	l.running, l.stopRun = context.WithCancel(context.Background())
	l.done.Go(l.run)
}

func (l *lane) stop(ctx context.Context) {
	l.stopPull()
	defer l.stopRun()
	unhook := context.AfterFunc(ctx, l.stopRun)
	defer unhook()
	l.done.Wait()
	l.client.sender.Close()
}

// run pulls batches and sends each in a goroutine of its own, while there is a
// slot. One goroutine pulls, so that what must wait is decided in one place.
func (l *lane) run() {
	failing := false
	for l.pulling.Err() == nil {
		if !l.ready(0) {
			l.sleep(look)
			continue
		}
		if !l.take() {
			return
		}
		pulled := time.Now()
		messages, err := l.gather()
		if err != nil && l.pulling.Err() == nil && !failing {
			l.log.Warn("the partner's queue cannot be pulled from", "error", err)
		}
		failing = err != nil
		batches := l.sort(messages)
		for _, b := range batches {
			b.pulled = pulled
		}
		l.begin(batches)
		if failing {
			l.sleep(time.Second)
		}
	}
}

// ready reports whether a batch may be begun now, beside so many slots that the
// asker holds: a batch that finds something out does so alone.
func (l *lane) ready(holding int) bool {
	switch l.gate(time.Now()) {
	case open:
		return true
	case careful:
		return len(l.slots) <= holding
	}
	return false
}

// begin sends batches; it is called with one slot taken, which it gives back.
func (l *lane) begin(batches []*batch) {
	holding := true
	for _, b := range batches {
		if !holding {
			holding = l.take()
		}
		// What was pulled may have waited for a slot, and meanwhile the lane been
		// stopped, or so much of the lease gone by that it could end under way.
		if !holding || l.pulling.Err() != nil || !l.ready(1) || time.Now().After(l.beginBefore(b)) {
			l.release(b)
			continue
		}
		holding = false
		l.done.Go(func() {
			defer l.give()
			l.send(b)
		})
	}
	if holding {
		l.give()
	}
}

// gather pulls a batch, and waits for it to fill as long as the partner's linger
// allows.
func (l *lane) gather() ([]queue.Message, error) {
	name, limit := queue.Partner(l.name), l.spec.Limits.Items
	if limit <= 0 || limit > maxPull {
		limit = maxPull
	}
	messages, err := l.queue.Pull(l.pulling, name, limit)
	if err != nil || len(messages) == 0 {
		return messages, err
	}
	// Most of the lease is for the requests.
	until := time.Now().Add(min(l.spec.Limits.Linger, l.lease()/4))
	for len(messages) < limit && time.Now().Before(until) && l.pulling.Err() == nil {
		more, err := l.queue.Pull(l.pulling, name, limit-len(messages))
		if err != nil {
			// What came before is held and goes on.
			return messages, nil
		}
		messages = append(messages, more...)
	}
	return messages, nil
}

// take waits for a slot; false once the lane stops.
func (l *lane) take() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	case <-l.pulling.Done():
		return false
	}
}

func (l *lane) give() { <-l.slots }

func (l *lane) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.pulling.Done():
	}
}

// release hands a batch back untried.
func (l *lane) release(b *batch) {
	if len(b.jobs) == 0 {
		return
	}
	ctx, cancel := l.settling()
	defer cancel()
	if err := l.queue.Release(ctx, queue.Partner(l.name), messageIDs(b.jobs)...); err != nil {
		// They come back by themselves when their lease ends.
		l.log.Warn("deliveries could not be handed back", "events", len(b.jobs), "error", err)
	}
}

// settling is a context for what must still be written when the lane stops.
func (l *lane) settling() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(l.running), 10*time.Second)
}

// account is what is set for the partner now.
func (l *lane) account() (delivery.Account, settings.Partner, error) {
	p := l.settings.Partner(l.name)
	credentials, err := l.settings.Credentials(p)
	if err != nil {
		return delivery.Account{}, p, err
	}
	return delivery.AccountOf(l.spec, l.address, p, credentials), p, nil
}
