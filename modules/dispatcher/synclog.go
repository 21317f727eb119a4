package dispatcher

import (
	"context"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const (
	// maxAnswer is how much of an answer about one event the sync log keeps.
	maxAnswer = 2 << 10
	// maxFailure is how much it keeps of an answer about a whole batch.
	maxFailure = 256
	// maxRequest is how much it keeps of a request that a dry run made.
	maxRequest = 16 << 10
)

// sync is the job's line in the sync log.
func (j *job) sync(name string, now time.Time) event.Sync {
	e := j.delivery.Event
	s := event.Sync{
		EventID: e.ID, PixelID: e.PixelID, Partner: name, At: now.UTC(), OrderID: e.Order.ID,
		Outcome: j.result.Outcome, Code: j.result.Code, Message: j.result.Message,
	}
	if j.lost {
		s.Attempt = j.attempts()
	}
	if x := j.exchange; x != nil {
		s.Attempt = j.attempts()
		s.Status, s.Latency, s.RequestID, s.Payload = x.Status, x.Latency, x.Receipt.RequestID, x.Payload
		switch {
		case j.result.Answer != "":
			s.Answer = head(j.result.Answer, maxAnswer)
		case j.alone:
			s.Answer = head(string(x.Answer[:min(len(x.Answer), 2*maxAnswer)]), maxAnswer)
		case x.Status >= 300:
			// It is about all of them.
			s.Answer = head(string(x.Answer[:min(len(x.Answer), 2*maxFailure)]), maxFailure)
		}
		if j.asked {
			s.RequestID = j.record.Request
		}
	}
	if j.result.Outcome == event.Dry {
		s.Answer, s.Request = j.result.Answer, head(j.built, maxRequest)
	}
	return s
}

// unlogged is the line for a delivery whose own could not be written in time.
func (j *job) unlogged(name string, now time.Time) event.Sync {
	e := j.delivery.Event
	return event.Sync{
		EventID: e.ID, PixelID: e.PixelID, Partner: name, At: now.UTC(), OrderID: e.Order.ID, Attempt: j.record.Attempts,
		Outcome: event.Accepted, Code: "logged_late", Message: "accepted; the answer was lost because the sync log could not be written",
	}
}

// head is the beginning of a text, made fit to be kept.
func head(s string, max int) string { return partner.Cut(strings.ToValidUTF8(s, "?"), max) }

// write stores the lines, and tries again for a moment if it must.
func (l *lane) write(syncs []event.Sync) bool {
	if len(syncs) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.running), logging)
	defer cancel()
	err := insist(ctx, func() error { return l.writer.WriteSyncs(ctx, syncs...) })
	if err == nil {
		return true
	}
	l.log.Error("the sync log cannot be written; the deliveries come back for it", "events", len(syncs), "error", err)
	return false
}
