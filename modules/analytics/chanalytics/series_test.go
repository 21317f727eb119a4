package chanalytics

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/clickhousetest"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/sqlitedb"
)

// replayed writes each row at least once and up to three times, cut anew each time, by
// several at once.
func replayed[T any](t *testing.T, seed uint64, rows []T, write ...func([]T) error) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	var group sync.WaitGroup
	for round := range 3 {
		mine := slices.Clone(rows)
		if round > 0 {
			r.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			mine = mine[:len(mine)/2]
		}
		cut := 1 + r.IntN(len(mine)/3)
		group.Go(func() {
			for chunk := range slices.Chunk(mine, cut) {
				if err := write[round%len(write)](chunk); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	group.Wait()
}

// recounted compares what is believed of the series with a count of the rows, row by
// row, and returns how many rows there are.
func recounted(t *testing.T, s *Store) (rows uint64) {
	t.Helper()
	for _, unit := range []struct{ name, pass, begin, dimensions string }{
		{"day", "day", "toStartOfDay", "('', ''), ('page_path', page_path), ('currency', toString(currency))"},
		{"hour", "hour", "toStartOfHour", "('', ''), ('page_path', page_path), ('currency', toString(currency))"},
		{"minute", "hour", "toStartOfMinute", "('', '')"},
	} {
		series := `SELECT toString(dimension) AS d, bucket AS b, pixel_id, name, grp, countMerge(events) AS n, sumKahanMerge(revenue) AS r, uniqExactIfMerge(visitors) AS v
			FROM series_events WHERE unit = '` + unit.name + `' AND dimension IN ('', 'page_path', 'currency')
			AND pass IN (SELECT argMax(pass, begun) FROM series_passes WHERE source = 'events' AND unit = '` + unit.pass + `' GROUP BY bucket) GROUP BY d, b, pixel_id, name, grp`
		recount := `SELECT x.1 AS d, ` + unit.begin + `(received_at) AS b, pixel_id, name, x.2 AS grp, count() AS n, sumKahan(round(ifNull(value, 0) * 1000000)) AS r,
			if(d = '', uniqExactIf(visitor, visitor != 0), 0) AS v FROM (SELECT *, visitor FROM events FINAL) ARRAY JOIN [` + unit.dimensions + `] AS x GROUP BY d, b, pixel_id, name, grp`
		query := `SELECT (SELECT count() FROM (` + series + `)), (SELECT count() FROM (` + series + ` EXCEPT ` + recount + `)), (SELECT count() FROM (` + recount + ` EXCEPT ` + series + `))`
		var n, extra, missing uint64
		if err := s.ask(t.Context(), "compare", query, nil, func(r driver.Rows) error { return r.Scan(&n, &extra, &missing) }); err != nil {
			t.Fatal(err)
		}
		if n == 0 || extra+missing > 0 {
			t.Errorf("by %s: of %d rows %d are not of a recount, and %d of it are missing", unit.name, n, extra, missing)
		}
		rows += n
	}
	return rows
}

// engines compares the answers of two stores to many questions.
func engines(t *testing.T, what string, a, b analytics.Store) {
	t.Helper()
	since, until := analyticstest.Begin.Truncate(24*time.Hour), analyticstest.Begin.Add(80*time.Hour)
	near := func(x, y float64) bool { return math.Abs(x-y) <= 1e-9*max(1, math.Abs(x), math.Abs(y)) }
	for _, m := range []analytics.Metric{analytics.MetricEvents, analytics.MetricVisitors, analytics.MetricRevenue, analytics.MetricSyncs} {
		dims := []string{"", "name", "pixel_id", "page_path"}
		if m == analytics.MetricSyncs {
			dims = []string{"", "partner", "outcome"}
		}
		for i, d := range dims {
			q := analytics.SeriesQuery{Metric: m, GroupBy: d, Since: since, Until: until, Step: []analytics.Step{analytics.Hour, analytics.Day, "15m", analytics.Day}[i]}
			if i == 1 {
				q.Since, q.PixelID = since.Add(90*time.Minute), "px_demo"
			}
			x, err := a.Series(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			y, err := b.Series(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			same := slices.EqualFunc(x, y, func(x, y analytics.Series) bool {
				return x.Group == y.Group && slices.EqualFunc(x.Points, y.Points, func(x, y analytics.Point) bool { return x.Time.Equal(y.Time) && near(x.Value, y.Value) })
			})
			if !same {
				t.Errorf("%s: %s by %s each %s differ", what, m, cmp.Or(d, "nothing"), q.Step)
			}
		}
	}
}

// However often, in whatever cut and by how many at once events are written, the rows
// and the series made of them are those of writing each once, which the embedded store
// did.
func TestReplaysChangeNeitherEventsNorSeries(t *testing.T) {
	t.Parallel()
	c := migrated(t, clickhousetest.DSN(t))
	one, two := opened(t, c), opened(t, c) // as two processes
	for _, s := range []*Store{one, two} {
		s.settle, s.fresh = 0, 0 // nobody writes while passes are made below
	}
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	once, err := sqliteanalytics.New(db)
	if err != nil {
		t.Fatal(err)
	}
	events := analyticstest.Events(21, 1500, 12*time.Hour) // over midnight
	syncs := analyticstest.Syncs(21, events)
	write := func(s *Store) func([]event.Event) error {
		return func(e []event.Event) error { return s.WriteEvents(t.Context(), e...) }
	}
	writeSyncs := func(s *Store) func([]event.Sync) error {
		return func(l []event.Sync) error { return s.WriteSyncs(t.Context(), l...) }
	}
	count := func() (made int) {
		var group sync.WaitGroup
		var mu sync.Mutex
		for _, s := range []*Store{one, two} {
			group.Go(func() {
				for _, source := range []string{sourceEvents, sourceSyncs} {
					n, err := s.Count(t.Context(), source)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					made += n
					mu.Unlock()
				}
			})
		}
		group.Wait()
		return made
	}
	embedded := func(events []event.Event, syncs []event.Sync) {
		if err := once.WriteEvents(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
		if err := once.WriteSyncs(t.Context(), syncs...); err != nil {
			t.Fatal(err)
		}
	}

	early := events[:1200]
	replayed(t, 1, early, write(one), write(two))
	replayed(t, 2, syncs, writeSyncs(one), writeSyncs(two))
	embedded(early, syncs)
	engines(t, "before any pass", one, once)
	if made := count(); made < 14 {
		t.Fatalf("%d passes were made", made)
	}
	engines(t, "from passes", one, once)
	rows := recounted(t, one)
	if p, err := one.plan(t.Context(), question{metric: analytics.MetricEvents}); err != nil || len(p.passes["day"])+len(p.passes["hour"]) == 0 || len(p.rows) > 0 {
		t.Errorf("passes are not used: %+v, %v", p, err)
	}

	// The same again: nothing may change, in passes or without.
	replayed(t, 3, early, write(two), write(one))
	engines(t, "after a replay", two, once)
	count()
	if again := recounted(t, two); again != rows {
		t.Errorf("after a replay the series have %d rows, not %d", again, rows)
	}
	engines(t, "after a replay, from passes", two, once)

	// Late ones, among them hours that were counted; and lines of the log that are
	// replaced, in another hour.
	late := events[1200:]
	for i := range late {
		late[i].ReceivedAt = late[i].ReceivedAt.Add(-time.Duration(i%6) * time.Hour).Truncate(time.Microsecond)
	}
	changed := slices.Clone(syncs[:200])
	for i := range changed {
		changed[i].Outcome, changed[i].At = event.Accepted, changed[i].At.Add(3*time.Hour)
	}
	replayed(t, 4, late, write(one), write(two))
	for chunk := range slices.Chunk(changed, 70) {
		if err := writeSyncs(two)(chunk); err != nil {
			t.Fatal(err)
		}
	}
	embedded(late, changed)
	engines(t, "late ones, from rows", one, once)
	count()
	engines(t, "late ones, from passes", one, once)
	recounted(t, one)
	var n, ids uint64
	if err := one.ask(t.Context(), "count", `SELECT count(), uniqExact(pixel_id, id) FROM events FINAL`, nil, func(r driver.Rows) error { return r.Scan(&n, &ids) }); err != nil || n != uint64(len(events)) || ids != n {
		t.Errorf("%d rows of %d ids, not %d, %v", n, ids, len(events), err)
	}
}

// A pass is believed only if nothing can have been written after it began.
func TestAPassThatMayHaveMissedSomethingIsNotBelieved(t *testing.T) {
	s := &Store{settle: settle}
	touched := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]bool{-time.Minute: false, 0: false, settle: false, settle + time.Microsecond: true} {
		if got := s.believed(touched.Add(after), touched); got != want {
			t.Errorf("begun %s after: %v", after, got)
		}
	}
	if s.believed(time.Time{}, touched) {
		t.Error("no pass at all is believed")
	}
	// What settle has to cover; config bounds write_timeout by 45 seconds.
	if need := touchFor + 45*time.Second + 3*time.Minute; settle < need {
		t.Errorf("settle is %s, less than %s", settle, need)
	}
}

// A pass that broke off leaves rows that are not believed, and are deleted later.
func TestHalfAPassChangesNoAnswer(t *testing.T) {
	s := opened(t, migrated(t, clickhousetest.DSN(t)))
	s.settle, s.fresh = 0, 0
	events := analyticstest.Events(5, 200, 3*time.Hour)
	if err := s.WriteEvents(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	columns, _ := s.poured(sourceEvents)
	if err := s.conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO series_events_in (unit, pass, %s) SELECT 'hour', 77, %s FROM events LIMIT 50`, columns, columns)); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.Exec(t.Context(), `INSERT INTO series_events (unit, bucket, pass, made) VALUES ('hour', 0, 78, now() - 7200)`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Count(t.Context(), sourceEvents); err != nil {
		t.Fatal(err)
	}
	recounted(t, s)
	top, err := s.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "pixel_id"})
	sum := 0.0
	for _, r := range top {
		sum += r.Value
	}
	if err != nil || sum != float64(len(events)) {
		t.Errorf("%v are counted, not %d, %v", sum, len(events), err)
	}
	var old uint64
	if err := s.ask(t.Context(), "count", `SELECT countIf(pass = 78) FROM series_events`, nil, func(r driver.Rows) error { return r.Scan(&old) }); err != nil || old != 0 {
		t.Errorf("%d rows of an old pass are left, %v", old, err)
	}
}
