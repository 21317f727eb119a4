package dispatcher

import (
	"context"
	"sync"

	"github.com/miq/pixel/modules/state"
)

// maxOwed bounds what a lane remembers in place of the store.
const maxOwed = 20_000

// owed are records of what must not be sent again, which the store did not take.
// While it is away the queue may be too, and then the messages come back: to this
// process first of all, as a partner's answer to it was the last that was heard.
type owed struct {
	mu      sync.Mutex
	records map[string]record // by the store's key
}

func (o *owed) keep(records map[string]record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.records == nil {
		o.records = map[string]record{}
	}
	for key, r := range records {
		if len(o.records) < maxOwed {
			o.records[key] = r
		}
	}
}

func (o *owed) find(key string) (record, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.records[key]
	return r, ok
}

// paid forgets what the store has now.
func (o *owed) paid(entries []state.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range entries {
		delete(o.records, e.Key)
	}
}

// remember writes records, and tries again for a moment if it must.
func (l *lane) remember(ctx context.Context, entries []state.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	err := insist(ctx, func() error { return l.keys.Set(ctx, entries...) })
	if err == nil {
		l.owed.paid(entries)
	}
	return err
}
