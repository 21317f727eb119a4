package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/queue"
)

// The checks, as metrics and the API name them.
const (
	// Door: what the collector received for a queue, the queue counts as in; and of
	// what else a request held, each is suppressed or rejected.
	Door = "door"
	// Waits: what the books say waits in a queue, or lies among dead letters, is
	// what the queue holds; and never less than nothing.
	Waits = "waiting"
	// Routes: what was stored for a partner was handed to the partner's queue.
	Routes = "routed"
	// Letters: what a queue buried, its dead letters got.
	Letters = "dead"
	// Store: what is called stored is in the analytics store.
	Store = "stored"
	// Syncs: what is called delivered has an accepted line in the sync log.
	Syncs = "delivered"
)

// Checks lists them.
var Checks = []string{Door, Waits, Routes, Letters, Store, Syncs}

// Difference is a check that fails.
type Difference struct {
	Check   string    `json:"check"`
	Pixel   string    `json:"pixel_id,omitempty"`
	Hour    time.Time `json:"hour,omitzero"`
	Partner string    `json:"partner,omitempty"`
	Queue   string    `json:"queue,omitempty"`
	// Expected and Found are what the books and the other side say, and N is by
	// how much they differ: positive where more was found.
	Expected int64  `json:"expected"`
	Found    int64  `json:"found"`
	N        int64  `json:"difference"`
	Text     string `json:"text"`
}

// Reading is the books with what they are compared with. Nothing stands still
// while it is read, so the books are read twice, before and after the rest: what
// the rest should say lies between the two. Where nothing moved they are the
// same, and so the comparison is exact to one.
type Reading struct {
	Before, After []queue.Count
	// Tallies are recounts of the analytics store; nil: do not compare.
	Tallies []analytics.Tally
	// Depths are the queues' real lengths. They can be compared only where the
	// counts are of all hours; nil: do not compare.
	Depths []queue.Stats

	// skip tells hours that Tallies do not cover; nil: they cover all.
	skip func(hour int32) bool
}

// Check returns what does not balance.
func (r Reading) Check() []Difference {
	before, after := read(r.Before), read(r.After)
	var out []Difference
	for k, f := range after {
		was := before[k]
		if was == nil {
			was = &flow{}
		}
		out = append(out, overdrawn(k, f)...)
		if k.Pixel != "" { // else it is input that was refused, and went to the dead letters at once
			out = append(out, letters(k, was, f)...)
		}
		if k.partner == "" {
			out = append(out, door(k, f)...)
			out = append(out, routes(k, was, after)...)
		}
	}
	if r.Tallies != nil {
		out = append(out, recount(before, after, r.Tallies, r.skip)...)
	}
	if r.Depths != nil {
		out = append(out, depths(r.Before, r.After, r.Depths)...)
	}
	slices.SortFunc(out, func(x, y Difference) int {
		return cmp.Or(y.Hour.Compare(x.Hour), cmp.Compare(x.Pixel, y.Pixel), cmp.Compare(x.Partner, y.Partner), cmp.Compare(x.Queue, y.Queue), cmp.Compare(x.Check, y.Check))
	})
	return out
}

// between compares what was found with what it may be.
func between(d Difference, least, found, most int64) []Difference {
	switch {
	case found < least:
		d.Expected = least
	case found > most:
		d.Expected = most
	default:
		return nil
	}
	d.Found, d.N = found, found-d.Expected
	d.Text = d.sentence()
	return []Difference{d}
}

func of(check string, k key) Difference {
	return Difference{Check: check, Pixel: k.Pixel, Hour: k.Time(), Partner: k.partner}
}

// door compares what came with what became of it. Both are counted in one step.
func door(k key, f *flow) (out []Difference) {
	for name, n := range f.door {
		d := of(Door, k)
		d.Queue = name
		if n != 0 {
			d.Expected, d.Found, d.N = f.received, f.received-n, -n
			d.Text = d.sentence()
			out = append(out, d)
		}
	}
	return append(out, between(of(Door, k), f.refused, f.suppressed+f.rejected, f.refused)...)
}

// overdrawn finds an account of which more came out than went in.
func overdrawn(k key, f *flow) []Difference {
	return between(of(Waits, k), 0, f.waiting(), max(0, f.waiting()))
}

// letters compares two queues that a message goes between in two steps: into the
// dead letters before it leaves its queue, and back before it leaves those.
func letters(k key, was, is *flow) []Difference {
	out := between(of(Letters, k), was.buried, is.deadIn, is.buried+most(was, is))
	return append(out, between(of(Letters, k), was.deadRevived, is.revived, is.deadRevived+max(0, is.deadIn-was.deadRevived-was.deadDropped))...)
}

// most is how many may wait at some moment between two readings.
func most(was, is *flow) int64 {
	return max(0, is.in+is.revived-was.buried-was.dropped-was.total)
}

// routes compares what the worker handed to a partner with what that queue got.
// It may have got more: a worker that dies after it handed over does so again,
// and the copy is told apart at the partner. Less is lost.
func routes(k key, was *flow, after map[key]*flow) (out []Difference) {
	for partner, n := range was.routed {
		d := of(Routes, k)
		d.Partner = partner
		var got int64
		if f := after[key{k.Account, partner}]; f != nil {
			got = f.in
		}
		out = append(out, between(d, n, got, max(n, got))...)
	}
	return out
}

