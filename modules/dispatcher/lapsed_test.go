package dispatcher

import (
	"context"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/state"
)

// resting is a lane that pulls nothing by itself.
func (w *world) resting() *lane {
	l := newLane(w.deps, w.deps.Adapters[0])
	l.pulling, l.running = w.t.Context(), w.t.Context()
	return l
}

// pulled is the one message that waits, as a batch.
func (w *world) pulled(l *lane) *batch {
	w.t.Helper()
	at := time.Now()
	messages, err := l.gather(1)
	if err != nil || len(messages) != 1 {
		w.t.Fatalf("pulled %d, error %v", len(messages), err)
	}
	return l.sort(messages, at)[0]
}

// stopped pulls what waits as one batch, and is away until another has pulled it.
func (w *world) stopped(l *lane) *batch {
	w.t.Helper()
	b := w.pulled(l)
	w.until("another holds it", func() bool {
		other, err := w.queue.Pull(w.t.Context(), queue.Partner(l.name), 1)
		return err == nil && len(other) == 1 && other[0].ID == b.jobs[0].message.ID
	})
	return b
}

// nobody fails where the message can be pulled a third time.
func (w *world) nobody(l *lane) {
	w.t.Helper()
	third, err := w.queue.Pull(w.t.Context(), queue.Partner(l.name), 1)
	if err != nil || len(third) != 0 {
		w.t.Errorf("a third holder got it, error %v", err)
	}
}

// A process that was stopped for longer than its lease comes back while another
// holds its messages: it must not hand them back in the other's stead.
func TestWhatIsAnothersByNowIsNotHandedBack(t *testing.T) {
	for what, back := range map[string]func(*lane, *batch){
		"released": func(l *lane, b *batch) { l.release(b) },
		"put off":  func(l *lane, b *batch) { l.putOff(b, time.Now()) },
		"put off by a copy": func(l *lane, b *batch) {
			b.jobs[0].message.Deliveries = l.limits.MaxDeliveries
			l.putOff(b, time.Now())
		},
		"untried": func(l *lane, b *batch) {
			a := &attempt{lane: l, seat: b.seat, pulled: b.pulled, keep: time.Hour, untried: b.jobs}
			a.settle()
		},
		"parked": func(l *lane, b *batch) {
			a := &attempt{lane: l, seat: b.seat, pulled: b.pulled, keep: time.Hour, parked: b.jobs}
			a.settle()
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			l := w.resting()
			w.push(purchase("1"))
			back(l, w.stopped(l))
			w.nobody(l)
			if n := w.stats()[queue.Partner(l.name)]; n.Ready+n.Delayed+n.InFlight != 1 {
				t.Errorf("it is there %d times", n.Ready+n.Delayed+n.InFlight)
			}
		})
	}
}

// The other has sent it meanwhile: the record says so, and goes on to.
func TestARecordThatAnotherWroteIsNotFreed(t *testing.T) {
	w := setup(t)
	l := w.resting()
	w.push(purchase("1"))
	b := w.stopped(l)
	j := b.jobs[0]
	sent, err := l.entry(j, record{State: done, Holder: j.message.ID, End: "delivered", Attempts: 1}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keys.Set(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	j.result = partner.Result{EventID: "1", Outcome: event.Retry, Code: "http_500"}
	a := &attempt{lane: l, seat: b.seat, pulled: b.pulled, keep: time.Hour, settled: b.jobs}
	a.settle()
	if r := l.recordOf(t, w.keys, j); r.State != done {
		t.Errorf("the record is %+v", r)
	}
	w.nobody(l)
}

// Whoever had stopped for too long hears late that it was taken, while another that
// holds the message by now decides that it is to be sent again.
func TestARecordThatSaysSentStaysSo(t *testing.T) {
	w := setup(t)
	l := w.resting()
	w.push(purchase("1"))
	b := w.pulled(l)
	j := b.jobs[0]
	if err := l.claim(t.Context(), b.jobs, b.pulled, time.Hour); err != nil {
		t.Fatal(err)
	}
	sent, err := l.entry(j, record{State: done, Holder: "first", End: "delivered", Attempts: 1}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keys.Set(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	j.result = partner.Result{EventID: "1", Outcome: event.Retry, Code: "http_500"}
	a := &attempt{lane: l, seat: b.seat, pulled: b.pulled, keep: time.Hour, settled: b.jobs}
	a.settle()
	if r := l.recordOf(t, w.keys, j); r.State != done || r.Holder != "first" {
		t.Errorf("the record is %+v", r)
	}
}

// unburied is a queue that buries nothing.
type unburied struct{ queue.Queue }

func (unburied) Bury(context.Context, string, string, ...string) error { return queue.ErrUnavailable }

// Of what nobody knows the outcome the record says so until it is among the dead
// letters: else it would come back, and be sent again.
func TestWhatIsUnknownAndCannotBeBuriedIsNotFree(t *testing.T) {
	for what, mend := range map[string]func(*lane, *world){
		"the queue takes nothing":    func(l *lane, _ *world) { l.queue = unburied{l.queue} },
		"the sync log takes nothing": func(_ *lane, w *world) { w.syncs.err = queue.ErrUnavailable },
	} {
		t.Run(what, func(t *testing.T) {
			w := setup(t, func(d *Deps) { d.Adapters = []partner.Adapter{newKeyless(false)} })
			w.server.set(silentAt())
			l := w.resting()
			mend(l, w)
			w.push(purchase("1"))
			b := w.pulled(l)
			l.send(b)
			if r := l.recordOf(t, w.keys, b.jobs[0]); r.State != held || !r.Sending {
				t.Errorf("the record is %+v", r)
			}
		})
	}
}

func (l *lane) recordOf(t *testing.T, keys state.Keys, j *job) (r record) {
	t.Helper()
	v, err := keys.Get(t.Context(), l.recordKey(j))
	if err != nil {
		t.Fatal(err)
	}
	if v[0] == nil {
		return record{}
	}
	if err := json.Unmarshal(v[0], &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// hanging is a sync log that neither takes lines nor fails.
type hanging struct{ *synclog }

func (hanging) WriteSyncs(ctx context.Context, _ ...event.Sync) error {
	<-ctx.Done()
	return ctx.Err()
}

// A sync log that hangs must not use up the time for the record, without which the
// conversion would be sent again.
func TestASyncLogThatHangsLeavesTimeForTheRecord(t *testing.T) {
	w := setup(t, func(d *Deps) { d.Writer = hanging{} })
	w.deps.Limits.Lease = time.Minute
	l := w.resting()
	w.push(purchase("1"))
	b := w.pulled(l)
	l.send(b)
	w.once("1")
	if r := l.recordOf(t, w.keys, b.jobs[0]); r.State != done || !r.Unlogged {
		t.Errorf("the record is %+v", r)
	}
	if n := w.stats()[queue.Partner(l.name)]; n.Delayed != 1 {
		t.Errorf("it does not come back for its line: %+v", n)
	}
}
