// Package worker turns accepted events into stored ones and into deliveries for
// the partners. It pulls batches from the ingest queues, runs the steps of
// steps.go over each, and acknowledges last, so that a worker may die anywhere:
// the batch comes back, and every step does no harm when it is done again.
//
// A batch that a step fails on is done again item by item, so that one event
// that no code can digest costs only itself. While everything fails, which is
// an outage of a store, messages go back untried and the worker waits.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/enrich"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// sites is what the worker needs of settings.Store.
type sites interface {
	Pixel(id string) (settings.Pixel, bool)
	Partner(name string) settings.Partner
	Refresh(context.Context) error
}

// people is what the worker needs of identity.Graph.
type people interface {
	Resolve(ctx context.Context, seen ...*identity.Seen) error
	Forget(ctx context.Context, pixel, visitor string) (int, error)
}

// Worker pulls, processes and acknowledges.
type Worker struct {
	config      config.Worker
	limits      config.Queue
	queue       queue.Queue
	keys        state.Keys
	shelf       archive.Archive
	store       analytics.BatchWriter
	receipts    analytics.ReceiptWriter
	people      people
	book        *consent.Book
	sweeper     sweeper
	driven      *attribution.Runner
	settings    sites
	decider     *consent.Decider
	enricher    *enrich.Enricher
	partners    map[string]partner.Spec
	expressions *routes.Expressions
	log         *slog.Logger
	metrics     *Metrics
	trace       tracing
	zones       zoneCache
	now         func() time.Time

	steps []step
	turns *turns
	due   chan struct{} // says that a sweep is due

	stopPull, stopRun context.CancelFunc
	pulling           context.Context // ends first: nothing more is begun
	running           context.Context // ends when the drain takes too long
	done              sync.WaitGroup
}

// Deps is what a Worker is built of.
type Deps struct {
	Config   config.Worker
	Limits   config.Queue
	Queue    queue.Queue
	Keys     state.Keys
	Archive  archive.Archive
	Writer   analytics.Writer
	Receipts analytics.ReceiptWriter
	Credits  analytics.CreditWriter
	People   people
	Book     *consent.Book
	Sweeper  sweeper             // goes through the queues after a withdrawal
	Driven   *attribution.Runner // gives the data-driven models each night; nil: nobody does here
	Settings sites
	Decider  *consent.Decider
	Adapters []partner.Adapter
	Enricher *enrich.Enricher // nil: one that knows no places and no rates
	Log      *slog.Logger
	Metrics  *Metrics
	Tracer   trace.Tracer
	Now      func() time.Time // nil: time.Now
}

// New returns a worker that does nothing until Start.
func New(d Deps) (*Worker, error) {
	enricher := d.Enricher
	if enricher == nil {
		var err error
		if enricher, err = enrich.New(enrich.Options{}); err != nil {
			return nil, err
		}
	}
	expressions, err := routes.NewExpressions()
	if err != nil {
		return nil, err
	}
	w := &Worker{
		expressions: expressions,
		config:      d.Config, limits: d.Limits, queue: d.Queue, keys: d.Keys, shelf: d.Archive, store: batches(d),
		receipts: d.Receipts, driven: d.Driven, people: d.People, book: d.Book, sweeper: d.Sweeper,
		settings: d.Settings, decider: d.Decider, enricher: enricher, partners: map[string]partner.Spec{},
		log: d.Log, metrics: d.Metrics, trace: tracing{d.Tracer}, now: d.Now, turns: newTurns(d.Config.Concurrency),
		due: make(chan struct{}, 1),
	}
	if w.now == nil {
		w.now = time.Now
	}
	for _, a := range d.Adapters {
		spec := a.Spec()
		w.partners[spec.Name] = spec
	}
	w.steps = w.list()
	return w, nil
}

