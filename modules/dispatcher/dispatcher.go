// Package dispatcher sends deliveries to the partners. Each partner has a lane
// of its own, with its own connections, breaker and pace, so that one that is
// slow or dead delays no other. Retries live in the partner's queue and not in a
// loop: a crash loses nothing, and a delivery that waits holds nobody.
//
// Just before each attempt a lane asks again whether the partner is on, whether
// the visitor still consents, whether the event is young enough, and whether it
// was sent before. What came of it is in the sync log before the queue forgets
// the message.
package dispatcher

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// sites is what a lane needs of settings.Store.
type sites interface {
	Pixel(id string) (settings.Pixel, bool)
	Partner(name string) settings.Partner
	Credentials(settings.Partner) (map[string]string, error)
}

// Deps is what a Dispatcher is built of.
type Deps struct {
	Config   config.Dispatcher
	Limits   config.Queue
	Partners map[string]config.Partner
	Queue    queue.Queue
	Keys     state.Keys
	Writer   analytics.Writer
	Settings sites
	Decider  *consent.Decider
	Vault    *delivery.Vault // nil: tokens are this process's own
	Adapters []partner.Adapter
	Log      *slog.Logger
	Metrics  *Metrics
	Tracer   trace.Tracer
}

// Dispatcher runs a lane for each adapter.
type Dispatcher struct {
	lanes     []*lane
	publisher *lanestatus.Publisher
}

// New returns a dispatcher that does nothing until Start.
func New(d Deps) *Dispatcher {
	x := &Dispatcher{}
	for _, a := range d.Adapters {
		x.lanes = append(x.lanes, newLane(d, a))
	}
	x.publisher = lanestatus.NewPublisher(d.Keys, instance(), x.Status, d.Log)
	return x
}

// instance names this process among the dispatchers.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "dispatcher"
	}
	var b [4]byte
	rand.Read(b[:])
	return host + "-" + hex.EncodeToString(b[:])
}

// Start starts the lanes.
func (x *Dispatcher) Start(context.Context) error {
	for _, l := range x.lanes {
		l.start()
	}
	x.publisher.Start()
	return nil
}

// Stop pulls no more, hands back what was not begun, and waits for the requests
// that are under way. If ctx ends first they are cut short, and their events
// come back later.
func (x *Dispatcher) Stop(ctx context.Context) error {
	var all sync.WaitGroup
	for _, l := range x.lanes {
		all.Go(func() { l.stop(ctx) })
	}
	all.Wait()
	x.publisher.Stop(ctx)
	return ctx.Err()
}

// Status is how each lane of this process fares.
func (x *Dispatcher) Status() []lanestatus.Status {
	out := make([]lanestatus.Status, len(x.lanes))
	for i, l := range x.lanes {
		out[i] = l.status(time.Now())
	}
	return out
}
