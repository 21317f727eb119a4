// Package ledger reads the books that the queues keep and says whether they
// balance: whether everything that was taken in came out somewhere, counted per
// pixel and hour of receipt.
//
// The counting itself is the queues': a count changes in the same step as what
// it counts, so that the books survive a crash exactly as the messages do, and
// what is done twice counts once. This package is arithmetic over them, and over
// recounts of what the analytics store holds.
package ledger

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/queue"
)

// The stages that the roles enter in the books, beside those of the queues.
const (
	// At the door, by the collector. What it accepts is counted as Received by the
	// item that is pushed, and once more by the queue. What it does not is counted as
	// why not, and was received as well.
	Received   = "received"
	Suppressed = "suppressed"
	Rejected   = "rejected"
	// Refused is the second figure of those two: how many events a request held beside
	// those that became items, whatever was said of them.
	Refused = "refused"

	// In processing, by the worker.
	Stored    = "stored"
	Duplicate = "duplicate" // the same event, or delivery, came before
	Purged    = "purged"    // consent was withdrawn, or does not allow it any more

	// At a partner, by the dispatcher; Duplicate and Purged too.
	Delivered = "delivered"
	NotSent   = "not_sent"

	// Moved is what left a queue for another on the same way, such as a delivery
	// that is let go from hold, or that goes on as a copy of itself.
	Moved = "moved"
)

// StoredFor is the outcome of an event that was stored and handed to partners'
// queues. Saying both at once keeps them true together.
func StoredFor(partners ...string) string {
	switch len(partners) {
	case 0:
		return Stored
	case 1:
		return Stored + ":" + partners[0]
	}
	return Stored + ":" + strings.Join(slices.Sorted(slices.Values(partners)), ",")
}

// NotSentFor is the outcome of a delivery that was not sent, with the short and
// stable code of why.
func NotSentFor(code string) string {
	if code == "" {
		return NotSent
	}
	return NotSent + ":" + code
}

// DuplicateFor is the outcome of an event that came before: by the id of what it was
// told, and the way that this copy came.
func DuplicateFor(by, source string) string { return Duplicate + ":" + by + "_" + Way(source) }

// Way is an event's source, as the books name it.
func Way(source string) string {
	switch source {
	case "web", "pixel", "server":
		return source
	}
	return "other"
}

// Book is one pixel's hour. Of what came in then
//
//	Received = Suppressed + Rejected + Accepted
//	Accepted = Stored + Duplicate + Purged + Dead + Dropped + Waiting
//
// whenever it is that the rest happened.
type Book struct {
	Pixel string    `json:"pixel_id"`
	Hour  time.Time `json:"hour"`

	Received   int64 `json:"received"`
	Suppressed int64 `json:"suppressed"`
	Rejected   int64 `json:"rejected"`
	Accepted   int64 `json:"accepted"`

	Stored    int64 `json:"stored"`
	Duplicate int64 `json:"duplicate"`
	Purged    int64 `json:"purged"`
	Dead      int64 `json:"dead"`
	Dropped   int64 `json:"dropped"` // deleted undone, by an operator
	Waiting   int64 `json:"waiting"`

	// Duplicates part Duplicate by what told so, "event" or "order", and the way that
	// the copy came: "order_server".
	Duplicates map[string]int64 `json:"duplicate_by_way,omitempty"`

	Partners []Partner `json:"partners"`
}

// Partner is what a pixel's hour came to at one partner:
//
//	Routed = Delivered + NotSent + Duplicate + Purged + Dead + Dropped + Waiting
type Partner struct {
	Name      string `json:"partner"`
	Routed    int64  `json:"routed"`
	Delivered int64  `json:"delivered"`
	NotSent   int64  `json:"not_sent"`
	Duplicate int64  `json:"duplicate"`
	Purged    int64  `json:"purged"`
	Dead      int64  `json:"dead"`
	Dropped   int64  `json:"dropped"`
	Waiting   int64  `json:"waiting"`
	// Reasons part NotSent by code.
	Reasons map[string]int64 `json:"not_sent_by_reason,omitempty"`
}

