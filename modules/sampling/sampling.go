// Package sampling decides which traces are kept: a share of all, chosen when they begin,
// and besides whatever failed or was slow, which nobody knows before it has ended.
//
// What is decided late is decided for what one process did of a trace, at the end of its
// outermost span here. A request that took a second is kept as a whole with what it did
// in this process; what other processes did of the same trace is kept by them where it failed
// or was slow there, under the same trace id. Whoever wants all of such a trace sends all
// to an OpenTelemetry Collector and lets it choose: docs/deploy/otel.
package sampling

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Sampler samples a share of the traces that begin here, and follows what was decided
// elsewhere. With late, the others are recorded too, for Late to look at.
func Sampler(share float64, late bool) sdktrace.Sampler {
	return sampler{sdktrace.ParentBased(sdktrace.TraceIDRatioBased(share)), late}
}

type sampler struct {
	sdktrace.Sampler
	late bool
}

func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if _, ok := begun(p.ParentContext); ok {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
	}
	r := s.Sampler.ShouldSample(p)
	if r.Decision == sdktrace.Drop && s.late {
		r.Decision = sdktrace.RecordOnly
	}
	return r
}

// maxOpen bounds the pieces of traces that are looked at at a time, and maxSpans the spans
// of one. What is beyond is dropped, as without Late all of it would be.
const (
	maxOpen  = 8192
	maxSpans = 64
)

// Late hands on the spans that are sampled, and of the others those of pieces in which a
// span failed or took slow or longer.
type Late struct {
	next sdktrace.SpanProcessor
	slow time.Duration

	mu   sync.Mutex
	open map[trace.SpanID]*piece // by each span of it that has not ended
	n    int
}

// piece is what this process does of a trace, below one span.
type piece struct {
	root  trace.SpanID
	keep  bool
	spans []sdktrace.ReadOnlySpan
}

// NewLate returns a processor before next.
func NewLate(next sdktrace.SpanProcessor, slow time.Duration) *Late {
	return &Late{next: next, slow: slow, open: map[trace.SpanID]*piece{}}
}

// OnStart notes which piece a span is of.
func (l *Late) OnStart(ctx context.Context, s sdktrace.ReadWriteSpan) {
	l.next.OnStart(ctx, s)
	if s.SpanContext().IsSampled() {
		return
	}
	id, above := s.SpanContext().SpanID(), s.Parent()
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.open[above.SpanID()]; p != nil && !above.IsRemote() {
		l.open[id] = p
		return
	}
	if l.n < maxOpen {
		l.n++
		l.open[id] = &piece{root: id}
	}
}

// OnEnd keeps a piece until its outermost span ends, and then hands it on or drops it.
func (l *Late) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		l.next.OnEnd(s)
		return
	}
	for _, kept := range l.end(s) {
		l.next.OnEnd(kept)
	}
}

func (l *Late) end(s sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	bad := s.Status().Code == codes.Error || s.EndTime().Sub(s.StartTime()) >= l.slow
	id := s.SpanContext().SpanID()
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.open[id]
	if p == nil {
		return nil
	}
	delete(l.open, id)
	p.keep = p.keep || bad
	if len(p.spans) < maxSpans || id == p.root {
		p.spans = append(p.spans, chosen{s})
	}
	if id != p.root {
		return nil
	}
	l.n--
	if !p.keep {
		return nil
	}
	return p.spans
}

// Shutdown ends the processor behind.
func (l *Late) Shutdown(ctx context.Context) error { return l.next.Shutdown(ctx) }

// ForceFlush sends what is to be sent.
func (l *Late) ForceFlush(ctx context.Context) error { return l.next.ForceFlush(ctx) }

// chosen is a span that was sampled late: exporters take it for one that always was.
type chosen struct{ sdktrace.ReadOnlySpan }

func (c chosen) SpanContext() trace.SpanContext {
	sc := c.ReadOnlySpan.SpanContext()
	return sc.WithTraceFlags(sc.TraceFlags().WithSampled(true))
}
