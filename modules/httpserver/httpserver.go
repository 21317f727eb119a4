// Package httpserver is one echo server on one address, with what every server
// of ours needs done once: errors become application/problem+json in a single
// place, panics become a 500, bodies and headers are bounded, health is
// answered, requests are counted and traced, and a stop drains.
package httpserver

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/sampling"
)

// DefaultMaxBody bounds a request's body unless Options say otherwise.
const DefaultMaxBody = 1 << 20

// Options are what one server needs.
type Options struct {
	// Name tells the servers of a process apart in logs, metrics and traces:
	// "collector", "admin", "ops".
	Name string
	Log  *slog.Logger
	// Checks decide /readyz.
	Checks []health.Check
	// Leaving makes /readyz say so, and asks connections to end; nil: never.
	Leaving *health.Leaving
	// Detailed puts the checks' errors into the answer of /readyz. They may name
	// addresses, so only for a port that the public cannot reach.
	Detailed bool
	// TrustedProxies are networks whose X-Forwarded-For is believed. Without
	// any, the client is whoever is at the other end of the connection.
	TrustedProxies []netip.Prefix
	// Tracer makes a span of each request; nil: none.
	Tracer trace.Tracer
	// Outside takes up the traces that callers began; nil: none.
	Outside *sampling.Outside
	// Metrics counts requests; nil: not counted.
	Metrics prometheus.Registerer
	// MaxBody bounds a request's body as it was sent, in bytes; 0: DefaultMaxBody.
	MaxBody int64
}

// New returns an echo instance with everything but routes.
func New(o Options) *echo.Echo {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer(o.Name)
	}
	e := echo.NewWithConfig(echo.Config{
		Logger:           o.Log,
		HTTPErrorHandler: answerError(o.Log, o.Name),
		JSONSerializer:   serializer{},
		IPExtractor:      extractor(o.TrustedProxies),
	})
	e.Use(around(o))
	h := newHealth(o)
	e.GET("/healthz", h.alive)
	e.GET("/readyz", h.ready)
	return e
}

// ParseProxies reads networks ("10.0.0.0/8") and single addresses.
func ParseProxies(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		if !strings.Contains(s, "/") {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", s)
			}
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func extractor(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range trusted {
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP:   p.Addr().AsSlice(),
			Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// serializer makes c.JSON and c.Bind use the same JSON as the rest of us.
type serializer struct{}

func (serializer) Serialize(c *echo.Context, v any, indent string) error {
	var opts []json.Options
	if indent != "" {
		opts = append(opts, jsontext.WithIndent(indent))
	}
	b, err := json.Marshal(v, opts...)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	_, err = c.Response().Write(b)
	return err
}

func (serializer) Deserialize(c *echo.Context, v any) error {
	if err := json.UnmarshalRead(c.Request().Body, v); err != nil {
		return BadJSON(err)
	}
	return nil
}

// The timeouts of a server. A handler that streams lifts the last one from its
// own answer: http.NewResponseController(w).SetWriteDeadline(time.Time{}).
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	// maxHeader leaves room for two consent strings of 16 KiB in an address.
	maxHeader = 64 << 10
)

func server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// These lines carry clients' addresses and tell of broken clients only.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
