package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/miq/pixel/modules/analytics"
)

// passing is an event that could fulfil steps of a funnel, by their bits.
type passing struct {
	at    int64
	steps uint16
}

// course are events of one person, as they came in a part.
type course struct {
	person uint64
	events []passing
}

// Funnel gathers the events that any step needs from columns, by person and time.
func (s *Store) Funnel(ctx context.Context, q analytics.FunnelQuery) (counts []analytics.FunnelCount, err error) {
	if q, err = q.Check(); err != nil {
		return nil, err
	}
	if err := s.people.load(ctx, s.db.Read); err != nil {
		return nil, err
	}
	var all []course
	err = s.snapshot(ctx, "count a funnel", func(tx *sql.Tx) error {
		w := question{pixel: q.PixelID, where: append(slices.Clone(q.Where), analytics.Is("name", q.Names()...)), since: q.Since, until: q.Until}.whole()
		return s.walk(ctx, tx, w, func(t *taken) error {
			all, err = s.courses(t, q.Steps, all)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	tally := q.Tally()
	var own []passing
	for _, some := range byPerson(all) {
		slices.SortStableFunc(some, func(x, y course) int { return cmp.Compare(x.person, y.person) })
		for len(some) > 0 {
			n := 1
			for n < len(some) && some[n].person == some[0].person {
				n++
			}
			own = inTime(some[:n], own[:0])
			for _, e := range own {
				tally.Add(some[0].person, e.at, e.steps)
			}
			some = some[n:]
		}
	}
	return tally.Counts(q), nil
}

// inTime are a person's events in the order of time, in which most came.
func inTime(list []course, into []passing) []passing {
	sorted, last := true, int64(-far)
	for _, c := range list {
		for _, e := range c.events {
			sorted, last = sorted && e.at >= last, e.at
			into = append(into, e)
		}
	}
	if !sorted {
		slices.SortFunc(into, func(x, y passing) int { return cmp.Compare(x.at, y.at) })
	}
	return into
}

// courses adds the courses of what was taken of a part.
func (s *Store) courses(t *taken, list []analytics.FunnelStep, all []course) ([]course, error) {
	visitors, err := t.column(colVisitor)
	if err != nil {
		return nil, err
	}
	pixels, err := t.column("pixel_id")
	if err != nil {
		return nil, err
	}
	times, err := t.column(colTime)
	if err != nil {
		return nil, err
	}
	steps, err := funnelSteps(t.part, list)
	if err != nil {
		return nil, err
	}
	// A visitor's rows are put together by the part's code of theirs, in their order.
	masks, ends := make([]uint16, len(t.rows)), make([]int32, len(visitors.digests)+1)
	pixelOf, mixed := make([]uint16, len(visitors.digests)), false
	for i, row := range t.rows {
		code := visitors.codes[row]
		if visitors.digests[code] == 0 {
			continue
		}
		if masks[i] = steps(int(row)); masks[i] == 0 {
			continue
		}
		if p := pixels.codes[row] + 1; pixelOf[code] == 0 {
			pixelOf[code] = p
		} else {
			mixed = mixed || pixelOf[code] != p
		}
		ends[code+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	events := make([]passing, ends[len(ends)-1])
	s.people.of(pixels.texts, func(of []map[uint64]uint64) {
		person := func(pixel, code uint16) uint64 {
			v := visitors.digests[code]
			if profile, known := of[pixel][v]; known {
				return profile
			}
			return v
		}
		for i, row := range t.rows {
			if masks[i] == 0 {
				continue
			}
			code := visitors.codes[row]
			at := ends[code]
			events[at] = passing{times.ints[row], masks[i]}
			if ends[code]++; mixed { // one visitor of several pixels may be several people
				all = append(all, course{person(pixels.codes[row], code), events[at : at+1]})
			}
		}
		begin := int32(0)
		for code, end := range ends[:len(visitors.digests)] {
			if end > begin && !mixed {
				all = append(all, course{person(pixelOf[code]-1, uint16(code)), events[begin:end]}) //nolint:gosec // chunkRows bounds it
			}
			begin = end
		}
	})
	return all, nil
}

// funnelSteps says which steps a row of a part could fulfil.
func funnelSteps(p *part, list []analytics.FunnelStep) (func(row int) uint16, error) {
	names, err := p.column("name")
	if err != nil {
		return nil, err
	}
	named := make([]uint16, len(names.texts))
	conds := make([][]pick, len(list))
	for i, step := range list {
		picks, some, err := picks(p, step.Where)
		if err != nil {
			return nil, err
		}
		if !some {
			continue
		}
		conds[i] = picks
		for code, name := range names.texts {
			if name == step.Name {
				named[code] |= 1 << i
			}
		}
	}
	return func(row int) uint16 {
		mask := named[names.codes[row]]
		for i := range conds {
			if mask&(1<<i) != 0 && !holds(conds[i], row) {
				mask &^= 1 << i
			}
		}
		return mask
	}, nil
}

// byPerson parts courses so that a person's are together and in their order, in heaps that
// are small to sort.
func byPerson(all []course) [][]course {
	const bits = 12
	ends := make([]int, 1<<bits+1)
	for i := range all {
		ends[all[i].person>>(64-bits)+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	sorted, next := make([]course, len(all)), slices.Clone(ends)
	for _, c := range all {
		k := c.person >> (64 - bits)
		sorted[next[k]] = c
		next[k]++
	}
	heaps := make([][]course, 1<<bits)
	for k := range heaps {
		heaps[k] = sorted[ends[k]:ends[k+1]]
	}
	return heaps
}
