package sqliteanalytics

import (
	"context"
	"database/sql"
	"slices"
)

// visitorsOf counts different people from the sets of visitors of hours and days,
// and from columns where those do not reach.
func (s *Store) visitorsOf(ctx context.Context, tx *sql.Tx, q question) (map[figure]float64, error) {
	all := map[figure]*crowd{}
	var step int
	var pixel string
	var blob sql.RawBytes
	var set []uint64
	from, to := within(q.since, q.until)
	parts := pieces(q.starts, from, to, aDay, anHour)
	for _, level := range [...]int64{aDay, anHour} {
		if len(parts[level]) == 0 {
			continue
		}
		w := where{}
		w.add("level = ? AND bucket >= a AND bucket < b", level)
		q.selects(&w)
		err := each(ctx, tx, table(parts[level])+`SELECT i, pixel_id, visitors FROM steps CROSS JOIN visitor_sets`+w.String(), w.args, []any{&step, &pixel, &blob}, func() {
			set = unpack(blob, set[:0])
			s.people.count(pixel, set)
			f := figure{step: step}
			if q.dimension != "" {
				f.group = pixel
			}
			if all[f] == nil {
				all[f] = &crowd{}
			}
			all[f].add(set...)
		})
		if err != nil {
			return nil, err
		}
	}
	if err := s.addCrowds(ctx, tx, q.way(parts[0]), len(q.starts), all); err != nil {
		return nil, err
	}
	return sizes(all), nil
}

// addCrowds counts the people that a walk finds, by group and step.
func (s *Store) addCrowds(ctx context.Context, tx *sql.Tx, w walk, steps int, all map[figure]*crowd) error {
	var seen met
	return s.walk(ctx, tx, w, func(t *taken) error {
		visitors, err := t.column(colVisitor)
		if err != nil {
			return err
		}
		pixels, err := t.column("pixel_id")
		if err != nil {
			return err
		}
		at := newSlots(t, steps, func(f figure) *crowd {
			if all[f] == nil {
				all[f] = &crowd{}
			}
			return all[f]
		})
		s.people.of(pixels.texts, func(of []map[uint64]uint64) {
			seen.begin(t, of, len(visitors.digests))
			for i, row := range t.rows {
				code, pixel := visitors.codes[row], pixels.codes[row]
				k := seen.step[t.steps[i]-t.first] + seen.pixel[pixel] + uint(code)
				if t.codes != nil {
					k += seen.group[t.codes[row]]
				}
				if seen.already(k) {
					continue
				}
				v := visitors.digests[code]
				if v == 0 {
					continue
				}
				if profiles := of[pixel]; len(profiles) > 0 {
					if profile, ok := profiles[v]; ok {
						v = profile
					}
				}
				at.of(t, i).note(v)
			}
		})
		return nil
	})
}

// met remembers who of a part was counted already, as most rows are of somebody who was:
// a bit for each step, group, pixel and visitor. The steps of a part are few, and follow
// one another; pixels that know no profiles need not be told apart.
type met struct {
	bits               []uint64
	step, group, pixel []uint // where the bits of each begin
}

// mostTold is how many bits there are at most; with more, nobody is remembered.
const mostTold = 1 << 23

func (m *met) begin(t *taken, of []map[uint64]uint64, visitors int) {
	width, alone := uint(visitors), uint(0) //nolint:gosec // a length
	m.pixel = m.pixel[:0]
	for _, profiles := range of {
		if len(profiles) == 0 {
			m.pixel = append(m.pixel, 0)
			continue
		}
		alone++
		m.pixel = append(m.pixel, alone*width)
	}
	width *= alone + 1
	m.group = m.group[:0]
	for i := range max(1, uint(len(t.texts))) {
		m.group = append(m.group, i*width)
	}
	width *= uint(len(m.group))
	m.step = m.step[:0]
	for i := range uint(t.last-t.first) + 1 { //nolint:gosec // the last is not before the first
		m.step = append(m.step, i*width)
	}
	width *= uint(len(m.step))
	if m.bits = m.bits[:0]; width <= mostTold {
		m.bits = slices.Grow(m.bits, int(width/64)+1)[:width/64+1] //nolint:gosec // mostTold bounds it
		clear(m.bits)
	}
}

// already reports whether somebody was met before, and remembers it.
func (m *met) already(place uint) bool {
	if len(m.bits) == 0 {
		return false
	}
	word, bit := &m.bits[place/64], uint64(1)<<(place%64)
	if *word&bit != 0 {
		return true
	}
	*word |= bit
	return false
}

// wholeGroups are the people of each group, whatever the step.
func wholeGroups(all map[figure]*crowd) map[figure]*crowd {
	out := map[figure]*crowd{}
	for f, c := range all {
		g := figure{group: f.group}
		if out[g] == nil {
			out[g] = &crowd{}
		}
		out[g].join(c)
	}
	return out
}

func sizes(all map[figure]*crowd) map[figure]float64 {
	out := make(map[figure]float64, len(all))
	for f, c := range all {
		out[f] = float64(c.size())
	}
	return out
}
