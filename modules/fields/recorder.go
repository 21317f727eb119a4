package fields

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/state"
)

const (
	every   = 5 * time.Second // what has a new path is written
	leisure = time.Minute     // what has not
	// stopping is for how long a process that ends may write.
	stopping = 3 * time.Second
)

// Recorder gathers what one process sends, and writes it to where the others' is.
type Recorder struct {
	keys state.Keys
	log  *slog.Logger

	mu      sync.Mutex
	tallies map[string]*tally // by key
	saving  sync.Mutex
	unsaved map[string][]Field // could not be written yet

	stop context.CancelFunc
	done chan struct{}
}

// New returns a recorder that gathers; Start has it write.
func New(keys state.Keys, log *slog.Logger) *Recorder {
	return &Recorder{keys: keys, log: log, tallies: map[string]*tally{}, unsaved: map[string][]Field{}}
}

// Start begins to write every few seconds.
func (r *Recorder) Start() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.done = stop, make(chan struct{})
	go func() {
		defer close(r.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		healthy := true
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				err := r.save(ctx, now, false)
				if err != nil && healthy && ctx.Err() == nil {
					r.log.Warn("which fields were sent could not be written; it is kept here until it can", "error", err)
				}
				healthy = err == nil
			}
		}
	}()
}

// Stop writes what is left.
func (r *Recorder) Stop(ctx context.Context) {
	r.stop()
	<-r.done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopping)
	defer cancel()
	if err := r.save(ctx, time.Now(), true); err != nil {
		r.log.Warn("which fields were sent last could not be written", "error", err)
	}
}

// Sent takes note of a request to a partner. Nothing that goes wrong here is the
// delivery's: it has left.
func (r *Recorder) Sent(partner string, q Request) {
	defer func() {
		if recover() != nil {
			r.log.Error("the fields of a request could not be noted", "partner", partner)
		}
	}()
	read(q, func(pixel string, note func(*tally)) {
		t := r.tally(key(partner, pixel))
		t.mu.Lock()
		defer t.mu.Unlock()
		note(t)
	})
}

func (r *Recorder) tally(key string) *tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tallies[key]
	if t == nil {
		t = &tally{}
		r.tallies[key] = t
	}
	return t
}

// save adds what was gathered to what stands in the store, whoever else does so too.
func (r *Recorder) save(ctx context.Context, now time.Time, all bool) error {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.mu.Lock()
	for key, t := range r.tallies {
		if t.due(now, all) {
			r.unsaved[key] = merge(r.unsaved[key], t.empty(now))
		}
	}
	r.mu.Unlock()
	names := make([]string, 0, len(r.unsaved))
	for key := range r.unsaved {
		names = append(names, key)
	}
	slices.Sort(names)
	for list := range slices.Chunk(names, atOnce) {
		if err := r.add(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

// add merges until no other replica came in between.
func (r *Recorder) add(ctx context.Context, names []string) error {
	stands, err := r.keys.Get(ctx, names...)
	if err != nil {
		return fmt.Errorf("read which fields were sent: %w", err)
	}
	for try := 0; len(names) > 0; try++ {
		if try == 10 {
			return fmt.Errorf("write which fields were sent: %d are written by others all the time", len(names))
		}
		changes := make([]state.Change, len(names))
		for i, n := range names {
			body, err := json.Marshal(merge(decode(stands[i]), r.unsaved[n]))
			if err != nil {
				return fmt.Errorf("encode which fields were sent: %w", err)
			}
			changes[i] = state.Change{Old: stands[i], Entry: state.Entry{Key: n, Value: body, TTL: keep}}
		}
		after, err := r.keys.SwapAll(ctx, changes...)
		if err != nil {
			return fmt.Errorf("write which fields were sent: %w", err)
		}
		var again []string
		var stand [][]byte
		for i, n := range names {
			if bytes.Equal(after[i], changes[i].Value) {
				delete(r.unsaved, n)
				continue
			}
			again, stand = append(again, n), append(stand, after[i])
		}
		names, stands = again, stand
	}
	return nil
}
