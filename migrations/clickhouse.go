package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// Error codes of ClickHouse that mean something here.
const (
	codeTableExists   = 57
	codeUnknownTable  = 60
	codeUnknownDB     = 81
	codeUnknownTarget = 36
)

func isCode(err error, codes ...int32) bool {
	var e *clickhouse.Exception
	if errors.As(err, &e) {
		for _, c := range codes {
			if e.Code == c {
				return true
			}
		}
		return false
	}
	// By HTTP the error is text.
	if m := codeInText.FindStringSubmatch(fmt.Sprint(err)); err != nil && m != nil {
		for _, c := range codes {
			if m[1] == strconv.Itoa(int(c)) {
				return true
			}
		}
	}
	return false
}

var codeInText = regexp.MustCompile(`(?i)\bcode: (\d+)\b`)

// ClickHouse applies what the ClickHouse schema lacks and returns the names of the
// files that it applied. cluster is empty for a single server, or the cluster on
// whose every host the tables are to be, replicated. Of several that migrate at
// once one does the work and the others wait for it; one that was killed is taken
// over from, and since each statement does nothing the second time, a migration may
// stop anywhere.
func ClickHouse(ctx context.Context, db *sql.DB, cluster string) ([]string, error) {
	return migrate(ctx, db, cluster, newTableLock(cluster))
}

func migrate(ctx context.Context, db *sql.DB, cluster string, lock *tableLock) ([]string, error) {
	list, names, err := clickhouseFiles(cluster)
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(goose.DialectCustom, db, nil,
		goose.WithStore(versions{cluster}), goose.WithGoMigrations(list...), goose.WithDisableGlobalRegistry(true), goose.WithLocker(lock))
	if err != nil {
		return nil, err
	}
	done, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		done = partial.Applied
		err = fmt.Errorf("migration %s: %w", names[partial.Failed.Source.Version], partial.Err)
	}
	applied := make([]string, 0, len(done))
	for _, r := range done {
		applied = append(applied, names[r.Source.Version])
	}
	return applied, err
}

// ClickHouseVersion is the version of the schema that this program is made for.
func ClickHouseVersion() int64 {
	names, _ := fs.Glob(files, "clickhouse/*.sql")
	last, _ := version(names[len(names)-1])
	return last
}

// lastBefore is the schema of the version before, which refuses to start on a newer one
// though it has only more.
const lastBefore = 4

// ClickHouseBack has the version before start again: it takes nothing away, and forgets
// that later migrations were applied, which do nothing the second time.
func ClickHouseBack(ctx context.Context, db *sql.DB, cluster string) error {
	list, err := versions{cluster}.ListMigrations(ctx, db)
	if isCode(err, codeUnknownTable, codeUnknownDB) {
		return SchemaError("the ClickHouse database has no tables, and so nothing to take back")
	}
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Version > lastBefore {
			if err := (versions{cluster}).Delete(ctx, db, m.Version); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckClickHouse returns an error that says what to do where the schema lacks what this
// program needs. A newer one has only more, so that a program goes on, and starts again,
// while its fleet is upgraded, and after it was rolled back.
func CheckClickHouse(ctx context.Context, db *sql.DB) error {
	want := ClickHouseVersion()
	is, err := versions{}.GetLatestVersion(ctx, db)
	switch {
	case errors.Is(err, database.ErrVersionNotFound), isCode(err, codeUnknownTable, codeUnknownDB):
		return SchemaError("the ClickHouse database has no tables yet: run pixel migrate first")
	case err != nil:
		return err
	case is < want:
		return SchemaError(fmt.Sprintf("the ClickHouse schema is of version %d, and this pixel needs %d: run pixel migrate first", is, want))
	}
	return nil
}

// SchemaError says that the schema is not one that the program can work with. It does
// not pass by waiting.
type SchemaError string

func (e SchemaError) Error() string { return string(e) }

func version(name string) (int64, error) {
	number, _, _ := strings.Cut(path.Base(name), "_")
	return strconv.ParseInt(number, 10, 64)
}

// clickhouseFiles are the migrations, and their files' names by version.
func clickhouseFiles(cluster string) (list []*goose.Migration, names map[int64]string, err error) {
	paths, err := fs.Glob(files, "clickhouse/*.sql")
	if err != nil {
		return nil, nil, err
	}
	names = map[int64]string{}
	for _, name := range paths {
		body, err := files.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		v, err := version(name)
		if err != nil {
			return nil, nil, fmt.Errorf("migration %s: %w", name, err)
		}
		names[v] = name
		statements := Statements(string(body), cluster)
		list = append(list, goose.NewGoMigration(v, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			for _, s := range statements {
				if _, err := db.ExecContext(ctx, s); err != nil {
					return err
				}
			}
			return nil
		}}, nil))
	}
	return list, names, nil
}

// Statements fills in what depends on the cluster, and parts a file's statements.
func Statements(body, cluster string) []string {
	fill := strings.NewReplacer("{on_cluster}", "", "{replicated}", "", "{window}", "non_replicated_deduplication_window = 1000")
	if cluster != "" {
		fill = strings.NewReplacer("{on_cluster}", onCluster(cluster), "{replicated}", "Replicated", "{window}", "replicated_deduplication_window = 1000")
	}
	var list []string
	for _, s := range strings.Split(fill.Replace(body), ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

func onCluster(name string) string {
	if name == "" {
		return ""
	}
	return "ON CLUSTER '" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name) + "'"
}

// versions is where goose keeps what was applied.
type versions struct{ cluster string }

var _ database.Store = versions{}

func (versions) Tablename() string { return "schema_migrations" }

func (v versions) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	engine := "MergeTree"
	if v.cluster != "" {
		engine = "ReplicatedMergeTree"
	}
	_, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations `+onCluster(v.cluster)+` (
  version    Int64,
  applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
) ENGINE = `+engine+` ORDER BY version SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`)
	return err
}

func (versions) Insert(ctx context.Context, db database.DBTxConn, r database.InsertRequest) error {
	_, err := db.ExecContext(ctx, `INSERT INTO schema_migrations (version) VALUES (`+strconv.FormatInt(r.Version, 10)+`)`)
	return err
}

func (versions) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	_, err := db.ExecContext(ctx, `DELETE FROM schema_migrations WHERE version = `+strconv.FormatInt(version, 10))
	return err
}

func (versions) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	var n uint64
	r := &database.GetMigrationResult{IsApplied: true}
	err := db.QueryRowContext(ctx, `SELECT count(), min(applied_at) FROM schema_migrations WHERE version = `+strconv.FormatInt(version, 10)).Scan(&n, &r.Timestamp)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, database.ErrVersionNotFound
	}
	return r, nil
}

func (versions) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	var n uint64
	var last int64
	if err := db.QueryRowContext(ctx, `SELECT count(), max(version) FROM schema_migrations`).Scan(&n, &last); err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, database.ErrVersionNotFound
	}
	return last, nil
}

func (versions) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	rows, err := db.QueryContext(ctx, `SELECT DISTINCT version FROM schema_migrations ORDER BY version DESC`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*database.ListMigrationsResult
	for rows.Next() {
		r := &database.ListMigrationsResult{IsApplied: true}
		if err := rows.Scan(&r.Version); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// MakeDatabase is the statement that makes a database where there is none.
func MakeDatabase(name, cluster string) string {
	return "CREATE DATABASE IF NOT EXISTS `" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "` " + onCluster(cluster)
}
