// Package chanalytics keeps stored events and the sync log in ClickHouse, and answers
// the console's questions from it.
//
// It promises what the port does, exactly, however often and in whatever cut events
// are written: rows are keyed by the event's id, copies are merged when they are
// read, and time series are recounted whole from the rows (series.go). A call returns
// once the server confirmed the insert; inserts of all callers are gathered into few
// and large ones (group.go). Every question has bounds of time and memory, and ends
// on the server too when its context does.
package chanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/migrations"
	"github.com/miq/pixel/modules/analytics"
)

// Keep says for how many days a pixel keeps its events, and what the sync log says
// of them; 0: for ever.
type Keep func(pixelID string) (events, syncs uint16)

// Store is an analytics.Store.
type Store struct {
	config  config.ClickHouse
	conn    driver.Conn
	db      *sql.DB // for what goose's tables say
	http    bool
	keep    Keep
	log     *slog.Logger
	metrics *Metrics
	pace    *pace
	writer  [lanes]uint32 // this process's numbers
	last    atomic.Uint64
	dims    []string
	settle  time.Duration // see series.go
	fresh   time.Duration // touchFor
	touched touchCache

	events     *group[eventRow]
	syncs      *group[syncRow]
	matches    *group[matchRow]
	receipts   *group[receiptRow]
	identities *group[analytics.Identity]
	touches    *group[touchRow]
	credits    *group[creditRow]
	counts     *group[countRow]
	audits     *group[auditRow]

	ready atomic.Pointer[schema]
	once  sync.Mutex // one looks at the schema at a time
	stop  context.CancelFunc
	done  sync.WaitGroup
}

var _ analytics.Store = (*Store)(nil)

// schema is what the server said of our tables: columns and their types.
type schema map[string][]clickhouse.ColumnNameAndType

// New makes a store that writes nothing until Start.
func New(c config.ClickHouse, keep Keep, log *slog.Logger, m *Metrics) (*Store, error) {
	o, err := options(c)
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		return nil, fmt.Errorf("clickhouse.dsn: %s", withoutSecret(err, c.DSN))
	}
	forSQL := *o
	s := &Store{
		config: c, conn: conn, db: clickhouse.OpenDB(&forSQL), http: o.Protocol == clickhouse.HTTP, keep: keep, log: log, metrics: m,
		pace: newPace(c.Linger), dims: dimensions(), settle: settle, fresh: touchFor,
		touched: touchCache{at: map[touchKey]time.Time{}},
	}
	if s.keep == nil {
		s.keep = func(string) (uint16, uint16) { return 0, 0 }
	}
	for i := range s.writer {
		s.writer[i] = rand.Uint32()
	}
	s.events = group1(s, events, s.insertEvents)
	s.syncs = group1(s, syncs, s.insertSyncs)
	s.matches = group1(s, matches, nil)
	s.receipts = group1(s, receipts, nil)
	s.identities = group1(s, identities, nil)
	s.touches = group1(s, touches, nil)
	s.credits = group1(s, creditSets, nil)
	s.counts = group1(s, counts, nil)
	s.audits = group1(s, audits, nil)
	return s, nil
}

// group1 gathers one table's rows; before may change what is inserted.
func group1[T any](s *Store, t table[T], before func(ctx context.Context, lane int, rows []T) ([]T, error)) *group[T] {
	return newGroup(t.name, s.config.BatchRows, s.config.WriteTimeout, s.pace, s.metrics, func(ctx context.Context, lane int, rows []T) error {
		types, err := s.checked(ctx)
		if err != nil {
			return err
		}
		if before != nil {
			if rows, err = before(ctx, lane, rows); err != nil || len(rows) == 0 {
				return err
			}
		}
		if err := send(s, ctx, t, types, rows); err != nil {
			// A database that was made anew does not know what was said to the one before.
			s.touched.forget()
			return err
		}
		return nil
	})
}

// Start looks whether the schema is the one we know, which is an error that waiting
// does not mend. A server that is away is none: writes wait for it.
func (s *Store) Start(ctx context.Context) error {
	look, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := s.checked(look); err != nil {
		if _, wrong := err.(migrations.SchemaError); wrong {
			return err
		}
		s.log.Warn("clickhouse does not answer; events wait in their queue until it does", "error", err)
	}
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	for lane := range lanes {
		for _, run := range []func(context.Context, int){s.events.run, s.syncs.run, s.matches.run, s.receipts.run, s.identities.run, s.touches.run, s.credits.run, s.counts.run, s.audits.run} {
			s.done.Go(func() { run(running, lane) })
		}
	}
	s.done.Go(func() { s.watch(running) })
	s.done.Go(func() { s.count(running) })
	return nil
}

