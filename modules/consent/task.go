package consent

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// Task is what a change of consent leaves to do once the visitor's newest consent
// says so: it travels through queue.Consent.
type Task struct {
	Receipts []event.ConsentReceipt `json:"receipts,omitzero"`
	// Forget is a visitor who withdrew everything.
	Forget Visitor `json:"forget,omitzero"`
}

// Encode makes a message of a task.
func (t Task) Encode() ([]byte, error) {
	b, err := json.Marshal(t, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("encode what a change of consent leaves to do: %w", err)
	}
	return b, nil
}

// DecodeTask reads a message of queue.Consent.
func DecodeTask(b []byte) (t Task, err error) {
	if err := json.Unmarshal(b, &t, jsontext.AllowInvalidUTF8(true)); err != nil {
		return t, fmt.Errorf("decode what a change of consent leaves to do: %w", err)
	}
	return t, nil
}
