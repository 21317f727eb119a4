package sqliteanalytics

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/miq/pixel/migrations"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Once with roll-ups of nearly everything, and once with none yet.
func TestContract(t *testing.T) {
	for name, every := range map[string]int64{"rolled up": 100, "waiting": rollEvery} {
		t.Run(name, func(t *testing.T) {
			analyticstest.Run(t, func(t *testing.T) analytics.Store {
				s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
				s.rollEvery = every
				return s
			})
		})
	}
}

func TestWhatWasStoredBeforeThereWereRollUpsIsRolledUpByAndBy(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	events := analyticstest.Events(1, 3000, 40*time.Hour)
	if err := s.WriteEvents(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		t.Helper()
		out := ""
		for _, m := range []analytics.Metric{analytics.MetricEvents, analytics.MetricVisitors, analytics.MetricRevenue} {
			series, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: m, Since: analyticstest.Begin, Until: analyticstest.Begin.Add(39 * time.Hour), Step: "6h", GroupBy: "pixel_id"})
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(series)
			if err != nil {
				t.Fatal(err)
			}
			out += string(b)
		}
		return out
	}
	rolled := func() (seq int) {
		t.Helper()
		if err := s.db.Read.QueryRow(`SELECT seq FROM rolled`).Scan(&seq); err != nil {
			t.Fatal(err)
		}
		return seq
	}
	before := ask()
	if rolled() != 0 {
		t.Fatal("it is rolled up already")
	}
	s.ahead = ahead{} // as after a start
	s.rollEvery = 100
	if err := s.alone(t.Context(), "roll up", 1, func(tx *sql.Tx) error { return s.rollUp(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
	if n := rolled(); n != 400 || ask() != before {
		t.Errorf("%d are rolled up after one go, and the same is answered: %v", n, ask() == before)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.CatchUp(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := rolled(); n < len(events)-100 || ask() != before {
		t.Errorf("%d are rolled up in the end, and the same is answered: %v", n, ask() == before)
	}
}

func TestWhatWasWrittenSurvivesACrash(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "analytics.db"))
	events := analyticstest.Events(1, 500, time.Hour)
	syncs := analyticstest.Syncs(1, events)
	if err := s.WriteEvents(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteSyncs(t.Context(), syncs...); err != nil {
		t.Fatal(err)
	}
	page, err := s.Events(t.Context(), analytics.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	// The files as they are, with the store still open, are what a crash leaves.
	crash := t.TempDir()
	for _, name := range []string{"analytics.db", "analytics.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(crash, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second opening finds a schema that is up to date
		s = openAt(t, filepath.Join(crash, "analytics.db"))
		for table, want := range map[string]int{"events": len(events), "syncs": len(syncs)} {
			var n int
			if err := s.db.Read.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d, not %d, %v", table, n, want, err)
			}
		}
	}
	// Cursors outlive the process, since the console keeps them.
	if p, err := s.Events(t.Context(), analytics.EventFilter{After: page.Newest}); err != nil || len(p.Events) != 0 {
		t.Errorf("after the newest: %d, %v", len(p.Events), err)
	}
	if p, err := s.Events(t.Context(), analytics.EventFilter{Cursor: page.Next}); err != nil || len(p.Events) != 50 {
		t.Errorf("the next page: %d, %v", len(p.Events), err)
	}
}

func TestALiveViewGoesOnThoughTheNewestEventWasErased(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	events := analyticstest.Events(1, 20, time.Hour)
	if err := s.WriteEvents(t.Context(), events[:10]...); err != nil {
		t.Fatal(err)
	}
	page, err := s.Events(t.Context(), analytics.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Durable.Exec(`DELETE FROM events WHERE seq > 5`); err != nil {
		t.Fatal(err)
	}
	after := page.Newest
	if page, err = s.Events(t.Context(), analytics.EventFilter{After: after}); err != nil || page.Newest != after {
		t.Errorf("the cursor went from %s to %s, %v", after, page.Newest, err)
	}
	if err := s.WriteEvents(t.Context(), events[10:]...); err != nil {
		t.Fatal(err)
	}
	if page, err = s.Events(t.Context(), analytics.EventFilter{After: page.Newest}); err != nil || len(page.Events) != 10 {
		t.Errorf("saw %d of 10 new events, %v", len(page.Events), err)
	}
}

// A list that had to sort would read everything before it showed a page. (Lists of events
// go by columns, apart from these.)
func TestListsAreReadFromAnIndexInTheirOrder(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	plan := func(query string) string {
		rows, err := s.db.Read.Query(`EXPLAIN QUERY PLAN ` + query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var steps []string
		for rows.Next() {
			var a, b, c sql.NullInt64
			var step string
			if err := rows.Scan(&a, &b, &c, &step); err != nil {
				t.Fatal(err)
			}
			steps = append(steps, step)
		}
		return strings.Join(steps, "; ")
	}
	for where, uses := range map[string]string{
		"id = 'i'":                    "events_by_id (id=?)",
		"id = 'i' AND pixel_id = 'p'": "events_by_id (id=? AND pixel_id=?)",
		"order_id = 'o' AND order_id <> '' ORDER BY received_at DESC, seq DESC": "events_by_order (order_id=?)",
		"seq >= 3 AND seq <= 9 AND pixel_id = 'p' AND received_at < 9":          "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
		"seq IN (3, 9)": "INTEGER PRIMARY KEY (rowid=?)",
	} {
		if got := plan(`SELECT codec, body FROM events WHERE ` + where); !strings.Contains(got, uses) || strings.Contains(got, "TEMP B-TREE FOR ORDER BY") {
			t.Errorf("events where %s: the plan is %s", where, got)
		}
	}
	for where, uses := range map[string]string{
		"1":                                 "syncs_by_time",
		"event_id = 'e'":                    "syncs_by_key (event_id=?)",
		"partner = 'p' AND outcome = 'o'":   "syncs_by_partner (partner=? AND outcome=?)",
		"order_id = 'o' AND order_id <> ''": "syncs_by_order (order_id=?)",
	} {
		if got := plan(`SELECT at, seq, body FROM syncs WHERE ` + where + ` ORDER BY at DESC, seq DESC LIMIT 50`); !strings.Contains(got, uses) {
			t.Errorf("syncs where %s: the plan is %s", where, got)
		}
	}
}

func TestMigrationsAreAppliedOnce(t *testing.T) {
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	first, err := migrations.SQLite(t.Context(), db.Durable)
	if err != nil || len(first) == 0 {
		t.Fatalf("applied %v, %v", first, err)
	}
	if again, err := migrations.SQLite(t.Context(), db.Durable); err != nil || len(again) != 0 {
		t.Errorf("applied %v again, %v", again, err)
	}
	if _, err := New(db); err != nil {
		t.Error(err)
	}
}

func TestABodyOfALaterVersionIsAnErrorThatNamesNoContent(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	events := analyticstest.Events(1, 1, time.Hour)
	if err := s.WriteEvents(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{`UPDATE events SET codec = 9`, `UPDATE events SET codec = 1, body = x'00'`} {
		if _, err := s.db.Durable.Exec(change); err != nil {
			t.Fatal(err)
		}
		_, err := s.Event(t.Context(), "", events[0].ID)
		if err == nil || !strings.Contains(err.Error(), "stored event 1") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := s.db.Durable.Exec(`UPDATE events SET codec = 0, body = '{"id":"plain"}'`); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Event(t.Context(), "", events[0].ID); err != nil || e.ID != "plain" {
		t.Errorf("a plain body: %+v, %v", e, err)
	}
}

func TestTheCodecSavesMostOfABody(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	raw, packed := 0, 0
	for _, e := range analyticstest.Events(1, 40, time.Hour) {
		body, err := json.Marshal(e, lenient)
		if err != nil {
			t.Fatal(err)
		}
		raw, packed = raw+len(body), packed+len(c.pack(&e))
	}
	if packed*2 > raw {
		t.Errorf("%d bytes became %d", raw, packed)
	}
}

func TestTheModuleOffersTheStoreAndItsHealth(t *testing.T) {
	var in struct {
		fx.In

		Store  analytics.Store
		Writer analytics.Writer
		Reader analytics.Reader
		Checks []health.Check `group:"health"`
	}
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	fxtest.New(t, Module, fx.Supply(slog.New(slog.DiscardHandler)), fx.Provide(fx.Annotate(func() *sqlitedb.DB { return db }, fx.ResultTags(`name:"analytics_db"`))), fx.Populate(&in)).RequireStart().RequireStop()
	if in.Store == nil || in.Writer == nil || in.Reader == nil || len(in.Checks) != 1 || in.Checks[0].Name != "analytics" {
		t.Fatalf("got %+v", in)
	}
	if err := in.Checks[0].Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := in.Checks[0].Check(t.Context()); err == nil {
		t.Error("a closed store is healthy")
	}
}

func TestAQuestionThatIsUnderWayEndsWithItsContext(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.snapshot(ctx, "count for ever", func(tx *sql.Tx) error {
		var n int
		return tx.QueryRowContext(ctx, `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c`).Scan(&n)
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsErasedOrExpiredIsGoneWithAllThatWasSaidOfIt(t *testing.T) {
	for name, every := range map[string]int64{"counted one by one": 1 << 20, "rolled up": 100} {
		for what, check := range map[string]func(*testing.T, *Store){
			"erase":  func(t *testing.T, s *Store) { analyticstest.Erase(t, s) },
			"expire": func(t *testing.T, s *Store) { analyticstest.Expire(t, s) },
		} {
			t.Run(what+" "+name, func(t *testing.T) {
				s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
				s.rollEvery = every
				check(t, s)
			})
		}
	}
}

func TestABodyOfAnOlderVersionIsRead(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(dictionary1ID, dictionary1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	e := analyticstest.Events(1, 1, time.Hour)[0]
	body, err := json.Marshal(e, lenient)
	if err != nil {
		t.Fatal(err)
	}
	var got event.Event
	if err := c.unpack(codecZstd1, enc.EncodeAll(body, nil), &got); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A question that would take for ever ends once nobody waits for it.
func TestAQuestionEndsWhenItsReaderLeaves(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	begun, answer := make(chan struct{}), make(chan error, 1)
	go func() {
		answer <- s.snapshot(ctx, "wait", func(tx *sql.Tx) error {
			close(begun)
			var n int
			return tx.QueryRowContext(ctx, `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c`).Scan(&n)
		})
	}()
	<-begun
	leave()
	select {
	case err := <-answer:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it goes on")
	}
}
