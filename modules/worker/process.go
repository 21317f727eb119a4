package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/modules/exemplar"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// failure is an error of a step.
type failure struct {
	step     string
	err      error
	panicked bool
	span     trace.SpanContext // in which it failed, for the log
}

func (f *failure) Error() string { return f.step + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// outageAfter is how many events must fail one by one, and none succeed, before
// it is taken for an outage.
const outageAfter = 8

// handle processes a batch to its end. An error means that nothing could be
// processed, so that it is better to wait.
func (w *Worker) handle(p *pulled) error {
	// Half of the time is for doing it again one by one.
	f := w.process(p.queue, p.messages, p.at.Add(w.limit()/2))
	switch {
	case f == nil:
		return nil
	case len(p.messages) == 1 && f.panicked:
		w.poison(p, p.messages[0], f)
		return nil
	case len(p.messages) == 1 || w.running.Err() != nil:
		// Of one event alone nobody can tell whose fault it is.
		w.release(p.queue, p.messages, p.at)
		w.metrics.batches.WithLabelValues("released").Inc()
		return f
	}
	return w.isolate(p, f)
}

// isolate does a failed batch again item by item, so that those that are not to
// blame go on. If none succeeds, it is an outage and no event's fault.
func (w *Worker) isolate(p *pulled, cause *failure) error {
	w.metrics.batches.WithLabelValues("isolated").Inc()
	failed := map[string]*failure{}
	deadline := p.at.Add(w.limit())
	succeeded := false
	// In any order: a few bad events at the head of a queue must not look like an
	// outage each time.
	rand.Shuffle(len(p.messages), func(i, j int) { p.messages[i], p.messages[j] = p.messages[j], p.messages[i] })
	for i, m := range p.messages {
		switch f := w.process(p.queue, p.messages[i:i+1], deadline); {
		case f == nil:
			succeeded = true
		case f.panicked:
			w.poison(p, m, f)
		default:
			failed[m.ID] = f
		}
		last := i == len(p.messages)-1
		late := !last && time.Now().After(deadline)
		if late && succeeded {
			// What is left goes back untried; the others are done or failed alone.
			w.release(p.queue, p.messages[i+1:], p.at)
			break
		}
		if w.running.Err() != nil || late || !succeeded && len(failed) > 0 && (last || len(failed) >= outageAfter) {
			back := p.messages[i+1:]
			for _, m := range p.messages[:i+1] {
				if failed[m.ID] != nil {
					back = append(back[:len(back):len(back)], m)
				}
			}
			w.release(p.queue, back, p.at)
			w.metrics.batches.WithLabelValues("released").Inc()
			return cause
		}
	}
	for _, m := range p.messages {
		if f := failed[m.ID]; f != nil {
			w.poison(p, m, f)
		}
	}
	return nil
}

// poison puts an event that fails while others succeed off until later, and
// among the dead letters when it was tried often enough.
func (w *Worker) poison(p *pulled, m queue.Message, f *failure) {
	if w.lapsed(p.at) {
		return
	}
	name := p.queue
	ctx, cancel := w.settling()
	defer cancel()
	ctx = trace.ContextWithSpanContext(ctx, f.span)
	if m.Deliveries < w.limits.MaxDeliveries {
		at := w.now().Add(min(time.Second<<min(m.Deliveries, 10), 5*time.Minute))
		w.log.WarnContext(ctx, "an event fails alone and is tried again later", "queue", name, "message", m.ID, "deliveries", m.Deliveries, "step", f.step, "error", f.err)
		if err := w.queue.Retry(ctx, name, at, m.ID); err != nil {
			w.log.WarnContext(ctx, "a message could not be put off", "queue", name, "error", err)
		}
		return
	}
	w.log.ErrorContext(ctx, "an event fails alone and is buried", "queue", name, "message", m.ID, "deliveries", m.Deliveries, "step", f.step, "error", f.err)
	if err := w.queue.Bury(ctx, name, cut("it cannot be processed: "+f.Error(), 300), m.ID); err != nil {
		w.log.WarnContext(ctx, "a message could not be buried", "queue", name, "error", err)
		return
	}
	w.metrics.events.WithLabelValues(poisoned).Inc()
}

// process runs the steps over messages until the deadline, and acknowledges them.
func (w *Worker) process(name string, messages []queue.Message, deadline time.Time) *failure {
	ctx, cancel := context.WithDeadline(w.running, deadline)
	defer cancel()
	ctx, span := w.trace.tracer.Start(ctx, "worker batch", trace.WithAttributes(
		attribute.String("queue", name), attribute.Int("messages", len(messages))))
	defer span.End()
	b := newBatch(name, messages)
	f := w.run(ctx, b)
	if f == nil {
		f = w.settle(b)
	}
	if f != nil {
		span.SetStatus(codes.Error, f.Error())
		f.span = span.SpanContext()
		if all := b.all(); len(all) == 1 && all[0].span != nil {
			f.span = all[0].span.SpanContext()
		}
	}
	outcomes := make(map[*item]string, len(b.ended))
	for _, e := range b.ended {
		outcomes[e.item] = e.outcome
	}
	w.trace.finish(b, span, func(it *item) string {
		if f != nil {
			return undone
		}
		if o := outcomes[it]; o != "" {
			return o
		}
		return stored
	})
	return f
}

// run takes a batch through the steps, until no event is left and nothing that has to be
// stored.
func (w *Worker) run(ctx context.Context, b *batch) *failure {
	for rest := w.steps; len(rest) > 0 && len(b.items)+b.writes.Len() > 0; {
		n := 1
		for n < len(rest) && rest[n].beside {
			n++
		}
		if f := w.together(ctx, rest[:n], b); f != nil {
			return f
		}
		rest = rest[n:]
	}
	return nil
}

// together does steps at the same time, and returns the first one's failure.
func (w *Worker) together(ctx context.Context, steps []step, b *batch) *failure {
	failures := make([]*failure, len(steps))
	var others sync.WaitGroup
	if len(steps) > 1 {
		b.kept() // made once, and not by each
		for i, s := range steps[1:] {
			others.Go(func() { failures[i+1] = w.step(ctx, s, b) })
		}
	}
	failures[0] = w.step(ctx, steps[0], b)
	others.Wait()
	for _, f := range failures {
		if f != nil {
			return f
		}
	}
	return nil
}

func (w *Worker) step(ctx context.Context, s step, b *batch) (f *failure) {
	ctx, span := w.trace.tracer.Start(ctx, s.name)
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			w.metrics.panics.WithLabelValues(s.name).Inc()
			f = &failure{step: s.name, err: fmt.Errorf("panic: %s", describe(p)), panicked: true}
		}
		exemplar.Observe(ctx, w.metrics.steps.WithLabelValues(s.name), time.Since(start).Seconds())
		if f != nil {
			span.SetStatus(codes.Error, f.Error())
		}
		span.End()
	}()
	if err := s.do(ctx, b); err != nil {
		return &failure{step: s.name, err: err}
	}
	return nil
}