// batches writes all of a batch at once, where one store takes it all and can.
func batches(d Deps) analytics.BatchWriter {
	if b, ok := d.Writer.(analytics.BatchWriter); ok && any(d.Receipts) == any(b) && any(d.Credits) == any(b) {
		return b
	}
	return analytics.Apart{Writer: d.Writer, ReceiptWriter: d.Receipts, CreditWriter: d.Credits}
}

// rules are what routes asks of an event.
func (w *Worker) rules(it *item, now time.Time) routes.Rules {
	return routes.Rules{
		Expressions: w.expressions,
		Mode:        func(name string) settings.Mode { return w.settings.Partner(name).Mode },
		Needs: func(name string) (partner.Needs, bool) {
			spec, ok := w.partners[name]
			return spec.Consent, ok
		},
		Share: func(e *event.Event, p *settings.Pixel, name string, needs partner.Needs) (event.Permission, string) {
			return w.decider.Permit(e, it.newest, name, needs, p.Site(), now)
		},
	}
}

// Start begins to pull: one puller a queue, and as many workers as configured.
func (w *Worker) Start(context.Context) error {
	w.pulling, w.stopPull = context.WithCancel(context.Background())
	w.running, w.stopRun = context.WithCancel(context.Background())
	for i, p := range event.Priorities {
		w.done.Go(func() { w.pull(i, queue.Ingest(p)) })
	}
	for range max(w.config.Concurrency, 1) {
		w.done.Go(w.work)
	}
	w.done.Go(w.followUp)
	w.done.Go(w.sweep)
	if w.driven != nil {
		w.done.Go(func() { w.driven.Run(w.pulling) })
	}
	return nil
}

// Stop pulls no more, hands back what was not begun and finishes what was. If
// ctx ends first, that is cut short and comes back too.
func (w *Worker) Stop(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok {
		// The dispatcher stops after us, and needs some of the time too.
		half, cancel := context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
		ctx = half
	}
	w.stopPull()
	defer w.stopRun()
	finished := make(chan struct{})
	go func() {
		w.done.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
	}
	w.stopRun()
	<-finished
	return fmt.Errorf("stop the worker: %w", ctx.Err())
}

// pull offers one queue's batches until Stop.
func (w *Worker) pull(priority int, name string) {
	wait := backoff{}
	for w.pulling.Err() == nil {
		at := time.Now()
		messages, err := w.queue.Pull(w.pulling, name, max(w.config.Batch, 1))
		if err != nil {
			if w.pulling.Err() == nil && wait.first() {
				w.log.Warn("an ingest queue cannot be pulled from", "queue", name, "error", err)
			}
			wait.sleep(w.pulling)
			continue
		}
		if wait.reset() {
			w.log.Info("an ingest queue can be pulled from again", "queue", name)
		}
		if len(messages) == 0 {
			continue
		}
		if w.pulling.Err() != nil || !w.turns.offer(w.pulling, priority, &pulled{queue: name, messages: messages, at: at}) {
			w.release(name, messages, at)
		}
	}
}

// work processes batches until Stop.
func (w *Worker) work() {
	wait := backoff{}
	for {
		p := w.turns.next(w.pulling)
		if p == nil {
			return
		}
		err := w.handle(p)
		w.turns.done(p)
		if err == nil {
			if wait.reset() {
				w.log.Info("events can be processed again")
			}
			continue
		}
		if wait.first() && w.running.Err() == nil {
			w.log.Warn("events cannot be processed; they wait in their queue", "queue", p.queue, "error", err)
		}
		wait.sleep(w.pulling)
	}
}

// release hands messages back untried that were pulled at a time.
func (w *Worker) release(name string, messages []queue.Message, pulled time.Time) {
	if w.lapsed(pulled) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.running), 5*time.Second)
	defer cancel()
	if err := w.queue.Release(ctx, name, ids(messages)...); err != nil {
		// They come back by themselves when their lease ends.
		w.log.Warn("messages could not be handed back", "queue", name, "messages", len(messages), "error", err)
	}
}

func ids(messages []queue.Message) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.ID
	}
	return out
}
