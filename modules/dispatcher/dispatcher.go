// Package dispatcher sends deliveries to the partners. Each partner has a lane
// of its own, and each account there a seat with its own breaker, pace and bound of
// requests, so that one that is slow, throttled or dead delays no other. Retries
// live in the partner's queue and not in a loop: a crash loses nothing, and a
// delivery that waits holds nobody.
//
// Just before each attempt a lane asks again whether the partner and the route are
// on, whether the visitor still consents, whether the event is young enough, and whether it
// was sent before. What came of it is in the sync log before the queue forgets
// the message.
package dispatcher

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/fields"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// sites is what a lane needs of settings.Store.
type sites interface {
	Pixel(id string) (settings.Pixel, bool)
	Pixels() []settings.Pixel
	Partner(name string) settings.Partner
	Credentials(p settings.Partner, account string) (map[string]string, error)
}

// Deps is what a Dispatcher is built of.
type Deps struct {
	Config   config.Dispatcher
	Limits   config.Queue
	Partners map[string]config.Partner
	Queue    queue.Queue
	Inspect  queue.Inspector
	Keys     state.Keys
	Writer   analytics.Writer
	Settings sites
	Decider  *consent.Decider
	Vault    *delivery.Vault // nil: tokens are this process's own
	Adapters []partner.Adapter
	// Client makes a partner's HTTP client; nil: delivery.NewClient.
	Client  func(connections int) *http.Client
	Log     *slog.Logger
	Metrics *Metrics
	Tracer  trace.Tracer
}

// Dispatcher runs a lane for each adapter.
type Dispatcher struct {
	lanes     []*lane
	keys      state.Keys
	publisher *lanestatus.Publisher
	fields    *fields.Recorder // which of them go where
	log       *slog.Logger
	sharing   sync.WaitGroup
	stop      context.CancelFunc
}

// New returns a dispatcher that does nothing until Start.
func New(d Deps) *Dispatcher {
	x := &Dispatcher{keys: d.Keys, log: d.Log, fields: fields.New(d.Keys, d.Log)}
	for _, a := range d.Adapters {
		l := newLane(d, a)
		l.sender.Left = x.left(l.name)
		x.lanes = append(x.lanes, l)
	}
	x.publisher = lanestatus.NewPublisher(d.Keys, instance(), x.Status, d.Log)
	return x
}

// left takes note of the fields of what goes to a partner.
func (x *Dispatcher) left(partner string) func(delivery.Exchange, []event.Delivery) {
	return func(e delivery.Exchange, in []event.Delivery) {
		q := fields.Request{URL: e.URL, Type: e.RequestHeader.Get("Content-Type"), Body: e.RequestBody, At: e.At, Pixels: make([]string, len(in))}
		for i, d := range in {
			q.Pixels[i] = d.Event.PixelID
		}
		x.fields.Sent(partner, q)
	}
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
	x.fields.Start()
	ctx, stop := context.WithCancel(context.Background())
	x.stop = stop
	x.sharing.Go(func() { x.sharePaces(ctx) })
	return nil
}

// sharePaces agrees once a second with the other dispatchers how fast each partner
// may be asked.
func (x *Dispatcher) sharePaces(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	healthy := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := x.share(ctx)
		if err != nil && healthy && ctx.Err() == nil {
			x.log.Warn("the partners' paces could not be agreed upon with the other dispatchers; each keeps to its own", "error", err)
		}
		healthy = err == nil
	}
}

func (x *Dispatcher) share(ctx context.Context) error {
	all, err := lanestatus.Read(ctx, x.keys)
	if err != nil {
		return err
	}
	for _, l := range x.lanes {
		replicas := map[string]bool{}
		for _, s := range all {
			if s.Partner == l.name {
				replicas[s.Instance] = true
			}
		}
		for _, s := range l.allSeats() {
			if err := s.pace.share(ctx, x.keys, "pace:"+l.name+":"+s.account, len(replicas)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Stop pulls no more, hands back what was not begun, and waits for the requests
// that are under way. If ctx ends first they are cut short, and their events
// come back later.
func (x *Dispatcher) Stop(ctx context.Context) error {
	x.stop()
	x.sharing.Wait()
	var all sync.WaitGroup
	for _, l := range x.lanes {
		all.Go(func() { l.stop(ctx) })
	}
	all.Wait()
	x.fields.Stop(ctx)
	x.publisher.Stop(ctx)
	return ctx.Err()
}

// Status is how each seat of this process fares.
func (x *Dispatcher) Status() []lanestatus.Status {
	var out []lanestatus.Status
	for _, l := range x.lanes {
		for _, s := range l.allSeats() {
			out = append(out, s.status(time.Now()))
		}
	}
	return out
}
