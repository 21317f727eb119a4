package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// eraseChunk is how many events are deleted in one transaction, which holds up
// writers.
const eraseChunk = 500

// Erase deletes events with all that is said of them. Where they are is looked for once;
// and at the end the columns of what is left are made anew, so that no question has to
// read it one by one.
func (s *Store) Erase(ctx context.Context, e analytics.Erasure) (done analytics.Erased, err error) {
	if err := s.erasing.take(ctx); err != nil {
		return done, told(ctx, "erase events", err)
	}
	defer s.erasing.give()
	h, err := s.hunt(ctx, e)
	if err != nil {
		return done, err
	}
	for some := range slices.Chunk(h.found, eraseChunk) {
		n, err := s.deleteSome(ctx, e.PixelID, some, h)
		done.Add(n)
		if err != nil {
			return done, err
		}
	}
	for visitors := range slices.Chunk(e.Visitors, eraseChunk) {
		w := where{}
		w.equal("pixel_id", e.PixelID)
		w.in("visitor_id", visitors)
		err := s.alone(ctx, "erase visitors", 1, func(tx *sql.Tx) error {
			n, err := remove(ctx, tx, "identities", w)
			done.Identities += n
			if err != nil {
				return err
			}
			if !e.Until.IsZero() {
				w.add("at < ?", e.Until.UnixMicro())
			}
			if n, err = remove(ctx, tx, "touches", w); n > 0 && err == nil {
				err = s.cut(ctx, tx, nil)
			}
			done.Credits += n
			return err
		})
		if err != nil {
			return done, err
		}
		s.people.forget()
	}
	if done.Events > 0 {
		err = s.Mend(ctx)
	}
	return done, err
}

