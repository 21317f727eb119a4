package worker

import (
	"errors"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

// A process that was stopped for longer than its lease comes back while another
// holds its messages: it must not hand them back in the other's stead.
func TestWhatIsAnothersByNowIsNotHandedBack(t *testing.T) {
	for what, back := range map[string]func(*Worker, *pulled){
		"released": func(w *Worker, p *pulled) { w.release(p.queue, p.messages, p.at) },
		"put off": func(w *Worker, p *pulled) {
			w.poison(p, p.messages[0], &failure{step: "route", err: errors.New("no")})
		},
		"buried": func(w *Worker, p *pulled) {
			p.messages[0].Deliveries = w.limits.MaxDeliveries
			w.poison(p, p.messages[0], &failure{step: "route", err: errors.New("no")})
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			x := setup(t)
			w := x.make()
			w.pulling, w.running = t.Context(), t.Context()
			x.push(purchase("1"))
			name := queue.Ingest(event.High)
			p := &pulled{queue: name, at: time.Now()}
			var err error
			if p.messages, err = x.queue.Pull(t.Context(), name, 1); err != nil || len(p.messages) != 1 {
				t.Fatalf("pulled %d, error %v", len(p.messages), err)
			}
			x.until("another holds it", func() bool {
				other, err := x.queue.Pull(t.Context(), name, 1)
				return err == nil && len(other) == 1
			})
			back(w, p)
			if s := x.stats()[name]; s.InFlight != 1 || s.Ready+s.Delayed != 0 {
				t.Errorf("the other has lost it: %+v", s)
			}
		})
	}
}
