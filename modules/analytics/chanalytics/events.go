package chanalytics

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// key is where an event's row lies.
type key struct {
	pixel string
	at    int64
	id    string
}

// Events lists stored events.
func (s *Store) Events(ctx context.Context, f analytics.EventFilter) (page analytics.EventPage, err error) {
	if f, err = f.Check(); err != nil {
		return page, err
	}
	if f.After != "" {
		return s.live(ctx, f)
	}
	w := where{}
	var k key
	var have span
	if f.Cursor != "" {
		// All pages of a list begin with what was there at the first one.
		if k, have, page.Newest, err = parseCursor(f.Cursor); err != nil {
			return page, err
		}
		w.add("(received_at, id, pixel_id) < ("+micro+", ?, ?)", k.at, k.id, k.pixel)
		have.until = time.UnixMicro(k.at + 1)
	} else {
		newest, all, err := s.newest(ctx)
		if err != nil {
			return page, err
		}
		page.Newest, have = newest.String(), all
		newest.bound(&w) // a live view goes on from here, and shows no event twice
	}
	if f.Since.After(have.since) {
		have.since = f.Since
	}
	if !f.Until.IsZero() && f.Until.Before(have.until) {
		have.until = f.Until
	}
	if !have.since.Before(have.until) {
		return page, nil
	}
	if none, err := s.selects(ctx, &w, f); err != nil || none {
		return page, err
	}
	keys, events, err := s.newestOf(ctx, f, w, have)
	if err != nil {
		return analytics.EventPage{}, err
	}
	if len(keys) > f.Limit {
		page.Next = keys[f.Limit-1].cursor(have, page.Newest)
		events = events[:f.Limit]
	}
	page.Events = events
	return page, nil
}

// selects adds a filter's conditions. It reports whether nothing can fit.
func (s *Store) selects(ctx context.Context, w *where, f analytics.EventFilter) (none bool, err error) {
	w.equal("pixel_id", f.PixelID)
	w.equal("name", f.Name)
	w.equal("visitor_id", f.VisitorID)
	w.equal("order_id", f.OrderID)
	if f.ProfileID != "" {
		w.add("(pixel_id, visitor_id) IN (SELECT pixel_id, visitor_id FROM identities FINAL WHERE profile_id = ?) AND visitor_id <> ''", f.ProfileID)
	}
	if f.Query != "" {
		q := fold(f.Query)
		w.add("(position(search, ?) BETWEEN 1 AND position(search, '\\xFE') OR position(search, ?) > 0)", q, "\xFE"+q)
	}
	w.conditions(f.Where, same)
	if f.MinValue != nil {
		w.add("value >= toFloat64(?)", *f.MinValue)
	}
	if f.MaxValue != nil {
		w.add("value <= toFloat64(?)", *f.MaxValue)
	}
	if f.Partner != "" || f.Outcome != "" {
		sent := where{}
		sent.equal("partner", f.Partner)
		sent.equal("outcome", string(f.Outcome))
		// No attempt is earlier than its event.
		sent.between("at", f.Since, time.Time{})
		w.add("(pixel_id, id) IN (SELECT pixel_id, event_id FROM syncs FINAL"+sent.String()+")", sent.args...)
	}
	w.between("received_at", f.Since, f.Until)
	if f.ID != "" {
		found, err := s.find(ctx, f.PixelID, f.ID)
		if err != nil || len(found) == 0 {
			return true, err
		}
		first, last := found[0].at, found[0].at
		for _, k := range found {
			first, last = min(first, k.at), max(last, k.at)
		}
		w.equal("id", f.ID)
		w.add("received_at BETWEEN "+micro+" AND "+micro, first, last)
	}
	return false, nil
}

// newestOf looks at ever more of the past until a page is full: most pages lie in
// the last hours, and a question must not read what it does not show.
func (s *Store) newestOf(ctx context.Context, f analytics.EventFilter, w where, have span) (keys []key, events []event.Event, err error) {
	for back := 2 * time.Hour; ; back *= 24 {
		from := have.until.Add(-back)
		// Some are few and lie anywhere, and have an index of their own.
		last := !from.After(have.since) || f.ID != "" || f.VisitorID != "" || f.OrderID != "" || f.ProfileID != ""
		n := w.clone()
		if !last {
			n.between("received_at", from, time.Time{})
		}
		keys, events, err = s.read(ctx, "list events", n, "received_at DESC, id DESC, pixel_id DESC", f.Limit+1, nil)
		if err != nil || last || len(keys) > f.Limit {
			return keys, events, err
		}
	}
}

// span is a time that events lie in.
type span struct{ since, until time.Time }

// read reads the first events of an order. What is large is read of those alone: the
// inner question finds their keys. more reads what else is asked of each.
func (s *Store) read(ctx context.Context, what string, w where, order string, limit int, more func(writer uint32, seq uint64)) (keys []key, events []event.Event, err error) {
	events = []event.Event{}
	err = s.ask(ctx, what, `SELECT pixel_id, toUnixTimestamp64Micro(received_at), id, body, writer, seq FROM events FINAL
		WHERE (pixel_id, received_at, id) IN (SELECT pixel_id, received_at, id FROM events FINAL`+w.String()+` ORDER BY `+order+` LIMIT ?) ORDER BY `+order,
		append(w.args, limit), func(r driver.Rows) error {
			var k key
			var body string
			var writer uint32
			var seq uint64
			if err := r.Scan(&k.pixel, &k.at, &k.id, &body, &writer, &seq); err != nil {
				return err
			}
			var e event.Event
			if err := event.Decode([]byte(body), &e); err != nil {
				return fmt.Errorf("read the stored event of %s: %w", time.UnixMicro(k.at).UTC().Format(time.RFC3339Nano), err)
			}
			if more != nil {
				more(writer, seq)
			}
			keys, events = append(keys, k), append(events, e)
			return nil
		})
	return keys, events, err
}

// find looks an id up in the projection that is ordered by it. Copies of a row have
// one key.
func (s *Store) find(ctx context.Context, pixelID, id string) (keys []key, err error) {
	w := where{}
	w.add("id = ?", id)
	w.equal("pixel_id", pixelID)
	err = s.ask(ctx, "find an event", `SELECT DISTINCT pixel_id, toUnixTimestamp64Micro(received_at) AS at, id FROM events`+w.String()+` ORDER BY at DESC, pixel_id DESC LIMIT 1000`, w.args, func(r driver.Rows) error {
		var k key
		err := r.Scan(&k.pixel, &k.at, &k.id)
		keys = append(keys, k)
		return err
	})
	return keys, err
}

// Event finds one event. An id that two pixels used finds the one received last.
func (s *Store) Event(ctx context.Context, pixelID, id string) (event.Event, error) {
	w := where{}
	w.add("id = ? AND id <> ''", id)
	w.equal("pixel_id", pixelID)
	return s.one(ctx, w, "")
}

// one is the first event of an order that begins with what is given. An index finds
// the keys, and the keys find the row, of whose copies the first stored counts.
func (s *Store) one(ctx context.Context, w where, order string) (found event.Event, err error) {
	none := true
	err = s.ask(ctx, "find an event", `SELECT body FROM events WHERE (pixel_id, received_at, id) IN (SELECT pixel_id, received_at, id FROM events`+w.String()+`)
		ORDER BY `+order+`received_at DESC, pixel_id DESC, seq LIMIT 1`, w.args, func(r driver.Rows) error {
		var body string
		if err := r.Scan(&body); err != nil {
			return err
		}
		none = false
		return event.Decode([]byte(body), &found)
	})
	if err == nil && none {
		err = analytics.ErrNotFound
	}
	return found, err
}
