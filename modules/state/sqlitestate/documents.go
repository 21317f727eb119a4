package sqlitestate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
)

// List reads the documents and the version in one snapshot.
func (s *Store) List(ctx context.Context, collection string) ([]state.Document, int64, error) {
	docs, version, err := s.snapshot(ctx, collection)
	if err != nil {
		return nil, 0, fmt.Errorf("list %s: %w", collection, err)
	}
	return docs, version, nil
}

func (s *Store) snapshot(ctx context.Context, collection string) ([]state.Document, int64, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, err
	}
	defer tx.Rollback()
	version, err := readVersion(tx.QueryRowContext(ctx, versionQuery, collection))
	if err != nil {
		return nil, 0, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, body, revision FROM documents WHERE collection = ? ORDER BY id`, collection)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var docs []state.Document
	for rows.Next() {
		var d state.Document
		if err := rows.Scan(&d.ID, &d.Body, &d.Revision); err != nil {
			return nil, 0, err
		}
		docs = append(docs, d)
	}
	return docs, version, rows.Err()
}

const versionQuery = `SELECT version FROM collections WHERE name = ?`

// Version reads one row.
func (s *Store) Version(ctx context.Context, collection string) (int64, error) {
	version, err := readVersion(s.read.QueryRowContext(ctx, versionQuery, collection))
	if err != nil {
		return 0, fmt.Errorf("read the version of %s: %w", collection, err)
	}
	return version, nil
}

func readVersion(row *sql.Row) (version int64, err error) {
	if err = row.Scan(&version); errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return version, err
}

// Put is durable.
func (s *Store) Put(ctx context.Context, collection string, doc state.Document) (int64, error) {
	err := s.write(ctx, sqlitedb.Durable, func() error {
		var r sql.Result
		var err error
		if doc.Revision == 0 {
			r, err = s.create.Exec(collection, doc.ID, notNil(doc.Body))
		} else {
			r, err = s.update.Exec(notNil(doc.Body), collection, doc.ID, doc.Revision)
		}
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return state.ErrConflict
		}
		_, err = s.bump.Exec(collection)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("put %s in %s: %w", doc.ID, collection, err)
	}
	return doc.Revision + 1, nil
}

// Remove is durable.
func (s *Store) Remove(ctx context.Context, collection, id string) error {
	err := s.write(ctx, sqlitedb.Durable, func() error {
		r, err := s.unlink.Exec(collection, id)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = s.bump.Exec(collection)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove %s from %s: %w", id, collection, err)
	}
	return nil
}
