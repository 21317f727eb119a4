package sqliteanalytics

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
)

// commits has callers who write at the same time share a transaction: its wait for the
// disk, and the pages that several of them change.
type commits struct {
	mu      sync.Mutex
	waiting []*commit
	leading bool // somebody is at it, and takes those that wait when he is done
}

// commit is one caller's part.
type commit struct {
	ctx      context.Context
	do       func(*sql.Tx) error // it may be done twice, and its effects count once
	done     chan struct{}       // closed when what follows is known
	err      error
	panicked any
}

var errPanic = errors.New("a write panicked")

// together is most callers' parts in one transaction, which all of them wait for.
const together = 32

// write does f in a transaction that others may share; once it returns nil, the disk has
// what f did. n is how much there is to write: nothing costs nothing. f may be called a
// second time, where what it did at first was undone.
func (s *Store) write(ctx context.Context, what string, n int, f func(*sql.Tx) error) error {
	if n == 0 {
		return nil
	}
	c := &commit{ctx: ctx, do: f, done: make(chan struct{})}
	s.commits.mu.Lock()
	s.commits.waiting = append(s.commits.waiting, c)
	lead := !s.commits.leading
	s.commits.leading = true
	s.commits.mu.Unlock()
	if lead {
		s.lead()
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if s.commits.leave(c) {
			return told(ctx, what, ctx.Err())
		}
		<-c.done
	}
	if c.panicked != nil {
		panic(c.panicked)
	}
	return told(ctx, what, c.err)
}

// leave takes out one that was not begun.
func (g *commits) leave(c *commit) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, c)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// lead commits what waits, once, and hands what came meanwhile to somebody else.
func (s *Store) lead() {
	g := &s.commits
	g.mu.Lock()
	n := min(len(g.waiting), together)
	list := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	g.mu.Unlock()
	s.commit(list)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leading = len(g.waiting) > 0; g.leading {
		go s.lead()
	}
}

func (s *Store) commit(list []*commit) {
	defer func() {
		for _, c := range list {
			close(c.done)
		}
	}()
	if len(list) > 1 && s.transact(list...) == nil {
		return
	}
	// Whose fault it was shows where each is alone.
	for _, c := range list {
		c.err = s.transact(c)
	}
}

func (s *Store) transact(list ...*commit) error {
	// Of several none may end the others' by its own context.
	tx, err := s.db.Durable.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, c := range list {
		if err := c.part(tx); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// part does one caller's. A panic is his, whoever leads.
func (c *commit) part(tx *sql.Tx) (err error) {
	defer func() {
		if c.panicked = recover(); c.panicked != nil {
			err = errPanic
		}
	}()
	if err := c.ctx.Err(); err != nil {
		return err
	}
	return c.do(tx)
}

// alone does f in a transaction of its own, once.
func (s *Store) alone(ctx context.Context, what string, n int, f func(*sql.Tx) error) error {
	if n == 0 {
		return nil
	}
	err := func() error {
		tx, err := s.db.Durable.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := f(tx); err != nil {
			return err
		}
		return tx.Commit()
	}()
	return told(ctx, what, err)
}
