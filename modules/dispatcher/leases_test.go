package dispatcher

import (
	"context"

	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/state"
)

// A pull that makes many requests of a slow partner must not still be sending
// when its lease ends, or else the last ones go out twice.
func TestABatchThatWaitedForASlotIsNotSentTwice(t *testing.T) {
	w := setup(t)
	w.server.set(func(http.ResponseWriter, *http.Request, []string) bool {
		<-time.After(600 * time.Millisecond)
		return true
	})
	var list []event.Delivery
	var ids []string
	for i := range 7 {
		id := fmt.Sprint(i)
		ids = append(ids, id)
		// Each in a group of its own.
		list = append(list, purchase(id, func(d *event.Delivery) { d.Params = jsontext.Value(id) }))
	}
	w.push(list...)
	w.start()
	w.done()
	// What was begun twice may still be under way.
	if err := w.x.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.once(ids...)
}

// The sync log is away at a message's last delivery: a copy must go on, since the
// queue would bury the message itself.
func TestTheSyncLogIsAwayAtTheLastDelivery(t *testing.T) {
	w := setup(t)
	w.push(purchase("1"))
	name := queue.Partner("acme")
	for range w.deps.Limits.MaxDeliveries - 1 {
		m, err := w.queue.Pull(t.Context(), name, 1)
		if err != nil || len(m) != 1 {
			t.Fatalf("pulled %d, error %v", len(m), err)
		}
		if err := w.queue.Retry(t.Context(), name, time.Now(), m[0].ID); err != nil {
			t.Fatal(err)
		}
	}
	w.syncs.fail(errors.New("disk full"))
	w.start()
	w.until("the record", func() bool {
		v, err := w.keys.Get(t.Context(), "sent:acme:px:1")
		return err == nil && v[0] != nil && jsontext.Value(v[0]).IsValid() && len(w.server.got()) == 1
	})
	<-time.After(2 * time.Second) // until the attempts to write the line are over
	w.syncs.fail(nil)
	w.done()
	if got := w.syncs.story("1"); got != "1:accepted/logged_late" {
		t.Errorf("story %s", got)
	}
	if dead := w.dead(); len(dead) != 0 {
		t.Errorf("buried %+v", dead)
	}
	w.once("1")
}

// State and queue are away together, as they are when they share a Redis, just
// after the partner took the event.
func TestTheStoresAreAwayAfterTheSend(t *testing.T) {
	w := setup(t)
	var away atomic.Bool
	broken := &awayQueue{Queue: w.queue, away: &away}
	w.deps.Queue = broken
	w.deps.Keys = awayKeys{w.keys, &away}
	w.server.set(func(http.ResponseWriter, *http.Request, []string) bool {
		away.Store(true)
		return true
	})
	w.push(purchase("1"))
	w.start()
	w.until("the ack", func() bool { return broken.tried.Load() > 0 })
	away.Store(false)
	w.done()
	w.once("1")
}

var errAway = errors.New("connection refused")

type awayQueue struct {
	queue.Queue
	away  *atomic.Bool
	tried atomic.Int32
}

func (q *awayQueue) Settle(ctx context.Context, name string, ends ...queue.End) error {
	if q.away.Load() {
		q.tried.Add(1)
		return errAway
	}
	return q.Queue.Settle(ctx, name, ends...)
}

type awayKeys struct {
	state.Keys
	away *atomic.Bool
}

func (k awayKeys) Set(ctx context.Context, entries ...state.Entry) error {
	if k.away.Load() {
		return errAway
	}
	return k.Keys.Set(ctx, entries...)
}