// Kept counts what Erase would delete.
func (s *Store) Kept(ctx context.Context, e analytics.Erasure) (n analytics.Erased, err error) {
	h, err := s.hunt(ctx, e)
	if err != nil {
		return n, err
	}
	err = s.snapshot(ctx, "count what is kept of people", func(tx *sql.Tx) error {
		for some := range slices.Chunk(h.found, eraseChunk) {
			by := where{}
			by.seqs(some)
			events := ` WHERE (event_id, pixel_id) IN (SELECT id, pixel_id FROM events` + by.String() + `)`
			for _, c := range []struct {
				into *int
				from string
			}{
				{&n.Events, counting + `events` + by.String()}, {&n.Syncs, counting + `syncs` + events}, {&n.Matches, counting + `matches` + events}, {&n.Credits, countingSets + events},
			} {
				if err := ask(ctx, tx, c.into, c.from, nil); err != nil {
					return err
				}
			}
		}
		for visitors := range slices.Chunk(e.Visitors, eraseChunk) {
			w := where{}
			w.equal("pixel_id", e.PixelID)
			w.in("visitor_id", visitors)
			if err := countOf(ctx, tx, &n.Identities, `identities`+w.String(), w.args); err != nil {
				return err
			}
			if !e.Until.IsZero() {
				w.add("at < ?", e.Until.UnixMicro())
			}
			if err := countOf(ctx, tx, &n.Credits, `touches`+w.String(), w.args); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// Expire deletes what was kept long enough.
func (s *Store) Expire(ctx context.Context, pixelID string, events, syncs time.Time) (done analytics.Erased, err error) {
	for after := int64(0); !events.IsZero(); {
		some, err := s.expired(ctx, pixelID, events.UnixMicro(), after)
		if err != nil {
			return done, err
		}
		if len(some) == 0 {
			break
		}
		n, err := s.deleteSome(ctx, pixelID, some, nil)
		done.Add(n)
		if err != nil {
			return done, err
		}
		after = some[len(some)-1]
	}
	if !events.IsZero() {
		if err := s.expireSums(ctx, pixelID, events); err != nil {
			return done, err
		}
	}
	for !syncs.IsZero() {
		n := 0
		err := s.alone(ctx, "expire syncs", 1, func(tx *sql.Tx) (err error) {
			w := where{}
			w.add(`seq IN (SELECT seq FROM syncs WHERE pixel_id = ? AND at < ? LIMIT ?)`, pixelID, syncs.UnixMicro(), eraseChunk)
			if n, err = remove(ctx, tx, "syncs", w); err == nil && n > 0 {
				err = s.cut(ctx, tx, nil)
			}
			return err
		})
		done.Syncs += n
		if err != nil {
			return done, err
		}
		if n < eraseChunk {
			break
		}
	}
	return done, nil
}

// expireSums deletes what was counted of the days before a midnight.
func (s *Store) expireSums(ctx context.Context, pixelID string, before time.Time) error {
	return s.alone(ctx, "expire sums", 1, func(tx *sql.Tx) error {
		for _, table := range [...]string{"rollups", "sums", "visitor_sets"} {
			for _, level := range [...]int64{minute, anHour, aDay} {
				w := where{}
				w.equal("pixel_id", pixelID)
				w.add("level = ? AND bucket < ?", level, floor(before.UnixMicro(), level*micros))
				if _, err := remove(ctx, tx, table, w); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// expired are the next of a pixel's events behind a seq that were received before a time.
func (s *Store) expired(ctx context.Context, pixelID string, before, after int64) (out []int64, err error) {
	err = s.snapshot(ctx, "find what was kept long enough", func(tx *sql.Tx) error {
		c, err := s.cover(ctx, tx, after)
		if err != nil {
			return err
		}
		where := slices.Concat(c.gaps, c.waits)
		for _, p := range slices.Concat(c.chunks, c.tail) {
			if p.since >= before {
				continue
			}
			if _, some, err := picks(p, []analytics.Condition{analytics.Is("pixel_id", pixelID)}); err != nil {
				return err
			} else if some {
				where = append(where, seqs{p.first, p.last})
			}
		}
		slices.SortFunc(where, func(x, y seqs) int { return cmp.Compare(x.first, y.first) })
		var seq int64
		for _, r := range where {
			if len(out) == eraseChunk {
				break
			}
			if err := each(ctx, tx, `SELECT seq FROM events WHERE seq >= ? AND seq <= ? AND pixel_id = ? AND received_at < ? ORDER BY seq LIMIT ?`,
				[]any{max(r.first, after+1), r.last, pixelID, before, eraseChunk - len(out)}, []any{&seq}, func() { out = append(out, seq) }); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// seqs are events by their seq.
func (w *where) seqs(list []int64) {
	b := []byte("seq IN (")
	for i, seq := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, seq, 10)
	}
	w.add(string(append(b, ')')))
}

func (w *where) in(column string, values []string) {
	w.add(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", anys(values)...)
}

func anys(values []string) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// deleteSome deletes events, in one transaction; those of a hunt with their lines of the
// sync log, and their part of the roll-ups.
func (s *Store) deleteSome(ctx context.Context, pixelID string, list []int64, h *hunt) (n analytics.Erased, err error) {
	err = s.alone(ctx, "delete events", 1, func(tx *sql.Tx) error {
		by := where{}
		by.seqs(list)
		var ids []any
		var there []int64
		var gone []counted
		if h == nil {
			var seq int64
			var id string
			if err := each(ctx, tx, `SELECT seq, id FROM events`+by.String()+` ORDER BY seq`, nil, []any{&seq, &id}, func() {
				ids, there = append(ids, id), append(there, seq)
			}); err != nil {
				return err
			}
		} else {
			if err := h.goOn(ctx, tx, s); err != nil {
				return err
			}
			if err := s.events(ctx, tx, func(seq int64, e *event.Event) bool {
				if h.wants(e) { // and is not somebody with the same digest
					c := counted{seq: seq, values: make([]string, len(s.rolled))}
					s.countEvent(e, &c)
					ids, there, gone = append(ids, e.ID), append(there, seq), append(gone, c)
				}
				return true
			}, by.clause()+` ORDER BY seq`); err != nil {
				return err
			}
			by = where{}
			by.seqs(there)
		}
		if len(there) == 0 {
			return nil
		}
		of := where{}
		of.equal("pixel_id", pixelID)
		of.add("event_id IN (?"+strings.Repeat(", ?", len(ids)-1)+")", ids...)
		// A trigger deletes these with their event.
		for _, c := range []struct {
			into *int
			from string
		}{{&n.Matches, counting + "matches" + of.String()}, {&n.Credits, countingSets + of.String()}, {&n.Credits, counting + "touches" + of.String()}} {
			if err := ask(ctx, tx, c.into, c.from, of.args); err != nil {
				return err
			}
		}
		if h != nil {
			if n.Syncs, err = remove(ctx, tx, "syncs", of); err != nil {
				return err
			}
		}
		p, err := place(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.cut(ctx, tx, there); err != nil {
			return err
		}
		if h != nil {
			if err := s.unroll(ctx, tx, gone, p.rolled); err != nil {
				return err
			}
			if err := s.forgetVisits(ctx, tx, pixelID, h.leave(gone)); err != nil {
				return err
			}
		}
		if there[len(there)-1] > p.rolled {
			s.ahead = ahead{} // it has counted them
			s.tail.lose()
		}
		n.Events, err = remove(ctx, tx, "events", by)
		return err
	})
	if err != nil {
		n = analytics.Erased{}
	}
	if n.Events > 0 {
		s.columns.InvalidateAll()
		s.census.Store(&census{})
	}
	return n, err
}

func remove(ctx context.Context, tx *sql.Tx, table string, w where) (int, error) {
	r, err := tx.ExecContext(ctx, `DELETE FROM `+table+w.String(), w.args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

func countOf(ctx context.Context, tx *sql.Tx, into *int, from string, args []any) error {
	return ask(ctx, tx, into, counting+from, args)
}

const (
	counting     = `SELECT count(*) FROM `
	countingSets = `SELECT coalesce(sum(sets), 0) FROM conversions`
)

// ask adds the answer to a number.
func ask(ctx context.Context, tx *sql.Tx, into *int, query string, args []any) error {
	var n int
	err := tx.QueryRowContext(ctx, query, args...).Scan(&n)
	*into += n
	return err
}
