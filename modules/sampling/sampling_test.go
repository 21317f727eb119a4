package sampling_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/miq/pixel/modules/sampling"
)

// receiver is what spans are sent to: OTLP over HTTP, as any Collector takes it.
type receiver struct {
	mu   sync.Mutex
	got  map[string]string // span's name → trace id
	bad  []error
	flag map[string]uint32
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var x collect.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &x)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.bad = append(r.bad, err)
	}
	for _, resource := range x.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				r.got[s.Name] = string(s.TraceId)
				r.flag[s.Name] = s.Flags
			}
		}
	}
}

// sends runs do with a provider that samples a share, and returns which spans arrived at a
// real receiver.
func sends(t *testing.T, share float64, late bool, slow time.Duration, do func(trace.Tracer)) (*receiver, []string) {
	t.Helper()
	r := &receiver{got: map[string]string{}, flag: map[string]uint32{}}
	server := httptest.NewServer(r)
	defer server.Close()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL+"/v1/traces"))
	require.NoError(t, err)
	p := sdktrace.NewBatchSpanProcessor(exporter)
	if late {
		p = sampling.NewLate(p, slow)
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p), sdktrace.WithSampler(sampling.Sampler(share, late)))
	do(tp.Tracer("test"))
	require.NoError(t, tp.Shutdown(context.Background()))
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(t, r.bad)
	var names []string
	for name := range r.got {
		names = append(names, name)
	}
	slices.Sort(names)
	return r, names
}

func at(s int) trace.SpanEventOption { return trace.WithTimestamp(time.Unix(int64(s), 0)) }

// request makes a piece: a span and one inside it that takes so many seconds and fails or not.
func request(tr trace.Tracer, name string, seconds int, fails bool) {
	ctx, outer := tr.Start(context.Background(), name, at(100))
	_, inner := tr.Start(ctx, name+" inside", at(100))
	if fails {
		inner.SetStatus(codes.Error, "it failed")
	}
	inner.End(at(100 + seconds))
	outer.End(at(100 + seconds))
}

func TestWhatFailedOrWasSlowIsKeptWhateverTheShare(t *testing.T) {
	r, names := sends(t, 0, true, 3*time.Second, func(tr trace.Tracer) {
		request(tr, "usual", 1, false)
		request(tr, "slow", 5, false)
		request(tr, "failed", 1, true)
	})
	require.Equal(t, []string{"failed", "failed inside", "slow", "slow inside"}, names)
	require.Equal(t, r.got["slow"], r.got["slow inside"], "one trace")
	require.EqualValues(t, 1, r.flag["slow"]&1, "whoever receives it sees it as sampled")
}

func TestAShareIsKeptAsAWhole(t *testing.T) {
	_, names := sends(t, 1, true, 3*time.Second, func(tr trace.Tracer) { request(tr, "usual", 1, false) })
	require.Equal(t, []string{"usual", "usual inside"}, names)
}

func TestWithoutLateTheShareAloneIsKept(t *testing.T) {
	_, names := sends(t, 0, false, 0, func(tr trace.Tracer) { request(tr, "failed", 9, true) })
	require.Empty(t, names)
}

// What another process began and did not sample goes on here, and is kept where it fails.
func TestAPieceOfAnothersTraceIsKeptUnderItsId(t *testing.T) {
	above := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, Remote: true})
	r, names := sends(t, 0, true, 3*time.Second, func(tr trace.Tracer) {
		for name, code := range map[string]codes.Code{"delivered": codes.Ok, "refused": codes.Error} {
			_, s := tr.Start(trace.ContextWithRemoteSpanContext(context.Background(), above), name, at(100))
			require.False(t, s.SpanContext().IsSampled(), "who comes after sees what was decided at first")
			s.SetStatus(code, "")
			s.End(at(101))
		}
	})
	require.Equal(t, []string{"refused"}, names)
	id := above.TraceID()
	require.Equal(t, string(id[:]), r.got["refused"])
}

// Spans that never end must not fill the memory.
func TestWhatNeverEndsIsBounded(t *testing.T) {
	_, names := sends(t, 0, true, time.Hour, func(tr trace.Tracer) {
		for range 10_000 {
			tr.Start(context.Background(), "endless")
		}
		request(tr, "failed", 1, true) // beyond the bound: lost, as without it
	})
	require.Empty(t, names)
}
