package sqlitestate

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
)

// Get reads a batch with one statement per 256 keys.
func (s *Store) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	now := time.Now().UnixMilli()
	found := make(map[string][]byte, len(keys))
	for rest := keys; len(rest) > 0; {
		i := 0
		for i < len(getSizes)-1 && getSizes[i] < len(rest) {
			i++
		}
		n := min(getSizes[i], len(rest))
		if err := s.get(ctx, i, now, rest[:n], found); err != nil {
			return nil, fmt.Errorf("get keys: %w", err)
		}
		rest = rest[n:]
	}
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = found[k]
	}
	return out, nil
}

func (s *Store) get(ctx context.Context, size int, now int64, keys []string, found map[string][]byte) error {
	args := make([]any, 1, 1+getSizes[size])
	args[0] = now
	for _, k := range keys {
		args = append(args, k)
	}
	for len(args) < cap(args) {
		args = append(args, keys[len(keys)-1])
	}
	rows, err := s.gets[size].QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		var value []byte
		if err := rows.Scan(&key, &value); err != nil {
			return err
		}
		found[key] = notNil(value)
	}
	return rows.Err()
}

// Set writes all the entries in one lazy transaction.
func (s *Store) Set(ctx context.Context, entries ...state.Entry) error {
	if len(entries) == 0 {
		return ctx.Err()
	}
	now := time.Now()
	kept := func(e state.Entry) bool { return e.TTL == state.Kept }
	err := s.write(ctx, sqlitedb.Lazy, func() error {
		for rest := entries; len(rest) > 0; {
			if e := rest[0]; kept(e) {
				if _, err := s.overwrite.Exec(notNil(e.Value), e.Key, now.UnixMilli()); err != nil {
					return err
				}
				rest = rest[1:]
				continue
			}
			n := slices.IndexFunc(rest, kept)
			if n < 0 {
				n = len(rest)
			}
			if err := cut(rest[:n], now, s.setSome); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set keys: %w", err)
	}
	return nil
}

func (s *Store) setSome(part []state.Entry, args []any) error {
	stmt := s.set
	if len(part) > 1 {
		stmt = s.setRows
	}
	_, err := stmt.Exec(args...)
	return err
}

// Claim writes the absent ones of the entries in one lazy transaction.
func (s *Store) Claim(ctx context.Context, entries ...state.Entry) ([][]byte, error) {
	if len(entries) == 0 {
		return nil, ctx.Err()
	}
	out := make([][]byte, 0, len(entries))
	now := time.Now()
	err := s.write(ctx, sqlitedb.Lazy, func() error {
		return cut(entries, now, func(part []state.Entry, args []any) error {
			stmt := s.claim
			if len(part) > 1 {
				stmt = s.claimRows
			}
			r, err := stmt.Exec(append(args, now.UnixMilli())...)
			if err != nil {
				return err
			}
			won, err := r.RowsAffected()
			if err != nil {
				return err
			}
			for _, e := range part {
				standing := bytes.Clone(notNil(e.Value))
				// Unless all were absent, ask for each what stands there now.
				if int(won) < len(part) {
					if err := s.standing.QueryRow(e.Key).Scan(&standing); err != nil {
						return err
					}
				}
				out = append(out, notNil(standing))
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("claim keys: %w", err)
	}
	return out, nil
}

// cut calls fn with as many entries as a statement takes, or one, and their
// arguments.
func cut(entries []state.Entry, now time.Time, fn func([]state.Entry, []any) error) error {
	for len(entries) > 0 {
		n := rowsAtOnce
		if len(entries) < n {
			n = 1
		}
		args := make([]any, 0, 3*n+1)
		for _, e := range entries[:n] {
			args = append(args, e.Key, notNil(e.Value), expires(now, e.TTL))
		}
		if err := fn(entries[:n], args); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// claimed writes one entry if its key is absent.
func (s *Store) claimed(e state.Entry, now time.Time) (bool, error) {
	r, err := s.claim.Exec(e.Key, notNil(e.Value), expires(now, e.TTL), now.UnixMilli())
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// Swap is durable: what it decides, such as who may renew a token, must stand.
func (s *Store) Swap(ctx context.Context, old []byte, e state.Entry) (swapped bool, err error) {
	now := time.Now()
	err = s.write(ctx, sqlitedb.Durable, func() error {
		swapped, err = s.swapped(state.Change{Old: old, Entry: e}, now)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("swap a key: %w", err)
	}
	return swapped, nil
}

// SwapAll is one durable transaction, for the same reason.
func (s *Store) SwapAll(ctx context.Context, changes ...state.Change) ([][]byte, error) {
	if len(changes) == 0 {
		return nil, ctx.Err()
	}
	out := make([][]byte, len(changes))
	now := time.Now()
	err := s.write(ctx, sqlitedb.Durable, func() error {
		for i, c := range changes {
			done, err := s.swapped(c, now)
			if err != nil {
				return err
			}
			if done {
				out[i] = bytes.Clone(notNil(c.Value))
				continue
			}
			out[i] = nil
			switch err := s.fresh.QueryRow(c.Key, now.UnixMilli()).Scan(&out[i]); {
			case err == nil:
				out[i] = notNil(out[i])
			case !errors.Is(err, sql.ErrNoRows):
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("swap keys: %w", err)
	}
	return out, nil
}

// swapped does one of the swaps.
func (s *Store) swapped(c state.Change, now time.Time) (bool, error) {
	if c.Old == nil {
		return s.claimed(c.Entry, now)
	}
	r, err := s.swap.Exec(notNil(c.Value), expires(now, c.TTL), c.Key, c.Old, now.UnixMilli())
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// Delete removes keys in one lazy transaction.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return ctx.Err()
	}
	err := s.write(ctx, sqlitedb.Lazy, func() error {
		for _, k := range keys {
			if _, err := s.remove.Exec(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete keys: %w", err)
	}
	return nil
}

// expires is when an entry written now is gone, rounded up to a millisecond.
func expires(now time.Time, ttl time.Duration) int64 {
	if ttl <= 0 {
		return 0
	}
	return now.Add(ttl + time.Millisecond - 1).UnixMilli()
}

// notNil tells an empty value from an absent one.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
