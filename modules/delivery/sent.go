package delivery

import "github.com/go-json-experiment/json"

// SentKey is the key in the shared state of what the lanes remember of one event for
// one partner.
func SentKey(partner, pixelID, eventID string) string {
	return "sent:" + partner + ":" + pixelID + ":" + eventID
}

// Settled reports whether what stands there says that the partner has the event, or
// that it was decided not to send it: it is not sent again.
func Settled(record []byte) bool {
	var r struct {
		State string `json:"s"`
	}
	return record != nil && json.Unmarshal(record, &r) == nil && (r.State == "done" || r.State == "told")
}