// describe says what a panic was. Only errors are quoted: anything else may hold
// the event.
func describe(p any) string {
	if err, ok := p.(error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// settle ends the messages of a batch that went through: last of all.
func (w *Worker) settle(b *batch) *failure {
	ctx, cancel := w.settling()
	defer cancel()
	ends := ends{}
	for _, it := range b.items {
		ends.add(it.message, ledger.StoredFor(it.partners...))
	}
	for _, e := range b.ended {
		if e.bury == "" {
			ends.add(e.item.message, e.entry())
			continue
		}
		if err := w.queue.Bury(ctx, b.queue, e.bury, e.item.message.ID); err != nil {
			return &failure{step: "bury", err: err}
		}
	}
	if err := w.queue.Settle(ctx, b.queue, ends.list()...); err != nil {
		return &failure{step: "ack", err: err}
	}
	w.metrics.events.WithLabelValues(stored).Add(float64(len(b.items)))
	for _, e := range b.ended {
		w.metrics.events.WithLabelValues(e.outcome).Inc()
		if by := map[string]string{duplicate: "event", repeated: "order"}[e.outcome]; by != "" {
			w.metrics.repeats.WithLabelValues(by, ledger.Way(e.item.event.Source)).Inc()
		}
	}
	w.metrics.batches.WithLabelValues("done").Inc()
	return nil
}

// limit is how long after its pull a batch may still be worked on, one by one
// too: less than its lease, after which somebody else would begin it as well, and
// the queue would count a delivery for what is a store's fault.
func (w *Worker) limit() time.Duration {
	return w.lease() * 3 / 4
}

// lease is how long the queue leaves a message with its holder.
func (w *Worker) lease() time.Duration {
	if w.limits.Lease > 0 {
		return w.limits.Lease
	}
	return time.Minute
}

// lapsed reports whether the lease of what was pulled then is over. Another may
// hold the messages since, under the same ids, and is not to lose them.
func (w *Worker) lapsed(pulled time.Time) bool { return time.Since(pulled) >= w.lease() }

// settling is a context for the queue that outlives the drain for a moment: what
// is done should not be done again.
func (w *Worker) settling() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(w.running), 5*time.Second)
}
