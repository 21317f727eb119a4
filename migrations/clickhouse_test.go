package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/miq/pixel/modules/clickhousetest"
)

func open(t *testing.T) *sql.DB {
	t.Helper()
	o, err := clickhouse.ParseDSN(clickhousetest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	first := *o
	first.Auth.Database = "default"
	db := clickhouse.OpenDB(&first)
	defer db.Close()
	if _, err := db.Exec(MakeDatabase(o.Auth.Database, "")); err != nil {
		t.Fatal(err)
	}
	db = clickhouse.OpenDB(o)
	t.Cleanup(func() { db.Close() })
	return db
}

func all(t *testing.T) []string {
	t.Helper()
	_, names, err := clickhouseFiles("")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, n := range names {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

func tables(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(`SELECT count() FROM system.tables WHERE database = currentDatabase()`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOfSeveralThatMigrateAtOnceOneDoes(t *testing.T) {
	db := open(t)
	if err := CheckClickHouse(t.Context(), db); err == nil || !strings.Contains(err.Error(), "run pixel migrate") {
		t.Errorf("an empty database: %v", err)
	}
	var mu sync.Mutex
	var applied []string
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			list, err := ClickHouse(t.Context(), db, "")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			applied = append(applied, list...)
		})
	}
	group.Wait()
	slices.Sort(applied)
	if want := all(t); !slices.Equal(applied, want) {
		t.Errorf("three applied %v, not %v once", applied, want)
	}
	if again, err := ClickHouse(t.Context(), db, ""); err != nil || len(again) > 0 {
		t.Errorf("applied again: %v, %v", again, err)
	}
	if err := CheckClickHouse(t.Context(), db); err != nil {
		t.Error(err)
	}
}

func TestAMigrationGoesOnWhereOneWasKilled(t *testing.T) {
	db := open(t)
	// What a process leaves that was killed after some statements, while it held the
	// lock.
	body, err := files.ReadFile("clickhouse/0001_events.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(Statements(string(body), "")[:2], `CREATE TABLE migration_lock (x UInt8) ENGINE = MergeTree ORDER BY tuple() COMMENT 'dead 0'`) {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	// The lock of one that may live is waited for.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if list, err := ClickHouse(ctx, db, ""); err == nil || len(list) > 0 {
		t.Fatalf("the lock did not hold: %v, %v", list, err)
	}
	lock := newTableLock("")
	lock.stale, lock.ask = time.Second, 50*time.Millisecond
	list, err := migrate(t.Context(), db, "", lock)
	if err != nil || !slices.Equal(list, all(t)) {
		t.Fatalf("applied %v, %v", list, err)
	}
	if err := CheckClickHouse(t.Context(), db); err != nil {
		t.Error(err)
	}
	var locks int
	if err := db.QueryRow(`SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'migration_lock%'`).Scan(&locks); err != nil || locks != 0 {
		t.Errorf("%d locks are left, %v", locks, err)
	}
}

func TestAnOlderSchemaIsRefusedAndANewerOneIsNot(t *testing.T) {
	db := open(t)
	if _, err := ClickHouse(t.Context(), db, ""); err != nil {
		t.Fatal(err)
	}
	is := ClickHouseVersion()
	for _, c := range []struct{ change, says string }{
		{fmt.Sprintf(`INSERT INTO schema_migrations (version) VALUES (%d)`, is+1), ""},
		{fmt.Sprintf(`DELETE FROM schema_migrations WHERE version >= %d`, is), "run pixel migrate first"},
	} {
		if _, err := db.Exec(c.change); err != nil {
			t.Fatal(err)
		}
		if err := CheckClickHouse(t.Context(), db); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("after %s: %v", c.change, err)
		}
	}
}

// adds are the statements that leave a program well which does not know them.
var adds = regexp.MustCompile(`(?is)^(CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS |ALTER TABLE \w+ ((ADD (COLUMN|INDEX|PROJECTION) IF NOT EXISTS |MODIFY SETTING )[^;]*)$)`)

var comment = regexp.MustCompile(`(?m)^\s*--.*$`)

func TestMigrationsOnlyAdd(t *testing.T) {
	for _, name := range all(t) {
		body, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range Statements(string(body), "") {
			if s = strings.Join(strings.Fields(comment.ReplaceAllString(s, "")), " "); !adds.MatchString(s) {
				t.Errorf("%s: the version before would not bear %.80s", name, s)
			}
		}
	}
	for _, s := range []string{"DROP TABLE events", "ALTER TABLE events DROP COLUMN name", "ALTER TABLE events MODIFY COLUMN name UInt8", "CREATE TABLE events (x UInt8)"} {
		if adds.MatchString(s) {
			t.Errorf("it would not notice %s", s)
		}
	}
}

func TestTheVersionBeforeStartsAgainOnceTheSchemaIsTakenBack(t *testing.T) {
	db := open(t)
	if err := ClickHouseBack(t.Context(), db, ""); err == nil || !strings.Contains(err.Error(), "no tables") {
		t.Errorf("an empty database: %v", err)
	}
	if _, err := ClickHouse(t.Context(), db, ""); err != nil {
		t.Fatal(err)
	}
	before := tables(t, db)
	for range 2 {
		if err := ClickHouseBack(t.Context(), db, ""); err != nil {
			t.Fatal(err)
		}
	}
	if is, err := (versions{}).GetLatestVersion(t.Context(), db); err != nil || is != lastBefore {
		t.Errorf("the schema is of version %d, %v", is, err)
	}
	if n := tables(t, db); n != before {
		t.Errorf("of %d tables %d are left", before, n)
	}
	if list, err := ClickHouse(t.Context(), db, ""); err != nil || len(list) != len(all(t))-lastBefore {
		t.Errorf("applied again: %v, %v", list, err)
	}
	if err := CheckClickHouse(t.Context(), db); err != nil {
		t.Error(err)
	}
}

// There is no cluster to run it on; the engine at least reads it.
func TestTheVariantForAClusterIsSQL(t *testing.T) {
	db := open(t)
	for _, name := range all(t) {
		body, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range Statements(string(body), "it's a \\cluster") {
			rows, err := db.Query(`EXPLAIN AST ` + s)
			if err != nil {
				t.Errorf("%s: %v in\n%.200s", name, err, s)
				continue
			}
			rows.Close()
			i := strings.Index(s, "ENGINE = ")
			if strings.Contains(s, "CREATE TABLE") && (!strings.Contains(s, "ON CLUSTER") || !strings.HasPrefix(s[i:], "ENGINE = Replicated") && !strings.HasPrefix(s[i:], "ENGINE = Null")) {
				t.Errorf("%s: a table is not everywhere:\n%.200s", name, s)
			}
		}
	}
	if n := tables(t, db); n != 0 {
		t.Errorf("%d tables were made", n)
	}
}
