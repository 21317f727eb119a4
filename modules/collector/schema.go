package collector

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// demanded checks an event's properties by its schema. Its fault refuses the event;
// where the pixel takes it all the same, what is wrong is counted.
func (c *Collector) demanded(p *settings.Pixel, e *event.Event) event.Fault {
	f, counted := p.Demands(c.schemas, e.Name, e.Properties)
	if !counted {
		return event.Fault{}
	}
	name := e.Name
	if !c.schemas.Standard(name) {
		name = "own"
	}
	result := "taken"
	if f.Code != "" {
		result = "refused"
	}
	c.metrics.violations.WithLabelValues(p.ID, name, result).Inc()
	return f
}

// violation is a line in the validation dead letters about an event that is right but
// for its properties: with the event as it would have been stored, so that somebody can
// mend it and send it on.
type violation struct {
	PixelID    string      `json:"pixel_id"`
	ReceivedAt time.Time   `json:"received_at"`
	Source     string      `json:"source"`
	Code       string      `json:"code"`
	Pointer    string      `json:"pointer"`
	Message    string      `json:"message"`
	Event      event.Event `json:"event"`
}

// violated makes that line, without what consent does not allow to keep.
func (c *Collector) violated(made event.Event, f event.Fault, sensitive bool) (queue.Item, bool) {
	if !c.pressure.Writes() || !c.refusals.AllowN(made.ReceivedAt, 1) {
		c.metrics.lostRefusals.Inc()
		return queue.Item{}, false
	}
	state := made.Verdict.State
	consent.Strip(&made, state, c.saltFor(made.PixelID, state))
	if sensitive {
		consent.StripSensitive(&made)
	}
	made.Context.IP, made.Subject.Locality = consent.Truncate(made.Context.IP), event.Locality{}
	made.Crossing = event.Crossing{} // when it is mended it is too late for that
	body, err := json.Marshal(&violation{made.PixelID, made.ReceivedAt, made.Source, f.Code, clean(f.Pointer), clip(f.Message, 300), made})
	if err != nil {
		c.log.Error("a refusal could not be encoded", "code", f.Code, "error", err)
		return queue.Item{}, false
	}
	return queue.Item{
		Queue: queue.Validation, Body: body, Account: queue.AccountOf("", made.ReceivedAt),
		Reason: f.Code + ": " + clip(strings.TrimSpace(clean(f.Pointer)+" "+f.Message), 300),
	}, true
}
