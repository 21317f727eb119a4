package sqliteanalytics

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/miq/pixel/modules/event"
)

// The lengths of roll-ups, in minutes. Only the sums of names alone are kept by the
// minute, and visitors by the hour and the day.
const (
	minute = 1
	anHour = 60
	aDay   = 24 * 60
)

// micros is a minute in microseconds.
const micros = 60_000_000

// rollEvery is how many events wait before they are rolled up: a question reads
// those of them that are new to it, and the more come together, the less each costs.
const rollEvery = 32768

// slot is one minute, hour or day of a pixel and a name.
type slot struct {
	level, bucket int64
	pixel, name   string
}

func (s slot) compare(o slot) int {
	return cmp.Or(cmp.Compare(s.level, o.level), cmp.Compare(s.bucket, o.bucket), cmp.Compare(s.pixel, o.pixel), cmp.Compare(s.name, o.name))
}

// day is the one that an hour lies in.
func (s slot) day() slot {
	s.level, s.bucket = aDay, floor(s.bucket, aDay/anHour)
	return s
}

// sum is what events come to; money in millionths.
type sum struct {
	events        int64
	revenue, base float64
}

func (s *sum) add(o sum) {
	s.events, s.revenue, s.base = s.events+o.events, s.revenue+o.revenue, s.base+o.base
}

// roll is what a number of events come to.
type roll struct {
	dimensions []string
	sums       map[slot]*sum              // of minutes, hours and days
	values     map[slot][]map[string]*sum // of hours, by dimension and value
	visitors   map[slot]map[uint64]bool   // of hours and days; those slots have no name
}

func newRoll(dimensions []string) *roll {
	return &roll{dimensions: dimensions, sums: map[slot]*sum{}, values: map[slot][]map[string]*sum{}, visitors: map[slot]map[uint64]bool{}}
}

// add counts an event, whose visitor is this one by his digest.
func (r *roll) add(c *counted, visitor uint64) {
	one := one(c.name, c.revenue, c.base)
	addTo(r.sums, slot{minute, floor(c.at, minute*micros), c.pixel, c.name}, one)
	hour := slot{anHour, floor(c.at, anHour*micros), c.pixel, c.name}
	addTo(r.sums, hour, one)
	addTo(r.sums, hour.day(), one)
	by := r.values[hour]
	if by == nil {
		by = make([]map[string]*sum, len(r.dimensions))
		for i := range by {
			by[i] = map[string]*sum{}
		}
		r.values[hour] = by
	}
	for i, v := range c.values {
		addTo(by[i], v, one)
	}
	if c.visitor != "" {
		hour.name = ""
		for _, s := range [...]slot{hour, hour.day()} {
			if r.visitors[s] == nil {
				r.visitors[s] = map[uint64]bool{}
			}
			r.visitors[s][visitor] = true
		}
	}
}

func addTo[K comparable](sums map[K]*sum, k K, one sum) {
	s := sums[k]
	if s == nil {
		s = &sum{}
		sums[k] = s
	}
	s.add(one)
}

// byValue are the sums by value of hours and days, of each name and of all together.
func (r *roll) byValue() map[bin]map[string]*sum {
	out := map[bin]map[string]*sum{}
	for hour, by := range r.values {
		for i, values := range by {
			d := r.dimensions[i]
			for _, s := range [...]slot{hour, hour.day()} {
				named := bin{byName + d, s}
				s.name = ""
				for _, h := range [...]bin{named, {d, s}} {
					into := out[h]
					if into == nil {
						into = make(map[string]*sum, len(values))
						out[h] = into
					}
					for v, n := range values {
						addTo(into, v, *n)
					}
				}
			}
		}
	}
	return out
}

// one is what a single event comes to.
func one(name string, revenue, base sql.NullFloat64) sum {
	s := sum{events: 1}
	if name == "purchase" {
		s.revenue, s.base = math.Round(revenue.Float64*1e6), math.Round(base.Float64*1e6)
	}
	return s
}

func floor(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

// digest stands for a visitor or a profile. Two of ten million are taken for one
// another once in four hundred thousand stores.
func digest(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:])
}

const putRollup = `INSERT INTO rollups (level, bucket, pixel_id, name, events, revenue, base) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET events = events + excluded.events, revenue = revenue + excluded.revenue, base = base + excluded.base`

