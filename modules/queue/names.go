package queue

import (
	"strings"

	"github.com/miq/pixel/modules/event"
)

// Validation is where refused input goes, and ingest messages that could not
// be processed.
const Validation = "dlq:validation"

// Consent is where changes of consent leave what is to be done after them: receipts
// to store, and visitors to forget (consent.Task).
const Consent = "consent"

// Ingest is the queue for accepted events of a priority.
func Ingest(p event.Priority) string {
	switch p { // spares an allocation an event
	case event.High:
		return "ingest:high"
	case event.Standard:
		return "ingest:standard"
	case event.Low:
		return "ingest:low"
	}
	return "ingest:" + string(p)
}

// Partner is the queue for deliveries to a partner.
func Partner(name string) string { return "s2s:" + name }

// Held is where deliveries wait by routes that are on hold; a partner on hold
// keeps its own in Partner.
func Held(name string) string { return "hold:" + name }

// PartnerDead is where a partner's failed deliveries go.
func PartnerDead(name string) string { return "dlq:" + name }

// DeadLetters is the queue that Bury moves a queue's messages to.
func DeadLetters(name string) string {
	if partner, ok := strings.CutPrefix(name, "s2s:"); ok {
		return PartnerDead(partner)
	}
	if partner, ok := strings.CutPrefix(name, "hold:"); ok {
		return PartnerDead(partner)
	}
	return Validation
}

// IsDead reports whether a queue holds dead letters.
func IsDead(name string) bool { return strings.HasPrefix(name, "dlq:") }
