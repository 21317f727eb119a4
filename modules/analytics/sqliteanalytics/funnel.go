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
	person uint64
	at     int64
	steps  uint16
}

// Funnel gathers the events that any step needs from columns, and puts them in the order
// of people and time.
func (s *Store) Funnel(ctx context.Context, q analytics.FunnelQuery) (counts []analytics.FunnelCount, err error) {
	if q, err = q.Check(); err != nil {
		return nil, err
	}
	if err := s.people.load(ctx, s.db.Read); err != nil {
		return nil, err
	}
	var all [][]passing
	err = s.snapshot(ctx, "count a funnel", func(tx *sql.Tx) error {
		w := question{pixel: q.PixelID, where: append(slices.Clone(q.Where), analytics.Is("name", q.Names()...)), since: q.Since, until: q.Until}.whole()
		var persons []uint64
		return s.walk(ctx, tx, w, func(t *taken) (err error) {
			if persons, err = s.persons(t, persons[:0]); err != nil {
				return err
			}
			times, err := t.column(colTime)
			if err != nil {
				return err
			}
			steps, err := funnelSteps(t.part, q.Steps)
			if err != nil {
				return err
			}
			some := make([]passing, 0, len(t.rows))
			for i, row := range t.rows {
				if persons[i] == 0 {
					continue
				}
				if mask := steps(int(row)); mask != 0 {
					some = append(some, passing{persons[i], times.ints[row], mask})
				}
			}
			all = append(all, some)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	tally := q.Tally()
	for _, some := range byPerson(all) {
		slices.SortFunc(some, func(x, y passing) int {
			if x.person != y.person {
				return cmp.Compare(x.person, y.person)
			}
			return cmp.Compare(x.at, y.at)
		})
		for _, p := range some {
			tally.Add(p.person, p.at, p.steps)
		}
	}
	return tally.Counts(q), nil
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

// byPerson parts events so that a person's are together, in heaps that are small to sort.
func byPerson(all [][]passing) [][]passing {
	const bits = 14
	ends, n := make([]int, 1<<bits+1), 0
	for _, some := range all {
		n += len(some)
		for i := range some {
			ends[some[i].person>>(64-bits)+1]++
		}
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	sorted, next := make([]passing, n), slices.Clone(ends)
	for _, some := range all {
		for i := range some {
			k := some[i].person >> (64 - bits)
			sorted[next[k]] = some[i]
			next[k]++
		}
	}
	heaps := make([][]passing, 1<<bits)
	for k := range heaps {
		heaps[k] = sorted[ends[k]:ends[k+1]]
	}
	return heaps
}
