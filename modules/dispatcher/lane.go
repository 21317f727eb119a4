package dispatcher

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
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
	// maxPull bounds what is pulled at once.
	maxPull = 2000
)

// lane sends to one partner, by the seats of its accounts.
type lane struct {
	name    string
	spec    partner.Spec
	adapter partner.Adapter
	config  config.Dispatcher
	limits  config.Queue
	address config.Partner

	queue    queue.Queue
	inspect  queue.Inspector // nil: nothing is capped
	keys     state.Keys
	writer   analytics.Writer
	settings sites
	decider  *consent.Decider
	sender   *delivery.Sender
	log      *slog.Logger
	metrics  *Metrics
	tracer   trace.Tracer

	owed owed
	hold hold
	// groups is about how many requests a pull comes to, so that each is filled.
	groups float64
	flying atomic.Int32  // batches between their pull and their end
	ended  chan struct{} // one of them came to its end
	quiet  atomic.Int64  // until when the lane rests since something of ours is down

	mu    sync.Mutex
	seats map[string]*seat

	pulling, running  context.Context
	stopPull, stopRun context.CancelFunc
	done              sync.WaitGroup
}

func newLane(d Deps, a partner.Adapter) *lane {
	spec := a.Spec()
	l := &lane{
		name: spec.Name, spec: spec, adapter: a,
		config: d.Config, limits: d.Limits, address: d.Partners[spec.Name],
		queue: d.Queue, inspect: d.Inspect, keys: d.Keys, writer: d.Writer, settings: d.Settings, decider: d.Decider,
		log: d.Log.With("partner", spec.Name), metrics: d.Metrics, tracer: d.Tracer,
		seats: map[string]*seat{}, groups: 1, ended: make(chan struct{}, 1),
	}
	if d.Client == nil {
		d.Client = delivery.NewClient
	}
	l.sender = delivery.New(a, d.Client(max(d.Config.Concurrency, 1)), d.Vault, time.Now)
	l.sender.Renewed = d.Metrics.renewed(spec.Name)
	l.seat("")
	return l
}

func (l *lane) start() {
	l.pulling, l.stopPull = context.WithCancel(context.Background())
	l.running, l.stopRun = context.WithCancel(context.Background())
	l.done.Go(l.run)
	l.done.Go(l.watchHeld)
}

func (l *lane) stop(ctx context.Context) {
	l.stopPull()
	defer l.stopRun()
	unhook := context.AfterFunc(ctx, l.stopRun)
	defer unhook()
	l.done.Wait()
	l.sender.Close()
}

// run pulls batches and sends each in a goroutine of its own, as its seat allows.
// One goroutine pulls, so that what must wait is decided in one place.
func (l *lane) run() {
	failing := false
	for l.pulling.Err() == nil {
		now := time.Now()
		if now.UnixNano() < l.quiet.Load() {
			l.sleep(look)
			continue
		}
		limit := l.want()
		mode := l.settings.Partner(l.name).Mode
		switch mode {
		case settings.Hold:
			if limit = l.surplus(now, queue.Partner(l.name)); limit == 0 {
				l.sleep(look)
				continue
			}
		case settings.Off:
			// What waits is settled as not sent, which needs nobody's leave.
			if l.flying.Load() >= 4 {
				l.rouse(look)
				continue
			}
		default:
			if ok, wait := l.ready(now); !ok {
				l.rouse(min(wait, look))
				continue
			}
		}
		pulled := time.Now()
		messages, err := l.gather(limit)
		if err != nil && l.pulling.Err() == nil && !failing {
			l.log.Warn("the partner's queue cannot be pulled from", "error", err)
		}
		failing = err != nil
		l.begin(l.sort(messages, pulled), mode)
		if failing {
			l.sleep(time.Second)
		}
	}
}

// ready reports whether one of the seats takes a batch, or how long to wait.
func (l *lane) ready(now time.Time) (bool, time.Duration) {
	least := look
	for _, s := range l.allSeats() {
		ok, wait := s.ready(now)
		if ok {
			return true, 0
		}
		least = min(least, wait)
	}
	return false, least
}

