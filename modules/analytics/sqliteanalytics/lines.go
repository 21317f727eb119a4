package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// line is one of the sync log, as far as questions count it.
type line struct {
	seq, at, latency int64
	event            uint64 // a digest of the pixel and the event
	hour             int64  // in which the event was received; noHour: it is not stored
	pixel, partner   uint16
	attempted        bool
	outcome          event.Outcome
}

const noHour = -1 << 62

const (
	// mostLines is how many lines are kept in memory. A log that is longer is counted row
	// by row.
	mostLines = 1 << 20
	// mostChanged is how many may change before the lines are let go, since nobody asks.
	mostChanged = 1 << 14
	// mostOrphans is how many of the newest lines without an event are looked at again.
	mostOrphans = 1000
)

// lines keep the sync log in memory, once somebody asked, with when each line's event was
// received: to look that up for each line is what takes long. Nobody but this process
// writes the store.
type lines struct {
	mu      sync.Mutex
	loaded  bool
	cuts    int64 // the state of deletions that it is of
	upto    int64 // the last line's seq
	events  int64 // the newest event's seq, when orphans were looked at
	list    []line
	orphans []int // places in list
	changed []eventKey
	pixels  interned[string]
	partner interned[string]
}

type eventKey struct{ pixel, id string }

// wrote takes note of lines that were committed: they may have replaced some.
func (l *lines) wrote(syncs []event.Sync) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded {
		return // they will be read
	}
	if len(l.changed)+len(syncs) > mostChanged {
		l.forget()
		return
	}
	for i := range syncs {
		l.changed = append(l.changed, eventKey{syncs[i].PixelID, syncs[i].EventID})
	}
}

func (l *lines) forget() {
	l.loaded, l.upto, l.events, l.list, l.orphans, l.changed = false, 0, 0, nil, nil, nil
	l.pixels, l.partner = interned[string]{}, interned[string]{}
}

const readLines = `SELECT s.seq, s.at, coalesce(s.latency, 0), s.pixel_id, s.event_id, s.partner, s.attempt, s.outcome, e.received_at
FROM syncs s LEFT JOIN events e ON e.id = s.event_id AND e.pixel_id = s.pixel_id WHERE `

