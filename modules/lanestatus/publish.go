package lanestatus

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/state"
)

// Publisher writes one dispatcher's lanes every second.
type Publisher struct {
	keys     state.Keys
	instance string
	lanes    func() []Status
	log      *slog.Logger

	slot int    // the key that is ours; -1: none yet
	last []byte // what we wrote there

	stop context.CancelFunc
	done chan struct{}
}

// NewPublisher publishes what lanes returns under the name of an instance, which
// no other dispatcher has.
func NewPublisher(keys state.Keys, instance string, lanes func() []Status, log *slog.Logger) *Publisher {
	return &Publisher{keys: keys, instance: instance, lanes: lanes, log: log, slot: -1}
}

// Start begins; Stop ends, and takes the figures away.
func (p *Publisher) Start() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop, p.done = stop, make(chan struct{})
	go func() {
		defer close(p.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		healthy := true
		for {
			err := p.publish(ctx)
			if err != nil && healthy && ctx.Err() == nil {
				p.log.Warn("the lanes' figures could not be published", "error", err)
			}
			healthy = err == nil
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}

// Stop ends what Start began.
func (p *Publisher) Stop(ctx context.Context) {
	p.stop()
	<-p.done
	if p.slot >= 0 {
		// Left alone it expires within seconds; this is only sooner.
		_ = p.keys.Delete(ctx, key(p.slot))
	}
}

func (p *Publisher) publish(ctx context.Context) error {
	lanes := p.lanes()
	for i := range lanes {
		lanes[i].Instance = p.instance
	}
	body, err := json.Marshal(report{Instance: p.instance, At: time.Now().UTC(), Lanes: lanes})
	if err != nil {
		return err
	}
	if p.slot >= 0 {
		ok, err := p.keys.Swap(ctx, p.last, state.Entry{Key: key(p.slot), Value: body, TTL: ttl})
		if err != nil {
			return err
		}
		if ok {
			p.last = body
			return nil
		}
		// It expired while we were held up, and perhaps is another's now.
		p.slot = -1
	}
	return p.claim(ctx, body)
}

// claim looks for a free slot.
func (p *Publisher) claim(ctx context.Context, body []byte) error {
	names := make([]string, slots)
	for i := range names {
		names[i] = key(i)
	}
	values, err := p.keys.Get(ctx, names...)
	if err != nil {
		return err
	}
	for i, v := range values {
		if v != nil {
			continue
		}
		ok, err := p.keys.Swap(ctx, nil, state.Entry{Key: key(i), Value: body, TTL: ttl})
		if err != nil {
			return err
		}
		if ok {
			p.slot, p.last = i, body
			return nil
		}
	}
	return fmt.Errorf("more than %d dispatchers run", slots)
}
