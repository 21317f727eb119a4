package chanalytics

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
)

var (
	_ analytics.Eraser  = (*Store)(nil)
	_ analytics.Expirer = (*Store)(nil)
)

// eraseChunk is how many events, or visitors, one statement names.
const eraseChunk = 5000

// ofEvents are tables whose rows say something of an event, and go with it.
var ofEvents = []string{"syncs", "matches", "credit_sets", "touches"}

// into is where a table's rows are counted.
func into(n *analytics.Erased, table string) *int {
	return map[string]*int{"events": &n.Events, "syncs": &n.Syncs, "matches": &n.Matches, "credit_sets": &n.Credits, "touches": &n.Credits, "identities": &n.Identities}[table]
}

// Erase deletes events with all that is said of them. The hours that they were
// counted in are entered as written to before, so that no series is believed that
// still counts them.
func (s *Store) Erase(ctx context.Context, e analytics.Erasure) (done analytics.Erased, err error) {
	for _, w := range chosen(e) {
		n, err := s.eraseEvents(ctx, e.PixelID, w, true)
		done.Add(n)
		if err != nil {
			return done, err
		}
	}
	for _, c := range ofVisitors(e) {
		n, err := s.remove(ctx, c.table, c.where)
		*into(&done, c.table) += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Kept counts what Erase would delete.
func (s *Store) Kept(ctx context.Context, e analytics.Erasure) (n analytics.Erased, err error) {
	counted := func(table string, w where) error {
		c, err := s.rows(ctx, table, w)
		*into(&n, table) += c
		return err
	}
	for _, w := range chosen(e) {
		if err := counted("events", w); err != nil {
			return n, err
		}
		ids, _, err := s.chosenIDs(ctx, w)
		if err != nil {
			return n, err
		}
		for ids := range slices.Chunk(ids, eraseChunk) {
			for _, table := range ofEvents {
				if err := counted(table, said(e.PixelID, ids)); err != nil {
					return n, err
				}
			}
		}
	}
	for _, c := range ofVisitors(e) {
		if err := counted(c.table, c.where); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Expire deletes what was kept long enough, and what was counted of it. The tables
// expire by themselves too, by what the pixel said when a row was written.
func (s *Store) Expire(ctx context.Context, pixelID string, events, syncs time.Time) (done analytics.Erased, err error) {
	before := func(at string, t time.Time) where {
		w := where{}
		w.add("pixel_id = ?", pixelID)
		w.between(at, time.Time{}, t)
		return w
	}
	if !events.IsZero() {
		if done, err = s.eraseEvents(ctx, pixelID, before("received_at", events), false); err != nil {
			return done, err
		}
		if _, err := s.remove(ctx, "series_events", before("bucket", events)); err != nil {
			return done, err
		}
	}
	if !syncs.IsZero() {
		n, err := s.remove(ctx, "syncs", before("at", syncs))
		done.Syncs += n
		if err != nil {
			return done, err
		}
		if _, err := s.remove(ctx, "series_syncs", before("bucket", syncs)); err != nil {
			return done, err
		}
	}
	return done, nil
}

// chosen are the conditions on events.
func chosen(e analytics.Erasure) (out []where) {
	for _, by := range []struct {
		column string
		values []string
	}{{"visitor_id", e.Visitors}, {"id", e.Events}} {
		for values := range slices.Chunk(by.values, eraseChunk) {
			w := ofPixel(e.PixelID, by.column, values, "received_at", e.Until)
			if by.column == "id" && len(e.Visitors) > 0 { // so that none is counted twice
				w.add("visitor_id NOT IN (" + list(e.Visitors) + ")")
			}
			out = append(out, w)
		}
	}
	return out
}

func ofPixel(pixelID, column string, values []string, at string, until time.Time) where {
	w := where{}
	w.add("pixel_id = ? AND "+column+" IN ("+list(values)+")", pixelID)
	if at != "" {
		w.between(at, time.Time{}, until)
	}
	return w
}

// said selects what is said of events.
func said(pixelID string, ids []string) where {
	return ofPixel(pixelID, "event_id", ids, "", time.Time{})
}

type tableWhere struct {
	table string
	where where
}

// ofVisitors is what is kept of visitors beside their events.
func ofVisitors(e analytics.Erasure) (list []tableWhere) {
	for visitors := range slices.Chunk(e.Visitors, eraseChunk) {
		list = append(list, tableWhere{"identities", ofPixel(e.PixelID, "visitor_id", visitors, "", time.Time{})},
			tableWhere{"touches", ofPixel(e.PixelID, "visitor_id", visitors, "at", e.Until)})
	}
	return list
}

// chosenIDs are the events' ids, each once, and when they were received.
func (s *Store) chosenIDs(ctx context.Context, w where) (ids []string, hours []time.Time, err error) {
	err = s.ask(ctx, "choose events", `SELECT id, toStartOfHour(received_at) FROM events FINAL`+w.String(), w.args, func(r driver.Rows) error {
		var id string
		var hour time.Time
		err := r.Scan(&id, &hour)
		ids, hours = append(ids, id), append(hours, hour)
		return err
	})
	return ids, hours, err
}

// eraseEvents deletes what is said of events, and then the events, so that one that
// was cut short finds them again. With recount no series is to count them any more.
func (s *Store) eraseEvents(ctx context.Context, pixelID string, w where, recount bool) (done analytics.Erased, err error) {
	ids, hours, err := s.chosenIDs(ctx, w)
	if err != nil || len(ids) == 0 {
		return done, err
	}
	tables := ofEvents
	if !recount {
		tables = slices.DeleteFunc(slices.Clone(tables), func(t string) bool { return t == "syncs" })
	}
	for ids := range slices.Chunk(ids, eraseChunk) {
		for _, table := range tables {
			if table == "syncs" {
				if err := s.touchSyncs(ctx, pixelID, ids); err != nil {
					return done, err
				}
			}
			n, err := s.remove(ctx, table, said(pixelID, ids))
			*into(&done, table) += n
			if err != nil {
				return done, err
			}
		}
	}
	if recount {
		if err := s.touchNow(ctx, sourceEvents, hours); err != nil {
			return done, err
		}
	}
	n, err := s.remove(ctx, "events", w)
	done.Events += n
	if err == nil && recount {
		// A pass that began before the rows were gone counted them.
		err = s.touchNow(ctx, sourceEvents, hours)
	}
	return done, err
}

// touchSyncs enters the hours of lines of the sync log.
func (s *Store) touchSyncs(ctx context.Context, pixelID string, ids []string) error {
	var hours []time.Time
	w := said(pixelID, ids)
	err := s.ask(ctx, "look lines up", `SELECT DISTINCT toStartOfHour(at) FROM syncs`+w.String(), w.args, func(r driver.Rows) error {
		var hour time.Time
		err := r.Scan(&hour)
		hours = append(hours, hour)
		return err
	})
	if err != nil {
		return err
	}
	return s.touchNow(ctx, sourceSyncs, hours)
}

// touchNow enters hours whatever was entered lately.
func (s *Store) touchNow(ctx context.Context, source string, hours []time.Time) error {
	s.touched.forget()
	return s.touch(ctx, source, hours)
}

// rows counts a table's.
func (s *Store) rows(ctx context.Context, table string, w where) (n int, err error) {
	var count uint64
	err = s.ask(ctx, "count "+table, `SELECT count() FROM `+table+` FINAL`+w.String(), w.args, func(r driver.Rows) error { return r.Scan(&count) })
	return int(count), err
}

// remove deletes a table's rows, and returns once they are in no part that is read.
// What is deleted lightly is only masked, so the parts are then written anew.
func (s *Store) remove(ctx context.Context, table string, w where) (int, error) {
	n, err := s.rows(ctx, table, w)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, nil
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"lightweight_deletes_sync": 2, "mutations_sync": 2, "max_query_size": 64 << 20, "log_queries": 0}))
	if err := s.conn.Exec(ctx, `DELETE FROM `+table+w.String(), w.args...); err != nil {
		return 0, fmt.Errorf("delete from %s: %w", table, err)
	}
	if err := s.conn.Exec(ctx, `ALTER TABLE `+table+` APPLY DELETED MASK`); err != nil {
		return 0, fmt.Errorf("delete from %s for good: %w", table, err)
	}
	return n, nil
}
