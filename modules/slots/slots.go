// Package slots lets processes tell the others how they are, through the shared
// state: each writes a small report under a key that expires once it falls silent.
// The state cannot list keys, so they have numbers, and a process takes a free one.
package slots

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/state"
)

const (
	count = 128 // how many processes can be seen at once
	ttl   = 10 * time.Second
	every = time.Second
)

func names(prefix string) []string {
	out := make([]string, count)
	for i := range out {
		out[i] = prefix + strconv.Itoa(i)
	}
	return out
}

// Read returns the reports that stand under a prefix.
func Read(ctx context.Context, keys state.Keys, prefix string) ([][]byte, error) {
	values, err := keys.Get(ctx, names(prefix)...)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, v := range values {
		if v != nil {
			out = append(out, v)
		}
	}
	return out, nil
}

// Publisher writes one process's report every second.
type Publisher struct {
	keys   state.Keys
	prefix string
	report func() ([]byte, error)
	log    *slog.Logger

	slot int    // the key that is ours; -1: none yet
	last []byte // what we wrote there

	stop context.CancelFunc
	done chan struct{}
}

// New publishes what report returns under a prefix.
func New(keys state.Keys, prefix string, report func() ([]byte, error), log *slog.Logger) *Publisher {
	return &Publisher{keys: keys, prefix: prefix, report: report, log: log, slot: -1}
}

// Start begins; Stop ends, and takes the report away.
func (p *Publisher) Start() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop, p.done = stop, make(chan struct{})
	go func() {
		defer close(p.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		healthy := true
		for {
			err := p.Publish(ctx)
			if err != nil && healthy && ctx.Err() == nil {
				p.log.Warn("what this process does could not be told to the others", "what", p.prefix, "error", err)
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
		_ = p.keys.Delete(ctx, p.prefix+strconv.Itoa(p.slot))
	}
}

// Publish writes the report once.
func (p *Publisher) Publish(ctx context.Context) error {
	body, err := p.report()
	if err != nil {
		return err
	}
	if p.slot >= 0 {
		ok, err := p.keys.Swap(ctx, p.last, state.Entry{Key: p.prefix + strconv.Itoa(p.slot), Value: body, TTL: ttl})
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
	all := names(p.prefix)
	values, err := p.keys.Get(ctx, all...)
	if err != nil {
		return err
	}
	for i, v := range values {
		if v != nil {
			continue
		}
		ok, err := p.keys.Swap(ctx, nil, state.Entry{Key: all[i], Value: body, TTL: ttl})
		if err != nil {
			return err
		}
		if ok {
			p.slot, p.last = i, body
			return nil
		}
	}
	return fmt.Errorf("more than %d processes run", count)
}
