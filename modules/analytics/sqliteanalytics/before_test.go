package sqliteanalytics

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/sqlitedb"
)

// beforeNarrow makes of a store's file one as the version before migration 0015_narrow_events left it.
func beforeNarrow(t *testing.T, s *Store, from, path string) {
	t.Helper()
	db, err := sqlitedb.Open(path)
	must(t, err)
	defer db.Close()
	exec := func(q string, args ...any) {
		t.Helper()
		if _, err := db.Durable.Exec(q, args...); err != nil {
			t.Fatalf("%.80s: %v", q, err)
		}
	}
	exec(`CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)`)
	files, err := filepath.Glob("../../../migrations/sqlite/*.sql")
	must(t, err)
	for _, f := range files {
		if name := filepath.Base(f); name < "0015_narrow" {
			body, err := os.ReadFile(f)
			must(t, err)
			exec(string(body))
			exec(`INSERT INTO migrations (name) VALUES (?)`, "sqlite/"+name)
		}
	}
	exec(`ATTACH ? AS now`, from)
	exec(`BEGIN`)
	for _, table := range []string{"chunks", "chunk_columns", "rollups", "sums", "visitor_sets"} {
		exec(`INSERT INTO ` + table + ` SELECT * FROM now.` + table)
	}
	const line = "seq, pixel_id, event_id, partner, attempt, at, outcome, code, order_id, body"
	exec(`INSERT INTO syncs (` + line + `) SELECT ` + line + ` FROM now.syncs`)
	exec(`DELETE FROM rolled`)
	exec(`INSERT INTO rolled SELECT * FROM now.rolled`)
	must(t, s.snapshot(t.Context(), "read", func(tx *sql.Tx) error {
		return s.events(t.Context(), tx, func(seq int64, e *event.Event) bool {
			names := "seq, pixel_id, id, received_at, time, visitor_id, order_id, value, base_value, search, name"
			c := counted{values: make([]string, len(s.rolled))}
			s.countEvent(e, &c)
			args := []any{seq, e.PixelID, e.ID, c.at, c.time, c.visitor, c.order, c.revenue, c.base, c.search, c.name}
			for i, d := range s.rolled {
				names, args = names+", "+d, append(args, c.values[i])
			}
			exec(`INSERT INTO events (`+names+`) VALUES (?`+strings.Repeat(", ?", len(args)-1)+`)`, args...)
			exec(`INSERT INTO event_bodies (seq, codec, body) VALUES (?, ?, ?)`, seq, codecS2, s.bodies.pack(e))
			return true
		}, `1 ORDER BY seq`)
	}))
	// The newest was erased, and its seq stays used.
	exec(`UPDATE sqlite_sequence SET seq = seq + 5 WHERE name = 'events'`)
	exec(`COMMIT`)
}

func TestAStoreOfTheVersionBeforeKeepsAllItHas(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "now.db"))
	s.rollEvery = 400
	events := analyticstest.Events(1, 1500, 30*time.Hour)
	for some := range slices.Chunk(events, 150) {
		must(t, s.WriteEvents(t.Context(), some...))
	}
	must(t, s.WriteSyncs(t.Context(), analyticstest.Syncs(1, events)...))
	since, until := analyticstest.Begin.Add(time.Hour), analyticstest.Begin.Add(29*time.Hour)
	want := asked(t, s, since, until)
	path := filepath.Join(dir, "before.db")
	beforeNarrow(t, s, filepath.Join(dir, "now.db"), path)

	old := openAt(t, path)
	if got := asked(t, old, since, until); got != want {
		t.Error("after the migration questions are answered otherwise")
	}
	for _, f := range []analytics.EventFilter{{Limit: 1000}, {Name: "purchase"}, {VisitorID: events[3].Subject.VisitorID}, {Query: "shoe 1"}, {MinValue: new(100.0)}, {ID: events[9].ID}} {
		list := func(s *Store) string {
			page, err := s.Events(t.Context(), f)
			must(t, err)
			return fmt.Sprint(page.Next, page.Events)
		}
		if list(old) != list(s) {
			t.Errorf("%+v: the list is another", f)
		}
	}
	must(t, old.WriteEvents(t.Context(), events[:20]...)) // all are there
	more := analyticstest.Events(7, 10, time.Hour)
	must(t, old.WriteEvents(t.Context(), more...))
	var n, newest int
	must(t, old.db.Read.QueryRow(`SELECT count(*), max(seq) FROM events`).Scan(&n, &newest))
	if n != len(events)+len(more) || newest < len(events)+5+len(more) {
		t.Errorf("%d events, and the newest is %d", n, newest)
	}
	left, err := old.Erase(t.Context(), analytics.Erasure{PixelID: events[3].PixelID, Visitors: []string{events[3].Subject.VisitorID}})
	if must(t, err); left.Events == 0 || left.Syncs == 0 {
		t.Errorf("erased %+v", left)
	}

	// And back: what the version before had, it has, with what came since; and again.
	want = asked(t, old, since, until)
	credits := func(s *Store) string {
		page, err := s.Credits(t.Context(), analytics.CreditFilter{})
		must(t, err)
		return fmt.Sprint(page.Credits)
	}
	touches := []event.Touchpoint{touch(&more[0], 1), touch(&more[0], 2)}
	for _, model := range []string{"linear", "position"} {
		c := event.Credits{PixelID: more[0].PixelID, EventID: more[0].ID, Model: model, Version: 1, Name: "purchase", ReceivedAt: more[0].ReceivedAt, Currency: "GBP"}
		for _, touch := range touches {
			c.Shares = append(c.Shares, event.Share{Touchpoint: touch, Weight: event.Whole / 2})
		}
		must(t, old.WriteCredits(t.Context(), c))
	}
	must(t, old.WriteTouches(t.Context(), touches...))
	owed := credits(old)
	var count int
	must(t, old.db.Read.QueryRow(`SELECT count(*) FROM events`).Scan(&n))
	must(t, Back(t.Context(), old.db))
	must(t, old.db.Read.QueryRow(`SELECT count(*) FROM credit_sets JOIN credits USING (event_id, pixel_id, model)`).Scan(&count))
	if count != 4 {
		t.Errorf("the version before has %d credits, not 4", count)
	}
	must(t, old.db.Read.QueryRow(`SELECT count(*) FROM events JOIN event_bodies USING (seq) WHERE pixel_id = ? AND name = ?`, more[0].PixelID, more[0].Name).Scan(&count))
	if count == 0 {
		t.Error("the version before does not find what came since by its name")
	}
	must(t, old.db.Read.QueryRow(`SELECT count(*) FROM events JOIN event_bodies USING (seq)`).Scan(&count))
	must(t, old.db.Close())
	if count != n {
		t.Errorf("the version before has %d events, not %d", count, n)
	}
	old = openAt(t, path)
	if got := asked(t, old, since, until); got != want || credits(old) != owed {
		t.Error("after the way back and forth questions are answered otherwise")
	}
}
