package sqliteanalytics

import (
	"context"
	"database/sql"
	"math/bits"
	"slices"
)

// numbers gives each digest a small number, from 1 on, in the order in which they come: who
// is counted by one takes four bytes, and a place in a list.
type numbers struct {
	table   []uint32 // by the first bits of a digest, of a power of two; 0: free
	digests []uint64 // by number, less one
}

func (x *numbers) of(digest uint64) uint32 {
	if 2*(len(x.digests)+1) > len(x.table) {
		x.table = make([]uint32, max(1<<10, 2*len(x.table)))
		for i, d := range x.digests {
			x.table[x.place(d)] = uint32(i + 1) //nolint:gosec // so many do not fit into memory
		}
	}
	at := x.place(digest)
	if x.table[at] == 0 {
		x.digests = append(x.digests, digest)
		x.table[at] = uint32(len(x.digests)) //nolint:gosec // so many do not fit into memory
	}
	return x.table[at]
}

// place is where a digest is, or would be.
func (x *numbers) place(digest uint64) uint64 {
	mask := uint64(len(x.table) - 1)
	i := digest >> (64 - bits.Len64(mask))
	for n := x.table[i]; n != 0 && x.digests[n-1] != digest; n = x.table[i] {
		i = (i + 1) & mask
	}
	return i
}

// heads are the numbers of people, of whom some may be there more than once until each is
// told apart.
type heads []uint32

// meeting is who was met on a walk, by group and step.
type meeting struct {
	*cells[heads]

	numbers numbers
	// stamps say by number in which list somebody was seen last. To look there is quicker
	// than a table for each list, of which there may be many.
	stamps []uint32
	stamp  uint32
	seen   seen
}

// met counts the people that a walk finds.
func (s *Store) met(ctx context.Context, tx *sql.Tx, w walk, steps int) (*meeting, error) {
	m := &meeting{cells: newCells[heads](steps)}
	err := s.walk(ctx, tx, w, func(t *taken) error {
		visitors, err := t.column(colVisitor)
		if err != nil {
			return err
		}
		pixels, err := t.column("pixel_id")
		if err != nil {
			return err
		}
		s.people.of(pixels.texts, func(of []map[uint64]uint64) { m.add(t, visitors, pixels, of) })
		return nil
	})
	m.each(func(_ figure, who *heads) { m.apart(who) })
	return m, err
}

// add counts the rows of a part; of are the profiles of the visitors of its pixels.
func (m *meeting) add(t *taken, visitors, pixels *column, of []map[uint64]uint64) {
	m.begin(t)
	m.seen.begin(t, of, len(visitors.digests))
	for i, row := range t.rows {
		code, pixel := visitors.codes[row], pixels.codes[row]
		who := m.seen.pixel[pixel] + uint(code)
		if m.seen.already(t, i, who) {
			continue
		}
		n := m.seen.numbers[who]
		if n == 0 {
			v := visitors.digests[code]
			if v == 0 {
				continue
			}
			if profile, ok := of[pixel][v]; ok {
				v = profile
			}
			n = m.numbers.of(v)
			m.seen.numbers[who] = n
		}
		list := &m.of(t, row)[t.steps[i]]
		if len(*list) == cap(*list) {
			m.room(list)
		}
		*list = append(*list, n)
	}
}

// room makes some for one more, without those who are there twice.
func (m *meeting) room(list *heads) {
	if m.apart(list); 2*len(*list) >= cap(*list) {
		*list = slices.Grow(*list, max(16, len(*list)))
	}
}

// apart leaves everybody in a list once.
func (m *meeting) apart(list *heads) {
	if more := len(m.numbers.digests) + 1 - len(m.stamps); more > 0 {
		m.stamps = append(m.stamps, make([]uint32, more)...)
	}
	m.stamp++
	n := 0
	for _, who := range *list {
		if m.stamps[who] != m.stamp {
			m.stamps[who] = m.stamp
			(*list)[n] = who
			n++
		}
	}
	*list = (*list)[:n]
}

// seen remembers who of a part was counted already, as most rows are of somebody who was:
// a bit for each step, group, pixel and visitor. The steps of a part are few, and follow
// one another; pixels that know no profiles need not be told apart.
type seen struct {
	bits               []uint64
	step, group, pixel []uint   // where those of each begin
	numbers            []uint32 // of pixels' visitors; 0: not known yet
}

// mostSeen is how many bits there are at most for each row; with more, nobody is
// remembered: it takes longer to clear them than to tell those apart who come again.
const mostSeen = 64

func (m *seen) begin(t *taken, of []map[uint64]uint64, visitors int) {
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
	m.numbers = slices.Grow(m.numbers[:0], int(width))[:width] //nolint:gosec // some thousands
	clear(m.numbers)
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
	if m.bits = m.bits[:0]; width <= mostSeen*uint(len(t.rows)) {
		m.bits = slices.Grow(m.bits, int(width/64)+1)[:width/64+1] //nolint:gosec // mostSeen bounds it
		clear(m.bits)
	}
}

// already reports whether whoever a row is of was seen before, and remembers it.
func (m *seen) already(t *taken, i int, who uint) bool {
	if len(m.bits) == 0 {
		return false
	}
	place := who + m.step[t.steps[i]-t.first]
	if t.codes != nil {
		place += m.group[t.codes[t.rows[i]]]
	}
	word, bit := &m.bits[place/64], uint64(1)<<(place%64)
	if *word&bit != 0 {
		return true
	}
	*word |= bit
	return false
}
