package ledger_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// plant is a whole pixel in memory, that does at random what the real one does,
// in the steps in which that happens, and counts as the queues do.
type plant struct {
	t      *rapid.T
	counts map[queue.Count]int64 // N is zero in the keys
	queues map[string][]*message
	dead   map[string][]*message
	stored map[tally]map[int]bool // events, or events of a partner
	seen   map[int]*message       // who claimed an event
	next   int
}

type tally struct {
	account queue.Account
	partner string
}

type message struct {
	account queue.Account
	event   int
	origin  string
	written bool // to the analytics store, or the sync log
	doomed  bool // it will be buried, whoever has it next
	handed  []string
}

var (
	nine     = queue.Hour(time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC))
	ingest   = []string{"ingest:high", "ingest:low"}
	partners = []string{"acme", "bolt"}
)

func newPlant(t *rapid.T) *plant {
	return &plant{t: t, counts: map[queue.Count]int64{}, queues: map[string][]*message{}, dead: map[string][]*message{}, stored: map[tally]map[int]bool{}, seen: map[int]*message{}}
}

func (p *plant) count(name string, a queue.Account, stage string, n int64) {
	p.counts[queue.Count{Account: a, Queue: name, Stage: stage}] += n
}

func (p *plant) pick(what string, n int) int { return rapid.IntRange(0, n-1).Draw(p.t, what) }

func (p *plant) push(name string, m *message) {
	p.queues[name] = append(p.queues[name], m)
	p.count(name, m.account, queue.In, 1)
}

// take removes a message, if it is still there, and counts what became of it.
func (p *plant) take(name string, m *message, outcome string) {
	i := slices.Index(p.queues[name], m)
	if i < 0 {
		return
	}
	p.queues[name] = slices.Delete(p.queues[name], i, i+1)
	p.count(name, m.account, outcome, 1)
}

func (p *plant) write(t tally, event int) {
	if p.stored[t] == nil {
		p.stored[t] = map[int]bool{}
	}
	p.stored[t][event] = true
}

// some is one of a queue's messages, nil if it is empty.
func (p *plant) some(from map[string][]*message, name string) *message {
	if len(from[name]) == 0 {
		return nil
	}
	return from[name][p.pick("which", len(from[name]))]
}

// step does one thing.
func (p *plant) step() {
	switch what := p.pick("step", 12); what {
	case 0, 1, 2: // a request
		a := queue.Account{Pixel: []string{"px_a", "px_b"}[p.pick("pixel", 2)], Hour: nine + int32(p.pick("hour", 2))}
		name := ingest[p.pick("queue", len(ingest))]
		n := 1 + p.pick("events", 3)
		for range n {
			switch p.pick("fate", 4) {
			case 0:
				p.count(name, a, ledger.Suppressed, 1)
				p.count(name, a, ledger.Refused, 1)
			case 1:
				p.count(name, a, ledger.Rejected, 1)
				p.count(name, a, ledger.Refused, 1)
			default:
				p.count(name, a, ledger.Received, 1)
				p.next++
				p.push(name, &message{account: a, event: p.next, origin: name})
			}
		}
	case 3: // the same event again
		name := ingest[p.pick("queue", len(ingest))]
		if m := p.some(p.queues, name); m != nil {
			p.count(name, m.account, ledger.Received, 1)
			p.push(name, &message{account: m.account, event: m.event, origin: name})
		}
	case 4, 5, 6, 7: // the worker, which may stop after any step
		name := ingest[p.pick("queue", len(ingest))]
		m := p.some(p.queues, name)
		if m == nil || m.doomed {
			return
		}
		if p.seen[m.event] == nil {
			p.seen[m.event] = m
		}
		if p.seen[m.event] != m {
			p.take(name, m, ledger.Duplicate)
			return
		}
		if !m.written && p.pick("withdrawn", 6) == 0 {
			p.take(name, m, ledger.Purged)
			return
		}
		p.write(tally{m.account, ""}, m.event)
		m.written = true
		if p.pick("crash", 4) == 0 {
			return
		}
		m.handed = nil
		for _, partner := range partners {
			if m.event%2 == 0 || partner == "acme" {
				p.push(queue.Partner(partner), &message{account: m.account, event: m.event, origin: queue.Partner(partner)})
				m.handed = append(m.handed, partner)
			}
		}
		if p.pick("crash", 4) == 0 {
			return
		}
		p.take(name, m, ledger.StoredFor(m.handed...))
	case 8, 9: // the dispatcher
		partner := partners[p.pick("partner", len(partners))]
		name := queue.Partner(partner)
		m := p.some(p.queues, name)
		if m == nil || m.doomed {
			return
		}
		sent := p.stored[tally{m.account, partner}][m.event]
		switch {
		case sent && !m.written:
			p.take(name, m, ledger.Duplicate)
		case !sent && p.pick("fate", 3) == 0:
			p.take(name, m, ledger.NotSentFor([]string{"", "consent", "partner_off"}[p.pick("why", 3)]))
		default:
			p.write(tally{m.account, partner}, m.event)
			m.written = true
			if p.pick("crash", 4) > 0 {
				p.take(name, m, ledger.Delivered)
			}
		}
	case 10: // something is buried, in two steps
		for _, name := range append([]string{"s2s:acme"}, ingest...) {
			if m := p.some(p.queues, name); m != nil && !m.written && p.pick("bury", 3) == 0 {
				box := queue.DeadLetters(name)
				m.doomed = true
				if !slices.Contains(p.dead[box], m) {
					p.dead[box] = append(p.dead[box], m)
					p.count(box, m.account, queue.In, 1)
				}
				if p.pick("crash", 3) > 0 {
					p.take(name, m, queue.Buried)
				}
			}
		}
	case 11: // an operator
		for _, box := range []string{"dlq:acme", queue.Validation} {
			m := p.some(p.dead, box)
			if m == nil || slices.Contains(p.queues[m.origin], m) { // its burial is not over
				continue
			}
			stage := queue.Dropped
			if p.pick("replay", 2) == 0 {
				stage, m.doomed = queue.Revived, false
				p.queues[m.origin] = append(p.queues[m.origin], m)
				p.count(m.origin, m.account, queue.Revived, 1)
			}
			p.dead[box] = slices.DeleteFunc(p.dead[box], func(x *message) bool { return x == m })
			p.count(box, m.account, stage, 1)
		}
	}
}