// with calls f with the lines as they are now; ok is false where there are too many.
func (l *lines) with(ctx context.Context, s *Store, f func(list []line, pixels, partners []string)) (ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := l.changed
	l.changed = nil
	err = s.snapshot(ctx, "read the sync log", func(tx *sql.Tx) error {
		p, err := place(ctx, tx)
		if err != nil {
			return err
		}
		if p.cuts != l.cuts {
			l.forget()
			l.cuts, changed = p.cuts, nil
		}
		var least, most int64
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM syncs`).Scan(&least, &most); err != nil {
			return err
		}
		if ok = most-least < mostLines; !ok {
			return nil
		}
		for _, k := range changed {
			if err := l.take(ctx, tx, `s.event_id = ? AND s.pixel_id = ? AND s.seq <= ?`, k.id, k.pixel, l.upto); err != nil {
				return err
			}
		}
		if most > l.upto {
			if err := l.take(ctx, tx, `s.seq > ? ORDER BY s.seq`, l.upto); err != nil {
				return err
			}
		}
		if p.newest > l.events {
			if err := l.adopt(ctx, tx); err != nil {
				return err
			}
			l.events = p.newest
		}
		return nil
	})
	if err != nil || !ok {
		l.forget()
		return ok, err
	}
	l.loaded = true
	f(l.list, l.pixels.list, l.partner.list)
	return true, nil
}

// take reads lines, each in its place.
func (l *lines) take(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	var one line
	var pixel, id, partner string
	var attempt int
	var received sql.NullInt64
	return each(ctx, tx, readLines+where, args, []any{&one.seq, &one.at, &one.latency, &pixel, &id, &partner, &attempt, &one.outcome, &received}, func() {
		v := one
		v.event, v.hour = digest(pixel+"\x00"+id), noHour
		if received.Valid {
			v.hour = floor(received.Int64, hour)
		}
		l.pixels.add(pixel)
		l.partner.add(partner)
		v.pixel, v.partner = l.pixels.codes[0], l.partner.codes[0]
		l.pixels.codes, l.partner.codes = nil, nil
		v.attempted = attempt > 0 && v.outcome != event.NotSent && v.outcome != event.Dry
		i, there := slices.BinarySearchFunc(l.list, v.seq, func(x line, seq int64) int { return cmp.Compare(x.seq, seq) })
		if there {
			l.list[i] = v
			return
		}
		if v.hour == noHour {
			if l.orphans = append(l.orphans, len(l.list)); len(l.orphans) > 2*mostOrphans {
				l.orphans = slices.Clone(l.orphans[mostOrphans:])
			}
		}
		l.list, l.upto = append(l.list, v), max(l.upto, v.seq)
	})
}

// adopt looks for the events of lines that had none, for they may be stored by now.
func (l *lines) adopt(ctx context.Context, tx *sql.Tx) error {
	still := l.orphans[:0]
	for _, i := range l.orphans[max(0, len(l.orphans)-mostOrphans):] {
		var received sql.NullInt64
		err := tx.QueryRowContext(ctx, `SELECT (SELECT received_at FROM events e WHERE e.id = s.event_id AND e.pixel_id = s.pixel_id) FROM syncs s WHERE s.seq = ?`, l.list[i].seq).Scan(&received)
		if err != nil {
			return err
		}
		if received.Valid {
			l.list[i].hour = floor(received.Int64, hour)
		} else {
			still = append(still, i)
		}
	}
	l.orphans = still
	return nil
}

// Stored counts events from roll-ups, and lines of the sync log from memory.
func (s *Store) Stored(ctx context.Context, since, until time.Time) ([]analytics.Tally, error) {
	first, end := floor(since.UnixMicro(), hour), floor(until.UnixMicro(), hour)
	sent, ok, err := s.sentOf(ctx, first, end)
	if err != nil {
		return nil, err
	}
	if !ok {
		return s.Tally(ctx, since, until)
	}
	all := tallies{}
	err = s.snapshot(ctx, "count what is stored", func(tx *sql.Tx) error {
		var pixel, partner string
		var at, n int64
		err := each(ctx, tx, `SELECT pixel_id, bucket, sum(events) FROM rollups WHERE level = ? AND bucket >= ? AND bucket < ? GROUP BY 1, 2`,
			[]any{anHour, first, end}, []any{&pixel, &at, &n}, func() { all.of(pixel, at, "").N += n })
		if err != nil {
			return err
		}
		err = s.walk(ctx, tx, walk{late: []piece{{0, first * hour, end * hour}}, group: "pixel_id"}, func(t *taken) error {
			at, err := t.column(colAt)
			if err != nil {
				return err
			}
			for _, row := range t.rows {
				all.of(t.of(row), floor(at.ints[row], hour), "").N++
			}
			return nil
		})
		if err != nil {
			return err
		}
		return each(ctx, tx, routedByHour, []any{first * hour, end * hour, hour}, []any{&pixel, &at, &partner, &n}, func() { all.of(pixel, at, partner).Routed += n })
	})
	if err != nil {
		return nil, err
	}
	for k, v := range sent {
		t := all.of(k.PixelID, k.Hour.UnixMicro()/hour, k.Partner)
		t.N, t.Sent = t.N+v.N, t.Sent+v.Sent
	}
	return all.rows(), nil
}

// sentOf counts what was sent and accepted of the events of some hours.
func (s *Store) sentOf(ctx context.Context, first, end int64) (out tallies, ok bool, err error) {
	out = tallies{}
	type place struct {
		pixel, partner uint16
		hour           int64
	}
	type once struct {
		event    uint64
		partner  uint16
		accepted bool
	}
	counts, seen := map[place]*analytics.Tally{}, map[once]bool{}
	ok, err = s.lines.with(ctx, s, func(list []line, pixels, partners []string) {
		for i := range list {
			l := &list[i]
			if l.hour < first || l.hour >= end {
				continue
			}
			at := place{l.pixel, l.partner, l.hour}
			for _, accepted := range [...]bool{false, true} {
				k := once{l.event, l.partner, accepted}
				if accepted && l.outcome != event.Accepted || !accepted && !l.attempted || seen[k] {
					continue
				}
				seen[k] = true
				t := counts[at]
				if t == nil {
					t = out.of(pixels[l.pixel], l.hour, partners[l.partner])
					counts[at] = t
				}
				if accepted {
					t.N++
				} else {
					t.Sent++
				}
			}
		}
	})
	return out, ok, err
}

// latencies are those of each partner and step, by the partner's name.
func (s *Store) latencies(ctx context.Context, q analytics.LatencyQuery, list []piece) (out map[string]map[int][]time.Duration, ok bool, err error) {
	out = map[string]map[int][]time.Duration{}
	ok, err = s.lines.with(ctx, s, func(all []line, pixels, partners []string) {
		wanted := func(of []string, one string, many []string) []bool {
			ok := make([]bool, len(of))
			for i, v := range of {
				ok[i] = (one == "" || v == one) && (many == nil || slices.Contains(many, v))
			}
			return ok
		}
		pixel, partner := wanted(pixels, q.PixelID, q.Pixels), wanted(partners, q.Partner, nil)
		now := list[0]
		for i := range all {
			l := &all[i]
			if l.latency <= 0 || !pixel[l.pixel] || !partner[l.partner] {
				continue
			}
			if l.at < now.from || l.at >= now.to {
				at, found := slices.BinarySearchFunc(list, l.at, func(p piece, at int64) int {
					switch {
					case at < p.from:
						return 1
					case at >= p.to:
						return -1
					}
					return 0
				})
				if !found {
					continue
				}
				now = list[at]
			}
			name := partners[l.partner]
			if out[name] == nil {
				out[name] = map[int][]time.Duration{}
			}
			out[name][now.step] = append(out[name][now.step], time.Duration(l.latency))
		}
	})
	return out, ok, err
}