// recount compares the books with what the analytics store counts.
func recount(before, after map[key]*flow, tallies []analytics.Tally, skip func(int32) bool) (out []Difference) {
	found := map[key]int64{}
	for _, t := range tallies {
		found[key{queue.AccountOf(t.PixelID, t.Hour), t.Partner}] += t.N
	}
	none := &flow{}
	compare := func(k key, n int64) {
		if skip != nil && skip(k.Hour) {
			return
		}
		was, is := before[k], after[k]
		if was == nil {
			was = none
		}
		if is == nil {
			is = none
		}
		// What is not done may have been written already, and so may what was
		// buried or dropped after.
		if k.partner == "" {
			out = append(out, between(of(Store, k), was.ended[Stored], n, is.in-was.ended[Duplicate]-was.ended[Purged])...)
			return
		}
		out = append(out, between(of(Syncs, k), was.ended[Delivered], n, is.in-was.ended[Duplicate]-was.ended[NotSent]-was.ended[Purged])...)
	}
	for k := range after {
		if k.Pixel != "" {
			compare(k, found[k])
		}
	}
	for k, n := range found {
		// Events from before the books were kept have no account; one of an hour
		// that has others is not from before.
		if after[k] == nil && k.partner == "" && known(after, k.Account) {
			compare(k, n)
		}
	}
	return out
}

// known reports whether the books know the account at all.
func known(flows map[key]*flow, a queue.Account) bool {
	for k := range flows {
		if k.Account == a {
			return true
		}
	}
	return false
}

// depths compares what waits by the books with what the queues hold.
func depths(before, after []queue.Count, stats []queue.Stats) (out []Difference) {
	least, most := map[string]int64{}, map[string]int64{}
	for _, c := range before {
		in := direction(c)
		if in > 0 {
			least[c.Queue] += c.N
		} else if in < 0 {
			most[c.Queue] -= c.N
		}
	}
	for _, c := range after {
		in := direction(c)
		if in > 0 {
			most[c.Queue] += c.N
		} else if in < 0 {
			least[c.Queue] -= c.N
		}
	}
	for _, s := range stats {
		d := Difference{Check: Waits, Queue: s.Queue}
		out = append(out, between(d, least[s.Queue], int64(s.Ready+s.InFlight+s.Delayed), most[s.Queue])...)
	}
	return out
}

// direction says whether a count is of messages that entered its queue (1) or
// left it (−1); what the door counts is of no message (0).
func direction(c queue.Count) int {
	switch {
	case c.Stage == Received, c.Stage == Suppressed, c.Stage == Rejected, c.Stage == Refused:
		return 0
	case c.Stage == queue.In, c.Stage == queue.Revived && !queue.IsDead(c.Queue):
		return 1
	}
	return -1
}

// sentence says a difference to people.
func (d Difference) sentence() string {
	n, what := d.N, "event"
	if d.Partner != "" {
		what = "delivery"
	}
	some := func(n int64) string {
		if n == 1 {
			return "1 " + what
		}
		if what == "delivery" {
			return fmt.Sprintf("%d deliveries", n)
		}
		return fmt.Sprintf("%d events", n)
	}
	few := n < 0
	if few {
		n = -n
	}
	var text string
	switch {
	case d.Check == Door && d.Queue == "" && few:
		text = some(n) + " turned away that are neither suppressed nor rejected"
	case d.Check == Door && d.Queue == "":
		text = some(n) + " more suppressed and rejected than turned away"
	case d.Check == Door && few:
		text = some(n) + " more received than became anything"
	case d.Check == Door:
		text = some(n) + " more accounted for than received"
	case d.Check == Waits && d.Queue == "":
		text = some(n) + " more came out than went in"
	case d.Check == Waits && few:
		text = some(n) + " missing in " + d.Queue
	case d.Check == Waits:
		text = some(n) + " in " + d.Queue + " that nobody entered in the books"
	case d.Check == Routes:
		text = some(n) + " routed, but not in the partner's queue"
	case d.Check == Letters && few:
		text = some(n) + " buried, but not among the dead letters"
	case d.Check == Letters:
		text = some(n) + " among the dead letters that no queue buried"
	case d.Check == Store && few:
		text = some(n) + " called stored, but not in the analytics store"
	case d.Check == Store:
		text = some(n) + " in the analytics store that the books do not know"
	case d.Check == Syncs && few:
		text = some(n) + " called delivered, but not in the sync log"
	default:
		text = some(n) + " accepted by the sync log that the books do not know"
	}
	if d.Pixel != "" {
		text += ", of " + d.Pixel
	}
	if d.Partner != "" {
		text += " for " + d.Partner
	}
	if !d.Hour.IsZero() {
		text += ", received " + d.Hour.Format("2 Jan 15:04") + "–" + d.Hour.Add(time.Hour).Format("15:04") + " UTC"
	}
	return text + "."
}