func (p *plant) books() []queue.Count {
	var out []queue.Count
	for c, n := range p.counts {
		c.N = n
		out = append(out, c)
	}
	slices.SortFunc(out, func(x, y queue.Count) int { return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
	return out
}

func (p *plant) depths() []queue.Stats {
	var out []queue.Stats
	for _, from := range []map[string][]*message{p.queues, p.dead} {
		for name, list := range from {
			out = append(out, queue.Stats{Queue: name, Ready: len(list)})
		}
	}
	slices.SortFunc(out, func(x, y queue.Stats) int { return cmp.Compare(x.Queue, y.Queue) })
	return out
}

func (p *plant) tallies() []analytics.Tally {
	out := []analytics.Tally{}
	for k, events := range p.stored {
		out = append(out, analytics.Tally{PixelID: k.account.Pixel, Hour: k.account.Time(), Partner: k.partner, N: int64(len(events))})
	}
	slices.SortFunc(out, func(x, y analytics.Tally) int { return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
	return out
}

func (p *plant) steps(what string) {
	for range rapid.IntRange(0, 12).Draw(p.t, what) {
		p.step()
	}
}

// Whatever happens, and however much happens while the books are read, they
// balance as long as nothing is lost.
func TestBooksOfAPlantThatLosesNothingBalanceAtAnyMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPlant(t)
		for range rapid.IntRange(0, 6).Draw(t, "rounds") {
			p.steps("before")
			r := ledger.Reading{Before: p.books()}
			p.steps("while")
			r.Depths = p.depths()
			p.steps("while")
			r.Tallies = p.tallies()
			p.steps("while")
			r.After = p.books()
			for _, d := range r.Check() {
				t.Fatalf("%s: %s", d.Check, d.Text)
			}
			for _, b := range ledger.Books(r.After) {
				if b.Received != b.Suppressed+b.Rejected+b.Accepted || b.Accepted != b.Stored+b.Duplicate+b.Purged+b.Dead+b.Dropped+b.Waiting {
					t.Fatalf("a book that does not add up: %+v", b)
				}
				for _, q := range b.Partners {
					if q.Routed != q.Delivered+q.NotSent+q.Duplicate+q.Purged+q.Dead+q.Dropped+q.Waiting {
						t.Fatalf("a book that does not add up: %+v", q)
					}
				}
			}
		}
	})
}

// At rest, one thing that goes missing or appears anywhere is found.
func TestADifferenceOfOneIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPlant(t)
		p.steps("before")
		p.steps("before")
		counts, depths, tallies := p.books(), p.depths(), p.tallies()
		if len(counts) == 0 {
			return
		}
		by := rapid.SampledFrom([]int64{-1, 1}).Draw(t, "by")
		var what string
		switch p.pick("fault", 3) {
		case 0:
			i := p.pick("count", len(counts))
			what = fmt.Sprintf("count %+v", counts[i])
			counts[i].N += by
		case 1:
			if len(depths) == 0 {
				return
			}
			i := p.pick("depth", len(depths))
			what = fmt.Sprintf("depth %+v", depths[i])
			depths[i].Ready += int(by)
		case 2:
			if len(tallies) == 0 {
				return
			}
			i := p.pick("tally", len(tallies))
			what = fmt.Sprintf("tally %+v", tallies[i])
			tallies[i].N += by
			k := tally{queue.AccountOf(tallies[i].PixelID, tallies[i].Hour), tallies[i].Partner}
			if p.unsure(k) {
				return
			}
		}
		found := (ledger.Reading{Before: counts, After: counts, Tallies: tallies, Depths: depths}).Check()
		if len(found) == 0 {
			t.Fatalf("%+d in the %s is not noticed", by, what)
		}
		for _, d := range found {
			if d.Text == "" || d.N*d.N != 1 {
				t.Fatalf("%+d in the %s is said as %+v", by, what, d)
			}
		}
	})
}

// unsure reports whether something of the account is not done, or was buried or
// dropped: it may have been written or not.
func (p *plant) unsure(k tally) bool {
	for _, from := range []map[string][]*message{p.queues, p.dead} {
		for name, list := range from {
			for _, m := range list {
				if m.account == k.account && (k.partner == "" || queue.DeadLetters(name) == queue.PartnerDead(k.partner) || name == queue.PartnerDead(k.partner)) {
					return true
				}
			}
		}
	}
	for c := range p.counts {
		if c.Account == k.account && c.Stage == queue.Dropped {
			return true
		}
	}
	return false
}
