package httpserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/miq/pixel/modules/exemplar"
	"github.com/miq/pixel/modules/sampling"
)

// politeness is how much of a refused body is read and thrown away. A client
// that is still writing when the connection closes sees a reset instead of the
// answer.
const politeness = 8 << 20

// around is what happens around every request, as one middleware: recover,
// bound the body, trace, count.
func around(o Options) echo.MiddlewareFunc {
	m := newMetrics(o.Metrics, o.Name)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			start := time.Now()
			span := traced(c, o.Tracer, o.Outside)
			if o.Leaving.Begun() {
				// A connection that is kept would be cut while its next request is on its way.
				c.Response().Header().Set("Connection", "close")
			}
			err := bounded(c, next, o.MaxBody)
			_, status := echo.ResolveResponseStatus(c.Response(), err)
			switch {
			case over(err):
				status = http.StatusRequestEntityTooLarge
			case Away(err) != nil:
				status = http.StatusServiceUnavailable
			}
			if span.IsRecording() {
				span.SetAttributes(attribute.Int("http.response.status_code", status))
				if status >= 500 {
					span.SetStatus(codes.Error, http.StatusText(status))
				}
			}
			span.End()
			m.count(c, status, time.Since(start), span.SpanContext())
			return err
		}
	}
}

// bounded runs the handler with a body that ends in a http.MaxBytesError, and
// with a panic turned into an error.
func bounded(c *echo.Context, next echo.HandlerFunc, limit int64) (err error) {
	r := c.Request()
	raw := r.Body
	if raw != nil && raw != http.NoBody {
		if r.ContentLength > limit {
			discard(raw)
			return tooLarge()
		}
		if r.ContentLength < 0 { // else it ends by itself
			r.Body = http.MaxBytesReader(c.Response(), raw, limit)
		}
		defer func() {
			if over(err) || err != nil && echo.StatusCode(err) == http.StatusRequestEntityTooLarge {
				if c.Response().Header().Get("Connection") != "close" { // else who sent it is owed no such politeness
					discard(raw)
				}
			}
		}()
	}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		stack := make([]byte, 8<<10)
		stack = stack[:runtime.Stack(stack, false)]
		cause, ok := p.(error)
		if !ok {
			cause = fmt.Errorf("%v", p)
		}
		// A panic is our fault whatever it carries, so the cause stays unwrapped.
		err = &middleware.PanicStackError{Stack: stack, Err: errors.New("panic: " + cause.Error())}
	}()
	return next(c)
}

// over reports whether an error says that a body was larger than may be.
func over(err error) bool {
	if err == nil {
		return false
	}
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

func discard(r io.Reader) { _, _ = io.CopyN(io.Discard, r, politeness) }

// traced starts a span, in the trace that the caller began if that may be.
func traced(c *echo.Context, tracer trace.Tracer, outside *sampling.Outside) trace.Span {
	if _, off := tracer.(noop.Tracer); off {
		return noop.Span{} // its Start is not free
	}
	r := c.Request()
	ctx, span := tracer.Start(outside.Above(r), r.Method+" "+c.Path(), trace.WithSpanKind(trace.SpanKindServer))
	if span.SpanContext().IsValid() {
		if span.IsRecording() {
			span.SetAttributes(attribute.String("http.request.method", r.Method), attribute.String("http.route", c.Path()))
		}
		c.SetRequest(r.WithContext(ctx))
	}
	return span
}

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	server   string
	known    sync.Map // of kind to *series: to find them by their labels costs more
}

// kind is what is counted together. There are few: routes are those of ours.
type kind struct {
	route  string
	status int
}

type series struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// newMetrics registers what servers count; several servers of one process share
// the two families.
func newMetrics(reg prometheus.Registerer, server string) *metrics {
	m := &metrics{server: server}
	m.requests = register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pixel_http_requests_total", Help: "Requests answered, by server, route and status.",
	}, []string{"server", "route", "status"}))
	m.seconds = register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pixel_http_request_seconds", Help: "Time from a request's header to the end of its handler.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
	}, []string{"server", "route"}))
	return m
}

func register[T prometheus.Collector](reg prometheus.Registerer, c T) T {
	if reg == nil {
		return c
	}
	if err := reg.Register(c); err != nil {
		if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
			return there.ExistingCollector.(T)
		}
		panic(err) // two families of one name: a bug
	}
	return c
}

func (m *metrics) count(c *echo.Context, status int, took time.Duration, span trace.SpanContext) {
	route := c.Path()
	if route == "" {
		route = "none" // whatever a scanner asks for must not make a new series
	}
	if status < 0 || status > 599 {
		status = 0
	}
	k := kind{route, status}
	found, ok := m.known.Load(k)
	if !ok {
		found, _ = m.known.LoadOrStore(k, &series{
			m.requests.WithLabelValues(m.server, route, strconv.Itoa(status)), m.seconds.WithLabelValues(m.server, route),
		})
	}
	s := found.(*series)
	s.requests.Inc()
	exemplar.At(span, s.seconds, took.Seconds())
}
