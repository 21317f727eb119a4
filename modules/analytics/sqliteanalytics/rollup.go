package sqliteanalytics

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
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

// rollEvery is how many events wait before they are rolled up: a question counts
// those one by one, and the more come together, the less each costs.
const rollEvery = 8192

// cell is a row of the roll-ups.
type cell struct {
	dimension          string
	level, bucket      int64
	pixel, name, value string
}

func (c cell) compare(o cell) int {
	return cmp.Or(cmp.Compare(c.dimension, o.dimension), cmp.Compare(c.level, o.level), cmp.Compare(c.bucket, o.bucket),
		cmp.Compare(c.pixel, o.pixel), cmp.Compare(c.name, o.name), cmp.Compare(c.value, o.value))
}

// sum is what a row holds; money in millionths.
type sum struct {
	events        int64
	revenue, base float64
}

func (s *sum) add(o sum) {
	s.events, s.revenue, s.base = s.events+o.events, s.revenue+o.revenue, s.base+o.base
}

// byName begins the dimensions whose sums are apart by name too. Most questions are
// about all names, and there are far fewer rows of those.
const byName = "name+"

// roll is what a number of events come to.
type roll struct {
	dimensions []string
	hours      map[cell]*sum // and minutes
	visitors   map[cell]map[uint64]bool
}

func newRoll(dimensions []string) *roll {
	return &roll{dimensions: dimensions, hours: map[cell]*sum{}, visitors: map[cell]map[uint64]bool{}}
}

// add counts an event. values are those of the dimensions, in their order.
func (r *roll) add(at int64, pixel, name, visitor string, revenue, base sql.NullFloat64, values []string) {
	one := one(name, revenue, base)
	c := cell{level: minute, bucket: floor(at, minute*micros), pixel: pixel, name: name}
	r.sum(c).add(one)
	c.level, c.bucket = anHour, floor(at, anHour*micros)
	r.sum(c).add(one)
	for i, d := range r.dimensions {
		c.dimension, c.name, c.value = d, "", values[i]
		r.sum(c).add(one)
		c.dimension, c.name = byName+d, name
		r.sum(c).add(one)
	}
	if visitor != "" {
		set := cell{level: anHour, bucket: c.bucket, pixel: pixel}
		if r.visitors[set] == nil {
			r.visitors[set] = map[uint64]bool{}
		}
		r.visitors[set][digest(visitor)] = true
	}
}

func (r *roll) sum(c cell) *sum {
	s := r.hours[c]
	if s == nil {
		s = &sum{}
		r.hours[c] = s
	}
	return s
}

// days adds the sums of days to those of hours.
func (r *roll) days() {
	for c, s := range r.hours {
		if c.level == anHour {
			c.level, c.bucket = aDay, floor(c.bucket, aDay/anHour)
			r.sum(c).add(*s)
		}
	}
	for c, set := range r.visitors {
		if c.level != anHour {
			continue
		}
		c.level, c.bucket = aDay, floor(c.bucket, aDay/anHour)
		if r.visitors[c] == nil {
			r.visitors[c] = make(map[uint64]bool, len(set))
		}
		for v := range set {
			r.visitors[c][v] = true
		}
	}
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

const putRollup = `INSERT INTO rollups (dimension, level, bucket, pixel_id, name, value, events, revenue, base) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET events = events + excluded.events, revenue = revenue + excluded.revenue, base = base + excluded.base`

// write adds what was counted to the roll-ups, in the order of their keys.
func (r *roll) write(ctx context.Context, tx *sql.Tx, s *Store) error {
	r.days()
	put := tx.StmtContext(ctx, s.putRollup)
	cells := make([]cell, 0, len(r.hours))
	for c := range r.hours {
		cells = append(cells, c)
	}
	slices.SortFunc(cells, cell.compare)
	for _, c := range cells {
		v := r.hours[c]
		if _, err := put.ExecContext(ctx, c.dimension, c.level, c.bucket, c.pixel, c.name, c.value, v.events, v.revenue, v.base); err != nil {
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

func (s *Store) addVisitors(ctx context.Context, tx *sql.Tx, c cell, set map[uint64]bool) error {
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

// waits says how many events may not be rolled up yet, and up to which they are.
func waits(ctx context.Context, tx *sql.Tx) (n, seq int64, err error) {
	var newest int64
	err = tx.QueryRowContext(ctx, `SELECT r.seq, coalesce((SELECT max(seq) FROM events), 0) FROM rolled r`).Scan(&seq, &newest)
	return newest - seq, seq, err
}

// rollUp adds the next of the events that wait to the roll-ups, if there are many.
// It is part of the transaction that stored the last of them.
func (s *Store) rollUp(ctx context.Context, tx *sql.Tx) error {
	return s.rollUpOf(ctx, tx, s.rollEvery)
}

// rollUpOf does so if at least so many may wait.
func (s *Store) rollUpOf(ctx context.Context, tx *sql.Tx, least int64) error {
	n, seq, err := waits(ctx, tx)
	if err != nil || n < least {
		return err
	}
	r := newRoll(s.rolled)
	last, err := s.count(ctx, tx, r, `seq > ? ORDER BY seq LIMIT ?`, seq, 4*s.rollEvery)
	if err != nil {
		return err
	}
	if err := r.write(ctx, tx, s); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE rolled SET seq = ?`, last)
	return err
}

// count adds stored events to a roll, and returns the seq of the last.
func (s *Store) count(ctx context.Context, tx *sql.Tx, r *roll, where string, args ...any) (seq int64, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT seq, received_at, pixel_id, name, visitor_id, value, base_value, `+strings.Join(r.dimensions, ", ")+` FROM events WHERE `+where, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var at int64
	var pixel, name, visitor string
	var revenue, base sql.NullFloat64
	values := make([]string, len(r.dimensions))
	into := []any{&seq, &at, &pixel, &name, &visitor, &revenue, &base}
	for i := range values {
		into = append(into, &values[i])
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		r.add(at, pixel, name, visitor, revenue, base, values)
	}
	return seq, rows.Err()
}

// CatchUp rolls up what was stored before there were roll-ups, until little waits
// or the context ends. Where it was stopped, it goes on the next time.
func (s *Store) CatchUp(ctx context.Context) error {
	for {
		var n int64
		err := s.write(ctx, "roll up", 1, func(tx *sql.Tx) (err error) {
			if err = s.rollUp(ctx, tx); err == nil {
				n, _, err = waits(ctx, tx)
			}
			return err
		})
		if err != nil || n < s.rollEvery {
			return err
		}
	}
}
