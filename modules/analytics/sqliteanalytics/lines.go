package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"sync/atomic"

	"github.com/miq/pixel/modules/event"
)

// line is one of the sync log, as far as questions count it.
type line struct {
	seq, at, latency int64
	event            uint64    // a digest of the pixel and the event
	hour             int64     // in which the event was received; noHour: it is not stored
	of               [4]uint16 // the places of its values among lines.values
	attempted        bool
	accepted         bool
}

// What line.of and lines.values hold, in the order of analytics.SyncDimensions.
const (
	ofPixel = iota
	ofPartner
	ofOutcome
	ofCode
)

const noHour = -1 << 62

const (
	// mostLines is how many lines are kept in memory. A log that is longer is counted row
	// by row.
	mostLines = 1 << 20
	// mostChanged is how many may change before the lines are let go, since nobody asks.
	mostChanged = 1 << 14
	// mostOrphans is how many of the newest lines without an event are looked at again.
	mostOrphans = 1000
	// mostAwaited is how many lines a question reads itself. Where more are missing, as
	// after a start, they are read behind its back, and it is answered another way.
	mostAwaited = 2000
	// linesAtOnce is how many are read in a turn, that nobody waits for long.
	linesAtOnce = 4096
)

// lines keep the sync log in memory, once somebody asked, with when each line's event was
// received: to look that up for each line is what takes long. Nobody but this process
// writes the store.
type lines struct {
	turns
	reading atomic.Bool // somebody reads all of it
	awaited int64       // mostAwaited, but in tests
	cuts    int64       // the state of deletions that it is of
	upto    int64       // the last line's seq; 0: none is read
	events  int64       // the newest event's seq, when orphans were looked at
	list    []line
	orphans []int // places in list
	changed noted[eventKey]
	values  [4]interned[string]
}

type eventKey struct{ pixel, id string }

// wrote takes note of lines that were committed: they may have replaced some.
func (l *lines) wrote(syncs []event.Sync) {
	for i := range syncs {
		l.changed.note(eventKey{syncs[i].PixelID, syncs[i].EventID})
	}
}

func (l *lines) forget() {
	l.upto, l.events, l.list, l.orphans = 0, 0, nil, nil
	l.values = [4]interned[string]{}
}

const readLines = `SELECT s.seq, s.at, coalesce(s.latency, 0), s.pixel_id, s.partner, s.outcome, s.code, s.event_id, s.attempt, e.received_at
FROM syncs s LEFT JOIN events e ON e.id = s.event_id AND e.pixel_id = s.pixel_id WHERE `

// with calls f with the lines as they are now. ok is false where there are too many, and
// where many are still to be read, which is seen to.
func (l *lines) with(ctx context.Context, s *Store, f func(list []line, values [4][]string)) (ok bool, err error) {
	if l.reading.Load() {
		return false, nil
	}
	left, ok, err := l.use(ctx, s, l.awaited, f)
	if left {
		s.meanwhile(func(ctx context.Context) { _ = l.whole(ctx, s) }) // the next question meets the same error
		return false, nil
	}
	return ok, err
}

// waited is with, but reads what is missing first, in turns with others.
func (l *lines) waited(ctx context.Context, s *Store, f func(list []line, values [4][]string)) (ok bool, err error) {
	for left := true; left; {
		if left, ok, err = l.use(ctx, s, far, f); err != nil {
			return false, err
		}
	}
	return ok, nil
}

// whole reads what is missing, unless somebody is at it.
func (l *lines) whole(ctx context.Context, s *Store) error {
	if !l.reading.CompareAndSwap(false, true) {
		return nil
	}
	defer l.reading.Store(false)
	_, err := l.waited(ctx, s, func([]line, [4][]string) {})
	return err
}

// use calls f once no line is missing; left says that some are.
func (l *lines) use(ctx context.Context, s *Store, awaited int64, f func(list []line, values [4][]string)) (left, ok bool, err error) {
	if err := l.take(ctx); err != nil {
		return false, false, err
	}
	defer l.give()
	if left, ok, err = l.follow(ctx, s, awaited); err != nil || left || !ok {
		return left, ok, err
	}
	var values [4][]string
	for i := range values {
		values[i] = l.values[i].list
	}
	f(l.list, values)
	return false, true, nil
}

// follow brings the lines up to what the log holds, as far as linesAtOnce go; left says
// that there are more. Where more than awaited are missing it reads none. ok is false
// where there are too many, and none is kept.
func (l *lines) follow(ctx context.Context, s *Store, awaited int64) (left, ok bool, err error) {
	changed, over := l.changed.take()
	if over {
		l.forget()
	}
	if l.upto == 0 {
		changed = nil // they will be read
	}
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
		if err := tx.QueryRowContext(ctx, `SELECT coalesce((SELECT min(seq) FROM syncs), 0), coalesce((SELECT max(seq) FROM syncs), 0)`).Scan(&least, &most); err != nil {
			return err
		}
		if ok = most-least < mostLines; !ok {
			return nil
		}
		for k := range changed {
			if err := l.read(ctx, tx, `s.event_id = ? AND s.pixel_id = ? AND s.seq <= ?`, k.id, k.pixel, l.upto); err != nil {
				return err
			}
		}
		if missing := most - max(l.upto, least-1); missing > awaited {
			left = true
			return nil
		}
		if most > l.upto {
			if err := l.read(ctx, tx, `s.seq > ? ORDER BY s.seq LIMIT ?`, l.upto, linesAtOnce); err != nil {
				return err
			}
			if left = l.upto < most; left {
				return nil
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
		return false, ok, err
	}
	return left, true, nil
}

// warm reads the lines before anybody asks for them, or lets them go since nobody does.
func (s *Store) warm(ctx context.Context) error {
	if !s.lines.changed.isOver() {
		return s.lines.whole(ctx, s)
	}
	if err := s.lines.take(ctx); err != nil {
		return err
	}
	defer s.lines.give()
	s.lines.forget()
	return nil
}

// read reads lines, each in its place.
func (l *lines) read(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	var one line
	var id string
	var of [4]string
	var attempt int
	var received sql.NullInt64
	return each(ctx, tx, readLines+where, args, []any{&one.seq, &one.at, &one.latency, &of[ofPixel], &of[ofPartner], &of[ofOutcome], &of[ofCode], &id, &attempt, &received}, func() {
		v := one
		v.event, v.hour = digest(of[ofPixel]+"\x00"+id), noHour
		if received.Valid {
			v.hour = floor(received.Int64, hour)
		}
		for i := range of {
			l.values[i].add(of[i])
			v.of[i] = l.values[i].codes[0]
			l.values[i].codes = l.values[i].codes[:0]
		}
		outcome := event.Outcome(of[ofOutcome])
		v.accepted = outcome == event.Accepted
		v.attempted = attempt > 0 && outcome != event.NotSent && outcome != event.Dry
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
