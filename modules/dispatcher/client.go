package dispatcher

import (
	"context"
	"errors"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
)

// client sends through a breaker. It does not retry: that is the queue's work.
// The timeout of each request lies in delivery, which the console uses too.
type client struct {
	sender  *delivery.Sender
	breaker circuitbreaker.CircuitBreaker[delivery.Exchange]
	through failsafe.Executor[delivery.Exchange]
}

// newClient makes a client whose breaker opens when so many of the last requests
// got no answer or a server's fault. The library's own default would open at the
// first.
func newClient(s *delivery.Sender, c config.Breaker, changed func(circuitbreaker.State)) *client {
	window := max(c.Window, c.Failures, 1)
	b := circuitbreaker.NewBuilder[delivery.Exchange]().
		WithFailureThresholdRatio(uint(max(c.Failures, 1)), uint(window)).
		WithSuccessThreshold(1).
		WithDelay(c.Delay).
		WithJitterFactor(0.1).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) { changed(e.NewState) }).
		Build()
	return &client{sender: s, breaker: b, through: failsafe.With(b)}
}

// send makes one request. False: nothing left the house, since the breaker is
// open or the lane stops.
func (c *client) send(ctx context.Context, a delivery.Account, deliveries []event.Delivery) (delivery.Exchange, bool) {
	if ctx.Err() != nil {
		return delivery.Exchange{}, false
	}
	x, err := c.through.Get(func() (delivery.Exchange, error) {
		return c.sender.Send(ctx, a, deliveries)
	})
	return x, !errors.Is(err, circuitbreaker.ErrOpen)
}