// want is how many messages fill the requests that a pull comes to.
func (l *lane) want() int {
	items := l.spec.Limits.Items
	if items <= 0 {
		items = 500
	}
	return min(max(int(float64(items)*l.groups+0.5), 1), max(maxPull, items))
}

// begin sends batches, or puts off those of a seat that takes none now.
func (l *lane) begin(batches []*batch, mode settings.Mode) {
	seats := l.allSeats()
	busy := map[*seat]bool{}
	if len(seats) > 1 {
		for _, s := range seats {
			ok, _ := s.ready(time.Now())
			busy[s] = !ok
		}
	}
	for _, b := range batches {
		l.flying.Add(1)
		work := func() { b.seat.await(b) }
		switch {
		case mode == settings.Off || mode == settings.Hold:
			b.discard = mode == settings.Hold
			work = func() { l.send(b) }
		case busy[b.seat]:
			work = func() { l.putOff(b, b.seat.reopens(time.Now())) }
		default:
			b.seat.waiting.Add(1)
		}
		l.done.Go(func() {
			defer func() {
				l.flying.Add(-1)
				l.awake()
			}()
			work()
		})
	}
}

// gather pulls what fills the next requests. As long as nothing is under way it
// does not wait for more: the first events of a quiet time go at once. While others
// are under way it waits for as long as the partner's linger allows, so that under
// load the requests are full.
func (l *lane) gather(limit int) ([]queue.Message, error) {
	name := queue.Partner(l.name)
	messages, err := l.queue.Pull(l.pulling, name, limit)
	if err != nil || len(messages) == 0 {
		return messages, err
	}
	// Most of the lease is for the requests.
	until := time.Now().Add(min(l.spec.Limits.Linger, l.lease()/4))
	for len(messages) < limit && l.flying.Load() > 0 && time.Now().Before(until) && l.pulling.Err() == nil {
		more, err := l.queue.Pull(l.pulling, name, limit-len(messages))
		if err != nil {
			// What came before is held and goes on.
			return messages, nil
		}
		messages = append(messages, more...)
	}
	return messages, nil
}

func (l *lane) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.pulling.Done():
	}
}

// rouse is a sleep that ends when a batch does.
func (l *lane) rouse(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ended:
	case <-l.pulling.Done():
	}
}

func (l *lane) awake() {
	select {
	case l.ended <- struct{}{}:
	default:
	}
}

// rest keeps the lane quiet for a moment because something of ours is down.
func (l *lane) rest(d time.Duration) { l.quiet.Store(time.Now().Add(d).UnixNano()) }

// release hands a batch back untried.
func (l *lane) release(b *batch) {
	if len(b.jobs) == 0 || l.lapsed(b.pulled) {
		return
	}
	ctx, cancel := l.settling()
	defer cancel()
	if err := l.queue.Release(ctx, queue.Partner(l.name), messageIDs(b.jobs)...); err != nil {
		// They come back by themselves when their lease ends.
		l.log.Warn("deliveries could not be handed back", "events", len(b.jobs), "error", err)
	}
}

// putOff has a batch come again at a time, untried.
func (l *lane) putOff(b *batch, at time.Time) {
	v := newVerdict()
	for _, j := range b.jobs {
		v.putOff(l, j, at)
	}
	ctx, cancel := l.settling()
	defer cancel()
	l.apply(ctx, v, b.pulled)
}

// settling is a context for what must still be written when the lane stops.
func (l *lane) settling() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(l.running), 10*time.Second)
}

// beginBefore is until when a batch's requests may be begun.
func (l *lane) beginBefore(b *batch) time.Time { return b.pulled.Add(l.lease() / 2) }

// lapsed reports whether the lease of what was pulled then is over. Another may
// hold the messages since, under the same ids: to hand them back would take them
// from it in the midst of its request, and a third would send them again.
func (l *lane) lapsed(pulled time.Time) bool { return time.Since(pulled) >= l.lease() }

// lease is how long the queue leaves a message with its holder.
func (l *lane) lease() time.Duration {
	if l.limits.Lease > 0 {
		return l.limits.Lease
	}
	return time.Minute
}