// write adds what was counted to the roll-ups, in the order of their keys.
func (r *roll) write(ctx context.Context, tx *sql.Tx, s *Store) error {
	put := tx.StmtContext(ctx, s.putRollup)
	for _, c := range slices.SortedFunc(maps.Keys(r.sums), slot.compare) {
		v := r.sums[c]
		if _, err := put.ExecContext(ctx, c.level, c.bucket, c.pixel, c.name, v.events, v.revenue, v.base); err != nil {
			return err
		}
	}
	values := r.byValue()
	for _, h := range slices.SortedFunc(maps.Keys(values), bin.compare) {
		if err := s.putSums(ctx, tx, h, sorted(values[h])); err != nil {
			return err
		}
	}
	for c, set := range r.visitors {
		if err := s.addVisitors(ctx, tx, c, set); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) addVisitors(ctx context.Context, tx *sql.Tx, c slot, set map[uint64]bool) error {
	var was []byte
	err := tx.StmtContext(ctx, s.visitorSet).QueryRowContext(ctx, c.level, c.bucket, c.pixel).Scan(&was)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	all := unpack(was, make([]uint64, 0, len(was)/8+len(set)))
	for v := range set {
		all = append(all, v)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all)*8 == len(was) {
		return nil
	}
	blob := make([]byte, 0, len(all)*8)
	for _, v := range all {
		blob = binary.BigEndian.AppendUint64(blob, v)
	}
	_, err = tx.StmtContext(ctx, s.putVisitors).ExecContext(ctx, c.level, c.bucket, c.pixel, blob)
	return err
}

func unpack(blob []byte, into []uint64) []uint64 {
	for ; len(blob) >= 8; blob = blob[8:] {
		into = append(into, binary.BigEndian.Uint64(blob))
	}
	return into
}

// counted is what a roll needs of an event.
type counted struct {
	seq, at, time               int64
	pixel, name, visitor, order string
	revenue, base               sql.NullFloat64
	values                      []string // of the dimensions, in their order
	search                      []byte
}

func (c *counted) visitorDigest() uint64 {
	if c.visitor == "" {
		return 0
	}
	return digest(c.visitor)
}

// position says up to where the events are rolled up, which of them is the newest, which
// seq was used last, and how often events were deleted.
type position struct{ rolled, newest, used, cuts int64 }

func place(ctx context.Context, tx *sql.Tx) (p position, err error) {
	err = tx.QueryRowContext(ctx, `SELECT seq, cuts, coalesce((SELECT max(seq) FROM events), 0),
		coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) FROM rolled`).Scan(&p.rolled, &p.cuts, &p.newest, &p.used)
	p.used = max(p.used, p.newest)
	return p, err
}

// ahead is what the events that wait to be rolled up come to, where it is known without
// reading them again. It belongs to whoever holds the write transaction. What a
// transaction that is rolled back did to it does not fit the next one's position, and is
// thrown away.
type ahead struct {
	from, to int64
	roll     *roll
	columns  *waiting // readers have them too
}

// fits reports whether it holds all that waits.
func (a *ahead) fits(p position) bool { return a.roll != nil && a.from == p.rolled && a.to == p.newest }

// add counts events that were just written, of which the last has a seq.
func (a *ahead) add(s *Store, p position, r *rows, fresh []int, last int64) {
	if !a.fits(p) {
		*a = ahead{}
		if p.rolled != p.newest {
			s.tail.lose()
			return
		}
		*a = ahead{from: p.rolled, to: p.newest, roll: newRoll(s.rolled), columns: &waiting{after: p.rolled}}
		s.tail.begin(a.columns)
	}
	visitors := make([]uint64, len(fresh))
	for j, i := range fresh {
		c := &r.counts[i]
		c.seq, visitors[j] = last-int64(fresh[len(fresh)-1]-i), c.visitorDigest()
		a.roll.add(c, visitors[j])
		a.to = last
	}
	s.tail.mu.Lock()
	defer s.tail.mu.Unlock()
	for j, i := range fresh {
		a.columns.add(s, &r.counts[i], visitors[j])
	}
}

// rollUp adds the next of the events that wait to the roll-ups, if there are many.
// It is part of the transaction that stored the last of them.
func (s *Store) rollUp(ctx context.Context, tx *sql.Tx) error {
	return s.rollUpOf(ctx, tx, s.rollEvery)
}

// rollUpOf does so if at least so many may wait.
func (s *Store) rollUpOf(ctx context.Context, tx *sql.Tx, least int64) error {
	p, err := place(ctx, tx)
	if err != nil || p.newest-p.rolled < least {
		return err
	}
	r, columns, last := s.ahead.roll, s.ahead.columns, p.newest
	if !s.ahead.fits(p) {
		r, columns = newRoll(s.rolled), &waiting{after: p.rolled}
		err := s.count(ctx, tx, func(c *counted) {
			visitor := c.visitorDigest()
			r.add(c, visitor)
			columns.add(s, c, visitor)
			last = c.seq
		}, `seq > ? ORDER BY seq LIMIT ?`, p.rolled, 4*s.rollEvery)
		if err != nil {
			return err
		}
	}
	s.ahead = ahead{}
	if err := r.write(ctx, tx, s); err != nil {
		return err
	}
	if err := s.putChunks(ctx, tx, p.rolled, last, columns.batches); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE rolled SET seq = ?`, last)
	return err
}

// count reads stored events one by one, which is dear.
func (s *Store) count(ctx context.Context, tx *sql.Tx, f func(*counted), where string, args ...any) error {
	c := counted{values: make([]string, len(s.rolled))}
	return s.events(ctx, tx, func(seq int64, e *event.Event) bool {
		c.seq = seq
		s.countEvent(e, &c)
		f(&c)
		return true
	}, where, args...)
}

// CatchUp rolls up what was stored before there were roll-ups, until little waits
// or the context ends. Where it was stopped, it goes on the next time.
func (s *Store) CatchUp(ctx context.Context) error {
	for {
		var n int64
		err := s.alone(ctx, "roll up", 1, func(tx *sql.Tx) (err error) {
			if err = s.rollUp(ctx, tx); err == nil {
				var p position
				p, err = place(ctx, tx)
				n = p.newest - p.rolled
			}
			return err
		})
		if err != nil || n < s.rollEvery {
			return err
		}
	}
}