// Stop ends what runs and closes the connections. Who writes still gets an error.
func (s *Store) Stop() error {
	if s.stop != nil {
		s.stop()
	}
	s.done.Wait()
	_ = s.db.Close()
	return s.conn.Close()
}

// checked returns the schema, once it was found to be the one we know.
func (s *Store) checked(ctx context.Context) (schema, error) {
	if p := s.ready.Load(); p != nil {
		return *p, nil
	}
	s.once.Lock()
	defer s.once.Unlock()
	if p := s.ready.Load(); p != nil {
		return *p, nil
	}
	if err := migrations.CheckClickHouse(ctx, s.db); err != nil {
		return nil, err
	}
	rows, err := s.conn.Query(ctx, `SELECT table, name, type FROM system.columns WHERE database = currentDatabase() AND default_kind IN ('', 'DEFAULT')`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types := schema{}
	for rows.Next() {
		var t, name, kind string
		if err := rows.Scan(&t, &name, &kind); err != nil {
			return nil, err
		}
		types[t] = append(types[t], clickhouse.ColumnNameAndType{Name: name, Type: kind})
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	s.ready.Store(&types)
	return types, nil
}

// Check reports whether the store can be read and written.
func (s *Store) Check(ctx context.Context) error {
	if _, err := s.checked(ctx); err != nil {
		return fmt.Errorf("clickhouse: %w", err)
	}
	if err := s.conn.QueryRow(s.bounded(ctx), `SELECT 1 FROM events LIMIT 0 SETTINGS max_threads = 1`).Err(); err != nil {
		return fmt.Errorf("clickhouse: %w", err)
	}
	return nil
}

// watch keeps the pace to what the server can merge.
func (s *Store) watch(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var parts uint64
		look, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := s.conn.QueryRow(look, `SELECT max(n) FROM (SELECT count() AS n FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table, partition_id)`).Scan(&parts)
		cancel()
		if err == nil {
			s.pace.saw(int(parts))
			s.metrics.parts.Set(float64(parts))
			s.metrics.gap.Set(s.pace.gap().Seconds())
		}
	}
}

// number returns n new numbers of the order of storage: the first of them.
func (s *Store) number(n int) uint64 {
	for {
		last := s.last.Load()
		first := max(last+1, uint64(time.Now().UnixMicro()))
		if s.last.CompareAndSwap(last, first+uint64(n)-1) {
			return first
		}
	}
}

// bounded gives a question its bounds.
func (s *Store) bounded(ctx context.Context) context.Context {
	set := clickhouse.Settings{
		"max_execution_time": int(max(s.config.QueryTimeout/time.Second, 1)),
		"max_memory_usage":   s.config.QueryMemory,
		"max_query_size":     64 << 20,
		"log_queries":        0, // they hold ids of people
		// Copies of a row always lie in one partition: they have one time of receipt.
		"do_not_merge_across_partitions_select_final": 0,
		"use_skip_indexes_if_final":                   1,
		"use_skip_indexes_if_final_exact_mode":        1,
	}
	if s.http {
		set["cancel_http_readonly_queries_on_client_close"] = 1
	}
	return clickhouse.Context(ctx, clickhouse.WithSettings(set))
}

// ask runs a question and hands its rows over one by one.
func (s *Store) ask(ctx context.Context, what, query string, args []any, row func(driver.Rows) error) (err error) {
	begun := time.Now()
	defer func() { s.metrics.asked(what, time.Since(begun), err) }()
	ctx, cancel := context.WithTimeout(ctx, s.config.QueryTimeout+5*time.Second)
	defer cancel()
	err = func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := s.conn.Query(s.bounded(ctx), query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := row(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}()
	if hasCode(err, codeTooSlow, codeMemory) {
		err = fmt.Errorf("the question asks for more than clickhouse.query_timeout or clickhouse.query_memory allow; narrow its time or choose a pixel: %w", err)
	}
	return told(ctx, what, err)
}
