package lanestatus

import (
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/slots"
	"github.com/miq/pixel/modules/state"
)

// Publisher writes one dispatcher's lanes every second.
type Publisher struct{ *slots.Publisher }

// NewPublisher publishes what lanes returns under the name of an instance, which
// no other dispatcher has.
func NewPublisher(keys state.Keys, instance string, lanes func() []Status, log *slog.Logger) *Publisher {
	return &Publisher{slots.New(keys, prefix, func() ([]byte, error) {
		list := lanes()
		for i := range list {
			list[i].Instance = instance
		}
		return json.Marshal(report{Instance: instance, At: time.Now().UTC(), Lanes: list})
	}, log)}
}
