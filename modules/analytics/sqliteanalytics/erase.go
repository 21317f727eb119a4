package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// eraseChunk is how many events are deleted in one transaction, which holds up
// writers.
const eraseChunk = 500

// Erase deletes events with all that is said of them.
func (s *Store) Erase(ctx context.Context, e analytics.Erasure) (done analytics.Erased, err error) {
	for _, w := range chosen(e) {
		for {
			n, err := s.deleteSome(ctx, e.PixelID, w, true)
			done.Add(n)
			if err != nil {
				return done, err
			}
			if n.Events < eraseChunk {
				break
			}
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
	return done, nil
}

// Kept counts what Erase would delete.
func (s *Store) Kept(ctx context.Context, e analytics.Erasure) (n analytics.Erased, err error) {
	err = s.snapshot(ctx, "count what is kept of people", func(tx *sql.Tx) error {
		for _, w := range chosen(e) {
			events := ` WHERE (event_id, pixel_id) IN (SELECT id, pixel_id FROM events` + w.String() + `)`
			for _, c := range []struct {
				into *int
				from string
			}{
				{&n.Events, counting + `events` + w.String()}, {&n.Syncs, counting + `syncs` + events}, {&n.Matches, counting + `matches` + events}, {&n.Credits, countingSets + events},
			} {
				if err := ask(ctx, tx, c.into, c.from, w.args); err != nil {
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
	for !events.IsZero() {
		w := where{}
		w.equal("pixel_id", pixelID)
		w.add("received_at < ?", events.UnixMicro())
		n, err := s.deleteSome(ctx, pixelID, w, false)
		done.Add(n)
		if err != nil {
			return done, err
		}
		if n.Events < eraseChunk {
			break
		}
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

// chosen are the conditions on events, each with few enough arguments.
func chosen(e analytics.Erasure) (list []where) {
	for _, by := range []struct {
		column string
		values []string
	}{{"visitor_id", e.Visitors}, {"id", e.Events}} {
		for values := range slices.Chunk(by.values, eraseChunk) {
			w := where{}
			w.equal("pixel_id", e.PixelID)
			w.in(by.column, values)
			if by.column == "id" && len(e.Visitors) > 0 { // so that none is counted twice
				w.add("visitor_id NOT IN (?"+strings.Repeat(", ?", len(e.Visitors)-1)+")", anys(e.Visitors)...)
			}
			if !e.Until.IsZero() {
				w.add("received_at < ?", e.Until.UnixMicro())
			}
			list = append(list, w)
		}
	}
	return list
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

// deleteSome deletes up to eraseChunk of the events that match, in one transaction; to
// forget takes their lines of the sync log along, and their part of the roll-ups.
func (s *Store) deleteSome(ctx context.Context, pixelID string, w where, forget bool) (n analytics.Erased, err error) {
	err = s.alone(ctx, "delete events", 1, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT seq, id FROM events`+w.String()+fmt.Sprintf(` LIMIT %d`, eraseChunk), w.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var seqs, ids []any
		for rows.Next() {
			var seq int64
			var id string
			if err := rows.Scan(&seq, &id); err != nil {
				return err
			}
			seqs, ids = append(seqs, seq), append(ids, id)
		}
		if err := rows.Err(); err != nil || len(seqs) == 0 {
			return err
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
		if forget {
			if n.Syncs, err = remove(ctx, tx, "syncs", of); err != nil {
				return err
			}
		}
		by := where{}
		by.add("seq IN (?"+strings.Repeat(", ?", len(seqs)-1)+")", seqs...)
		ordered := make([]int64, len(seqs))
		for i, seq := range seqs {
			ordered[i] = seq.(int64)
		}
		slices.Sort(ordered)
		if err := s.cut(ctx, tx, ordered); err != nil {
			return err
		}
		var were map[seen]bool
		if forget {
			if err := s.unroll(ctx, tx, by); err != nil {
				return err
			}
			if were, err = visits(ctx, tx, by); err != nil {
				return err
			}
		}
		if _, err := remove(ctx, tx, "event_bodies", by); err != nil {
			return err
		}
		if n.Events, err = remove(ctx, tx, "events", by); err != nil {
			return err
		}
		s.ahead = ahead{} // it may have counted them
		return s.forgetVisitors(ctx, tx, were)
	})
	if err != nil {
		n = analytics.Erased{}
	}
	if n.Events > 0 {
		s.columns.InvalidateAll()
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
