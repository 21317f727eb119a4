package sqliteanalytics

import (
	"context"
	"database/sql"
	"math/bits"
	"slices"
)

// heads are the numbers of people, of whom some may be there more than once until each is
// told apart.
type heads []uint32

// meeting is who was met on a walk, by group and step.
type meeting struct {
	*cells[heads]
	faces

	// stamps say by number in which list somebody was seen last. To look there is quicker
	// than a table for each list, of which there may be many.
	stamps []uint32
	stamp  uint32
	// These are only for the part at hand.
	at   []int32 // the places of its rows
	seen []uint64
	now  heads
	ends []int32
}

// met counts the people that a walk finds.
func (s *Store) met(ctx context.Context, tx *sql.Tx, w walk, steps int) (*meeting, error) {
	m := &meeting{cells: newCells[heads](steps), faces: faces{census: s.counting()}}
	err := s.walk(ctx, tx, w, func(t *taken) error {
		if err := s.meet(&m.faces, t.part); err != nil {
			return err
		}
		if more := m.census.size() + 1 - len(m.stamps); more > 0 {
			m.stamps = append(m.stamps, make([]uint32, more)...)
		}
		m.cells.begin(t)
		m.place(t)
		if m.places(t)*m.words() <= mostSeen*len(t.rows)/64 {
			m.once(t)
		} else {
			m.often(t)
		}
		return nil
	})
	m.each(func(_ figure, list *heads) { m.apart(list) })
	return m, err
}

// mostSeen is how many bits there are at most for each row to see who comes again: it takes
// longer to look at more than to tell them apart later.
const mostSeen = 16

// words is how many of 64 bits there are for a part's people.
func (f *faces) words() int { return (len(f.numbers) + 63) / 64 }

// places is how many lists a part's rows could add to: one for each step and group.
func (m *meeting) places(t *taken) int { return int(t.last-t.first+1) * max(1, len(t.texts)) }

// place says which one each row adds to.
func (m *meeting) place(t *taken) {
	m.at = slices.Grow(m.at[:0], len(t.rows))[:len(t.rows)]
	at, rows, codes := m.at, t.rows, t.codes
	switch {
	case codes == nil:
		for i, step := range t.steps {
			at[i] = step - t.first
		}
	case t.first == t.last:
		for i, row := range rows {
			at[i] = int32(codes[row])
		}
	default:
		groups := int32(len(t.texts)) //nolint:gosec // chunkRows bounds it
		for i, row := range rows {
			at[i] = (t.steps[i]-t.first)*groups + int32(codes[row])
		}
	}
}

// once notes whoever rows are of once: there is a bit for each place and person.
func (m *meeting) once(t *taken) {
	words := m.words()
	n := m.places(t) * words
	m.seen = slices.Grow(m.seen[:0], n)[:n]
	clear(m.seen)
	seen, codes, at := m.seen, m.codes, m.at
	for i, row := range t.rows {
		who := codes[row]
		seen[int(at[i])*words+int(who/64)] |= 1 << (who % 64)
	}
	for place := range m.places(t) {
		m.now = m.now[:0]
		for i, word := range seen[place*words : (place+1)*words] {
			for ; word != 0; word &= word - 1 {
				m.now = append(m.now, m.numbers[64*i+bits.TrailingZeros64(word)])
			}
		}
		m.note(t, place, m.now)
	}
}

// often notes the person of each row: those of one list together, so that each is come to once.
func (m *meeting) often(t *taken) {
	n := m.places(t)
	m.ends = slices.Grow(m.ends[:0], n+1)[:n+1]
	clear(m.ends)
	m.now = slices.Grow(m.now[:0], len(t.rows))[:len(t.rows)]
	ends, now, at := m.ends, m.now, m.at
	for _, place := range at {
		ends[place+1]++
	}
	for place := range n {
		ends[place+1] += ends[place]
	}
	codes, numbers := m.codes, m.numbers
	for i, row := range t.rows {
		end := &ends[at[i]]
		now[*end] = numbers[codes[row]]
		*end++
	}
	from := int32(0)
	for place, to := range ends[:n] {
		m.note(t, place, now[from:to])
		from = to
	}
}

// note adds people to a list.
func (m *meeting) note(t *taken, place int, people []uint32) {
	if len(people) == 0 {
		return
	}
	groups := max(1, len(t.texts))
	list := m.cell(t, place%groups, t.first+int32(place/groups)) //nolint:gosec // steps are few
	if len(*list)+len(people) > cap(*list) {
		if m.apart(list); 2*(len(*list)+len(people)) > cap(*list) {
			*list = slices.Grow(*list, max(8, len(*list)+len(people)))
		}
	}
	*list = append(*list, people...)
}

// apart leaves everybody in a list once.
func (m *meeting) apart(list *heads) {
	m.stamp++
	stamps, stamp, n := m.stamps, m.stamp, 0
	stamps[0] = stamp // nobody
	all := *list
	for _, who := range all {
		all[n] = who
		n += bit(stamps[who] != stamp)
		stamps[who] = stamp
	}
	*list = all[:n]
}

// figures are how many people there are.
func (m *meeting) figures() map[figure]float64 {
	out := make(map[figure]float64, len(m.names))
	m.each(func(f figure, list *heads) {
		if len(*list) > 0 {
			out[f] = float64(len(*list))
		}
	})
	return out
}

// wholeGroups are how many there are in each group, whatever the step.
func (m *meeting) wholeGroups() map[figure]float64 {
	out := make(map[figure]float64, len(m.names))
	for group, l := range m.names {
		m.now = m.now[:0]
		for _, list := range l.all {
			m.now = append(m.now, list...)
		}
		for _, s := range l.some {
			m.now = append(m.now, s.what...)
		}
		m.apart(&m.now)
		out[figure{group: group}] = float64(len(m.now))
	}
	return out
}
