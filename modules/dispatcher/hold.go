package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
)

// What waits by a route that is on hold, or for a decision upon a field that was never
// sent before, lies in a queue of its own, so that it delays nothing else, and goes back
// to the partner's queue when it is released. What waits for a partner on hold stays
// where it is. Both are bounded: beyond dispatcher.hold_max the oldest is given up, with
// a line in the sync log.

const (
	// measure is how often the depth of what is on hold is read.
	measure = 5 * time.Second
	// sweepBatch is how many messages are moved at once.
	sweepBatch = 500
	// lookAgain is how often what waits is looked through though nothing was heard of a
	// release: whoever should have done it may have ended.
	lookAgain = 10 * time.Minute
)

// hold is what a lane knows of what waits.
type hold struct {
	mu       sync.Mutex
	measured time.Time
	depths   map[string]int

	// late is set where something may lie there that is released already.
	late atomic.Bool
}

// depth is how many messages are in a queue, as it was a moment ago.
func (l *lane) depth(now time.Time, name string) int {
	l.hold.mu.Lock()
	defer l.hold.mu.Unlock()
	if now.Sub(l.hold.measured) >= measure {
		l.hold.measured = now
		ctx, cancel := context.WithTimeout(l.running, measure)
		defer cancel()
		if stats, err := l.inspect.Stats(ctx); err == nil {
			l.hold.depths = map[string]int{}
			for _, s := range stats {
				l.hold.depths[s.Queue] = s.Ready + s.Delayed
			}
		}
	}
	return l.hold.depths[name]
}

// surplus is how many messages of a queue are to be given up now, at most a pull.
func (l *lane) surplus(now time.Time, name string) int {
	if l.config.HoldMax <= 0 {
		return 0
	}
	n := l.depth(now, name) - l.config.HoldMax
	if n <= 0 || l.flying.Load() > 0 {
		return 0
	}
	n = min(n, sweepBatch)
	l.hold.mu.Lock()
	l.hold.depths[name] -= n
	l.hold.mu.Unlock()
	return n
}

// park moves jobs to where they wait for their route.
func (a *attempt) park(v *verdict, now time.Time) {
	l := a.lane
	name := queue.Held(l.name)
	room := len(a.parked)
	if l.config.HoldMax > 0 {
		room = min(room, max(l.config.HoldMax-l.depth(now, name), 0))
	}
	for _, j := range a.parked[room:] {
		j.decide(event.NotSent, "hold_full", fmt.Sprintf("not sent: %d deliveries wait already by routes that are on hold or for a decision upon their fields", l.config.HoldMax))
		a.settled = append(a.settled, j)
	}
	v.park = a.parked[:room]
	l.hold.mu.Lock()
	if l.hold.depths != nil {
		l.hold.depths[name] += room
	}
	l.hold.mu.Unlock()
}

// watchHeld looks once a second whether something was released, and brings back what
// waited for it.
func (l *lane) watchHeld() {
	last, swept := "at the start everything is looked at", time.Time{}
	for l.pulling.Err() == nil {
		now := l.holds()
		late := l.hold.late.Swap(false)
		if now != last || late || time.Since(swept) > lookAgain && l.depth(time.Now(), queue.Held(l.name)) > 0 {
			if err := l.sweep(); err != nil {
				if l.pulling.Err() == nil {
					l.log.Warn("what is on hold could not be looked through", "error", err)
				}
				l.hold.late.Store(true)
			} else {
				last, swept = now, time.Now()
			}
		}
		l.sleep(time.Second)
	}
}

// released has what was parked just now looked through where it was released in the
// meantime: the decision to park it was made before its batch's requests.
func (l *lane) released(parked []queue.Item) {
	for _, item := range parked {
		if !l.stillHeld(item.Body) {
			l.hold.late.Store(true)
			return
		}
	}
}

// holds names what has deliveries to this partner wait: the routes that are on hold, and
// the pixels whose fields are decided upon.
func (l *lane) holds() string {
	var held []string
	for _, p := range l.settings.Pixels() {
		for _, r := range p.Routes {
			if r.Partner == l.name && r.Switch() == settings.Hold {
				held = append(held, p.ID+" "+r.Event)
			}
		}
		if !p.Fields.Open(l.name) {
			held = append(held, fmt.Sprintf("%s fields %d", p.ID, p.Revision))
		}
	}
	slices.Sort(held)
	return strings.Join(held, "\n")
}

// sweep goes through what waits once: what is still on hold goes to the back of its
// queue, the rest to the partner's. A crash in between leaves a message twice, which
// its record makes harmless.
func (l *lane) sweep() error {
	name := queue.Held(l.name)
	stats, err := l.inspect.Stats(l.pulling)
	if err != nil {
		return err
	}
	left := 0
	for _, s := range stats {
		if s.Queue == name {
			left = s.Ready + s.Delayed + s.InFlight
		}
	}
	for left > 0 && l.pulling.Err() == nil {
		messages, err := l.queue.Pull(l.pulling, name, sweepBatch)
		if err != nil {
			return err
		}
		if len(messages) == 0 {
			// Somebody holds the rest, who may have died.
			l.hold.late.Store(true)
			return nil
		}
		var items []queue.Item
		moved := ends{}
		for _, m := range messages {
			to := queue.Partner(l.name)
			if l.stillHeld(m.Body) {
				to = name
			}
			items = append(items, queue.Item{Queue: to, Body: m.Body, Account: m.Account})
			moved.add(ledger.Moved, m)
		}
		ctx, cancel := l.settling()
		err = l.queue.Push(ctx, items...)
		if err == nil {
			err = l.queue.Settle(ctx, name, moved.list()...)
		}
		cancel()
		if err != nil {
			return err
		}
		left -= len(messages)
	}
	return nil
}

func (l *lane) stillHeld(body []byte) bool {
	var d event.Delivery
	if json.Unmarshal(body, &d) != nil {
		return false
	}
	p, ok := l.settings.Pixel(d.Event.PixelID)
	if !ok {
		return false
	}
	if waiting(p, l.name, &d) {
		return true
	}
	route, known := routes.Find(p, l.name, d.Routed(), d.When)
	return known && route.Switch() == settings.Hold
}
