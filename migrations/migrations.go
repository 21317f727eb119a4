// Package migrations embeds the analytics stores' schemas, applied in the order
// of their file names.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
)

//go:embed sqlite/*.sql clickhouse/*.sql
var files embed.FS

// SQLite applies what the embedded analytics store lacks, each file in a
// transaction of its own, and returns the names of those it applied.
func SQLite(ctx context.Context, db *sql.DB) ([]string, error) {
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)`); err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "sqlite/*.sql")
	if err != nil {
		return nil, err
	}
	var applied []string
	for _, name := range names {
		done, err := apply(ctx, db, name)
		if err != nil {
			return applied, fmt.Errorf("migration %s: %w", name, err)
		}
		if done {
			applied = append(applied, name)
		}
	}
	return applied, nil
}

func apply(ctx context.Context, db *sql.DB, name string) (bool, error) {
	body, err := files.ReadFile(name)
	if err != nil {
		return false, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	r, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO migrations (name) VALUES (?)`, name)
	if err != nil {
		return false, err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, string(body)); err != nil {
		return false, err
	}
	return true, tx.Commit()
}