// Books makes books of the queues' counts: the newest hour first, the pixels in
// the order of the alphabet.
func Books(counts []queue.Count) []Book {
	by := map[queue.Account]*Book{}
	for key, f := range read(counts) {
		if key.Pixel == "" {
			continue // refused input that is nobody's
		}
		b := by[key.Account]
		if b == nil {
			b = &Book{Pixel: key.Pixel, Hour: key.Time(), Partners: []Partner{}}
			by[key.Account] = b
		}
		if key.partner != "" {
			b.Partners = append(b.Partners, f.partner(key.partner))
			continue
		}
		b.Received, b.Suppressed, b.Rejected, b.Accepted = f.received+f.suppressed+f.rejected, f.suppressed, f.rejected, f.in
		b.Stored, b.Duplicate, b.Purged = f.ended[Stored], f.ended[Duplicate], f.ended[Purged]
		b.Duplicates = f.repeats
		b.Dead, b.Dropped, b.Waiting = f.dead(), f.dropped+f.deadDropped, f.waiting()
	}
	out := make([]Book, 0, len(by))
	for _, b := range by {
		slices.SortFunc(b.Partners, func(x, y Partner) int { return cmp.Compare(x.Name, y.Name) })
		out = append(out, *b)
	}
	slices.SortFunc(out, func(x, y Book) int { return cmp.Or(y.Hour.Compare(x.Hour), cmp.Compare(x.Pixel, y.Pixel)) })
	return out
}

func (f *flow) partner(name string) Partner {
	return Partner{
		Name: name, Routed: f.in, Delivered: f.ended[Delivered], NotSent: f.ended[NotSent],
		Duplicate: f.ended[Duplicate], Purged: f.ended[Purged],
		Dead: f.dead(), Dropped: f.dropped + f.deadDropped, Waiting: f.waiting(), Reasons: f.reasons,
	}
}

// Add sums books, such as those of a day, under b's pixel and hour.
func (b *Book) Add(o Book) {
	for _, p := range [...][2]*int64{
		{&b.Received, &o.Received}, {&b.Suppressed, &o.Suppressed}, {&b.Rejected, &o.Rejected}, {&b.Accepted, &o.Accepted},
		{&b.Stored, &o.Stored}, {&b.Duplicate, &o.Duplicate}, {&b.Purged, &o.Purged},
		{&b.Dead, &o.Dead}, {&b.Dropped, &o.Dropped}, {&b.Waiting, &o.Waiting},
	} {
		*p[0] += *p[1]
	}
	for way, n := range o.Duplicates {
		if b.Duplicates == nil {
			b.Duplicates = map[string]int64{}
		}
		b.Duplicates[way] += n
	}
	for _, p := range o.Partners {
		i := slices.IndexFunc(b.Partners, func(q Partner) bool { return q.Name == p.Name })
		if i < 0 {
			b.Partners = append(b.Partners, Partner{Name: p.Name})
			i = len(b.Partners) - 1
		}
		q := &b.Partners[i]
		for _, f := range [...][2]*int64{
			{&q.Routed, &p.Routed}, {&q.Delivered, &p.Delivered}, {&q.NotSent, &p.NotSent}, {&q.Duplicate, &p.Duplicate},
			{&q.Purged, &p.Purged}, {&q.Dead, &p.Dead}, {&q.Dropped, &p.Dropped}, {&q.Waiting, &p.Waiting},
		} {
			*f[0] += *f[1]
		}
		for code, n := range p.Reasons {
			if q.Reasons == nil {
				q.Reasons = map[string]int64{}
			}
			q.Reasons[code] += n
		}
	}
	slices.SortFunc(b.Partners, func(x, y Partner) int { return cmp.Compare(x.Name, y.Name) })
}
