// Package collector is the public side: it takes events in from pages, images
// and servers, and hands out the tag.
//
// What it promises: a 202 is sent only after every accepted event is durable in
// its queue. Nothing is stored of a visitor whose consent does not allow it but
// a count. Personal data in plain text lives no longer than the request. A bad
// event does not spoil those sent with it, and whoever sent it is told what is
// wrong. However much is sent, memory stays bounded: what does not fit is
// answered 503, and nothing is pretended.
//
// collect.go, gif.go and segment.go are doors to the same room, accept.go.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/edge"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/pressure"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/ratelimit"
	"github.com/miq/pixel/modules/sampling"
	"github.com/miq/pixel/modules/schema"
	"github.com/miq/pixel/modules/settings"
)

// pixels finds a pixel's settings; *settings.Store does.
type pixels interface {
	Pixel(id string) (settings.Pixel, bool)
}

// Options are what a collector needs.
type Options struct {
	Config config.Collector
	// VendorID is who we are in the IAB's list, for the tag.
	VendorID int
	Pixels   pixels
	Queue    queue.Pusher
	Consent  *consent.Decider
	Book     *consent.Book
	// Salt is secret to a pixel: it hides order ids where consent is partial, and
	// cross-domain tokens are made with it; nil: ids are dropped, and there are none.
	Salt    func(pixelID string) []byte
	Tag     Tag
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: nothing is counted
	Tracer  trace.Tracer          // nil: nothing is traced
	// Traced is the share of requests whose trace the tag begins, and Outside takes those up;
	// nil: nobody begins one but us.
	Traced  float64
	Outside *sampling.Outside
	Checks  []health.Check
	Leaving *health.Leaving // nil: never
	// Pressure says which priorities may come in now; nil: all.
	Pressure *pressure.Gauge
	// Rate bounds what one pixel and one address send; nil: nothing does.
	Rate *ratelimit.Doors
}

// The collector's own bounds.
const (
	// groupItems is the most items of one durable write.
	groupItems = 1024
	// retryAfter is what a client is asked to wait when there is no room.
	retryAfter = 2 * time.Second
	// refusalRate and refusalBurst bound what anybody who knows a pixel's id can
	// write into the validation dead letters.
	refusalRate, refusalBurst = 100, 2000
)

// Collector is the public server.
type Collector struct {
	cfg       config.Collector
	vendorID  int
	pixels    pixels
	group     *queue.Group
	consent   *consent.Decider
	book      *consent.Book
	salt      func(string) []byte
	log       *slog.Logger
	metrics   *metrics
	priority  map[string]event.Priority
	proxies   []netip.Prefix
	edgeKeys  edge.Keys
	room      room
	refusals  *rate.Limiter
	bodies    sync.Pool // of *[]byte
	intakes   sync.Pool // of *intake
	batches   sync.Pool // of *batch
	unpackers sync.Pool // of *unpacker
	pressure  *pressure.Gauge
	rate      *ratelimit.Doors
	schemas   *schema.Checker
	told      rate.Sometimes // that events cannot be stored
	tracer    trace.Tracer
	traced    float64

	echo   *echo.Echo
	server *httpserver.Server
}

// New returns a collector that does not listen yet.
func New(o Options) (*Collector, error) {
	proxies, err := httpserver.ParseProxies(o.Config.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("collector.trusted_proxies: %w", err)
	}
	edgeKeys, err := edge.ParseKeys(o.Config.EdgeKeys)
	if err != nil {
		return nil, fmt.Errorf("collector.edge_keys: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Salt == nil {
		o.Salt = func(string) []byte { return nil }
	}
	c := &Collector{
		cfg: o.Config, vendorID: o.VendorID,
		pixels: o.Pixels, consent: o.Consent, book: o.Book, salt: o.Salt,
		log: o.Log, proxies: proxies, edgeKeys: edgeKeys,
		priority: priorities(o.Config.Priorities),
		group:    queue.NewGroup(o.Queue, groupItems),
		refusals: rate.NewLimiter(refusalRate, refusalBurst), told: rate.Sometimes{Interval: time.Second},
		pressure: o.Pressure, rate: o.Rate, tracer: o.Tracer, traced: o.Traced,
	}
	if c.schemas, err = schema.New(); err != nil {
		return nil, err
	}
	c.group.MaxWaiting = o.Config.MaxWaiting
	c.group.Timeout = pushTimeout
	c.room.limit = o.Config.MaxWaiting
	c.metrics = newMetrics(o.Metrics, &c.room)
	c.group.Committed = c.metrics.committed
	c.echo = httpserver.New(httpserver.Options{
		Name: "collector", Log: o.Log, Checks: o.Checks, Leaving: o.Leaving, TrustedProxies: proxies,
		Tracer: o.Tracer, Outside: o.Outside, Metrics: o.Metrics,
		// Bodies are bounded where they are read, so that a refusal can name the
		// pixel; this is the bound for what no handler reads.
		MaxBody: politeBody,
	})
	c.routes(newAssets(o.Tag))
	c.server = httpserver.NewServer(c.echo, "collector.addr", o.Config.Addr, o.Log).Calm()
	return c, nil
}

func (c *Collector) routes(tag *assets) {
	e := c.echo
	for path, handler := range map[string]echo.HandlerFunc{"/collect": c.collect, "/consent": c.changeConsent, "/crossing": c.makeCrossing} {
		e.POST(path, c.behindEdge(c.paced(handler)))
		e.OPTIONS(path, preflight("POST"))
	}
	e.GET("/pixel.gif", c.behindEdge(c.gif))
	c.segmentRoutes(e)
	e.GET("/config/:file", c.config)
	e.HEAD("/config/:file", c.config)
	for path, handler := range tag.handlers() {
		e.GET(path, handler)
		e.HEAD(path, handler)
		e.OPTIONS(path, preflightPublic)
	}
	e.OPTIONS("/config/:file", preflightPublic)
	e.OPTIONS("/pixel.gif", preflightPublic)
}

func priorities(p config.Priorities) map[string]event.Priority {
	m := make(map[string]event.Priority, len(p.High)+len(p.Low))
	for _, name := range p.Low {
		m[name] = event.Low
	}
	for _, name := range p.High {
		m[name] = event.High
	}
	return m
}

// Start listens; a port that is taken is an error here.
func (c *Collector) Start(ctx context.Context) error {
	if err := c.server.Start(ctx); err != nil {
		return err
	}
	c.log.Info("collector listens", "addr", c.server.Addr())
	return nil
}

// Addr is the address bound.
func (c *Collector) Addr() string { return c.server.Addr() }

// Stop takes no more requests, answers those that run and waits until what they
// brought is durable.
func (c *Collector) Stop(ctx context.Context) error {
	return errors.Join(c.server.Stop(ctx), c.group.Close(ctx))
}
