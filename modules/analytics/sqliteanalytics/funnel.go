package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/miq/pixel/modules/analytics"
)

// passing is an event that could fulfil steps of a funnel, by their bits.
type passing struct {
	at    int64
	steps uint16
}

// course are events of one person, as they came in a part.
type course struct {
	person   uint32
	part     int32
	from, to int32
}

// courses are all that could fulfil steps.
type courses struct {
	faces

	list  []course
	parts [][]passing
}

// Funnel gathers the events that any step needs from columns, by person and time.
func (s *Store) Funnel(ctx context.Context, q analytics.FunnelQuery) (counts []analytics.FunnelCount, err error) {
	if q, err = q.Check(); err != nil {
		return nil, err
	}
	if err := s.people.load(ctx, s.db.Read); err != nil {
		return nil, err
	}
	all := courses{faces: faces{census: s.counting()}}
	err = s.snapshot(ctx, "count a funnel", func(tx *sql.Tx) error {
		w := question{pixel: q.PixelID, where: append(slices.Clone(q.Where), analytics.Is("name", q.Names()...)), since: q.Since, until: q.Until}.whole()
		return s.walk(ctx, tx, w, func(t *taken) error {
			if err := s.meet(&all.faces, t.part); err != nil {
				return err
			}
			return all.add(t, q.Steps)
		})
	})
	if err != nil {
		return nil, err
	}
	// The people are parted among processors, each with all of his events.
	list := all.byPerson()
	shares := make([][]analytics.FunnelCount, min(runtime.GOMAXPROCS(0), mostShares))
	var counting sync.WaitGroup
	for i := range shares {
		end := len(list) / (len(shares) - i)
		for end > 0 && end < len(list) && list[end].person == list[end-1].person {
			end++
		}
		some := list[:end]
		list = list[end:]
		counting.Go(func() { shares[i] = all.count(q, some) })
	}
	counting.Wait()
	counts = shares[0]
	for _, more := range shares[1:] {
		for i := range counts {
			counts[i].Visitors += more[i].Visitors
		}
	}
	return counts, nil
}

// mostShares is among how many processors a funnel's people are parted.
const mostShares = 4

// count counts people, whose courses are together.
func (c *courses) count(q analytics.FunnelQuery, list []course) []analytics.FunnelCount {
	tally := q.Tally()
	var own []passing
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].person == list[0].person {
			n++
		}
		own = c.inTime(list[:n], own[:0])
		for _, e := range own {
			tally.Add(uint64(list[0].person), e.at, e.steps)
		}
		list = list[n:]
	}
	return tally.Counts(q)
}

// inTime are a person's events in the order of time, in which most came.
func (c *courses) inTime(list []course, own []passing) []passing {
	for _, one := range list {
		own = append(own, c.parts[one.part][one.from:one.to]...)
	}
	byTime := func(x, y passing) int { return cmp.Compare(x.at, y.at) }
	if !slices.IsSortedFunc(own, byTime) {
		slices.SortFunc(own, byTime)
	}
	return own
}

// add adds the courses of what was taken of a part.
func (c *courses) add(t *taken, list []analytics.FunnelStep) error {
	times, err := t.column(colTime)
	if err != nil {
		return err
	}
	steps, err := stepsOf(t.part, list)
	if err != nil {
		return err
	}
	// A person's rows are put together, in their order.
	masks, n := make([]uint16, len(t.rows)), 0
	ends := make([]int32, len(c.numbers)+1)
	for _, row := range t.rows {
		mask := steps.of(row)
		t.rows[n], masks[n] = row, mask
		n += bit(mask != 0) & bit(c.numbers[c.codes[row]] != 0)
	}
	for _, row := range t.rows[:n] {
		ends[c.codes[row]+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	events := make([]passing, n)
	for i, row := range t.rows[:n] {
		at := &ends[c.codes[row]]
		events[*at] = passing{times.ints[row], masks[i]}
		*at++
	}
	if more := len(c.numbers); len(c.list)+more > cap(c.list) {
		c.list = slices.Grow(c.list, max(len(c.list), 16*more)) // the parts to come have as many
	}
	from := int32(0)
	for code, to := range ends[:len(c.numbers)] {
		if to > from {
			c.list = append(c.list, course{c.numbers[code], int32(len(c.parts)), from, to}) //nolint:gosec // parts are some thousands
		}
		from = to
	}
	c.parts = append(c.parts, events)
	return nil
}

// byPerson are the courses so that a person's are together and in their order.
func (c *courses) byPerson() []course {
	next := make([]int32, c.census.size()+2)
	for i := range c.list {
		next[c.list[i].person+1]++
	}
	for i := 1; i < len(next); i++ {
		next[i] += next[i-1]
	}
	sorted := make([]course, len(c.list))
	for _, one := range c.list {
		at := &next[one.person]
		sorted[*at] = one
		*at++
	}
	return sorted
}

// funnelSteps say which steps a part's rows could fulfil, as bits.
type funnelSteps struct {
	names  []uint16 // codes
	named  []uint16 // by code, the steps of that name
	limits []limit
}

// limit is what a column's values leave of the steps.
type limit struct {
	codes, left []uint16
}

func stepsOf(p *part, list []analytics.FunnelStep) (f funnelSteps, err error) {
	names, err := p.column("name")
	if err != nil {
		return f, err
	}
	f.names, f.named = names.codes, make([]uint16, len(names.texts))
	for i, step := range list {
		picks, some, err := picks(p, step.Where)
		if err != nil {
			return f, err
		}
		if !some {
			continue
		}
		for code, name := range names.texts {
			if name == step.Name {
				f.named[code] |= 1 << i
			}
		}
		for _, pick := range picks {
			left := f.limit(pick)
			for value, ok := range pick.ok {
				if !ok {
					left[value] &^= 1 << i
				}
			}
		}
	}
	return f, nil
}

// limit is that of a pick's column: of steps that ask for the same there is one.
func (f *funnelSteps) limit(p pick) []uint16 {
	for _, l := range f.limits {
		if &l.codes[0] == &p.codes[0] {
			return l.left
		}
	}
	left := slices.Repeat([]uint16{math.MaxUint16}, len(p.ok))
	f.limits = append(f.limits, limit{p.codes, left})
	return left
}

func (f *funnelSteps) of(row int32) uint16 {
	steps := f.named[f.names[row]]
	for _, l := range f.limits {
		steps &= l.left[l.codes[row]]
	}
	return steps
}
