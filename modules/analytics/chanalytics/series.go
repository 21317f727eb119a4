package chanalytics

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Series are made by passes. A pass reads all rows of one hour or day as they are
// once copies are merged, pours them through the materialised views, and is entered
// in series_passes when all is written. Who asks uses a pass only if nobody may have
// written to its hour after it began to read; all else is counted from the rows. So
// an answer is always that of a recount, whatever was written twice, or by halves.
//
// Nobody may have written to it: a writer enters the hour in series_touches before it
// inserts, and may then insert for touchFor; the server gives an insert at most its
// max_execution_time, which config bounds by 45 seconds. All of these are measured by
// the server's clock but touchFor, which is measured by the writer's from before it
// entered the hour. settle is more than all of them together, and leaves three
// minutes for the clocks of a cluster.
const settle = 5 * time.Minute

// Passes of one round: what is left is done in the next.
const passesOfRound = 200

// count makes passes until ctx ends. Every process that writes does: two that make
// the same pass do needless work, and no harm.
func (s *Store) count(ctx context.Context) {
	for {
		wait := time.Minute/2 + rand.N(time.Minute)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if s.ready.Load() == nil {
			continue
		}
		for _, source := range []string{sourceEvents, sourceSyncs} {
			if _, err := s.Count(ctx, source); err != nil && ctx.Err() == nil {
				s.log.Warn("series could not be counted; questions are answered from the rows meanwhile", "source", source, "error", err)
			}
		}
	}
}

// Count makes the passes that are due, and says how many.
func (s *Store) Count(ctx context.Context, source string) (made int, err error) {
	var now time.Time
	if err := s.ask(ctx, "ask the time", `SELECT now64(6, 'UTC')`, nil, func(r driver.Rows) error { return r.Scan(&now) }); err != nil {
		return 0, err
	}
	k, err := s.known(ctx, source, time.Time{}, time.Time{}, "")
	if err != nil {
		return 0, err
	}
	hours, days := k.hours, k.days
	ripe := func(end, touched time.Time) bool { return end.Before(now) && touched.Add(s.settle).Before(now) }
	for i := 0; i < len(hours) && made < passesOfRound; {
		today, touched, n := hours[i].at.Truncate(day), time.Time{}, i
		for ; n < len(hours) && hours[n].at.Before(today.Add(day)); n++ {
			h := hours[n]
			if h.touched.After(touched) {
				touched = h.touched
			}
			if ripe(h.at.Add(time.Hour), h.touched) && !s.believed(h.begun, h.touched) {
				if err := s.pass(ctx, source, "hour", h.at, h.at.Add(time.Hour)); err != nil {
					return made, err
				}
				made++
			}
		}
		if d := days[today.Unix()]; ripe(today.Add(day), touched) && !s.believed(d.begun, touched) {
			if err := s.pass(ctx, source, "day", today, today.Add(day)); err != nil {
				return made, err
			}
			made++
		}
		i = n
	}
	if made > 0 {
		return made, s.forget(ctx, source)
	}
	return made, nil
}

// poured are the columns of rows that a pass takes.
func (s *Store) poured(source string) (columns, at string) {
	if source == sourceSyncs {
		return "pixel_id, at, partner, outcome, code, latency, keep_days", "at"
	}
	return "pixel_id, received_at, name, visitor, value, base_value, " + strings.Join(s.dims, ", ") + ", keep_days", "received_at"
}

// pass counts one bucket.
func (s *Store) pass(ctx context.Context, source, unit string, from, to time.Time) (err error) {
	defer func() {
		outcome := "made"
		if err != nil {
			outcome = "failed"
			err = fmt.Errorf("count the %s of %s: %w", unit, from.Format(time.RFC3339), err)
		}
		s.metrics.passes.WithLabelValues(source, unit, outcome).Inc()
	}()
	if s.config.Cluster != "" {
		// What others confirmed has to be here before it is counted.
		if err := s.conn.Exec(ctx, "SYSTEM SYNC REPLICA "+source+" LIGHTWEIGHT"); err != nil {
			return err
		}
	}
	var begun time.Time
	if err := s.ask(ctx, "ask the time", `SELECT now64(6, 'UTC')`, nil, func(r driver.Rows) error { return r.Scan(&begun) }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	set := clickhouse.Settings{
		"max_execution_time": 590, "max_memory_usage": s.config.QueryMemory, "max_threads": 2,
		// Half a pass must not pass for a whole one.
		"materialized_views_ignore_errors": 0, "insert_deduplicate": 0,
	}
	s.quorum(set)
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(set))
	id := rand.Uint64()
	columns, at := s.poured(source)
	if err := s.conn.Exec(ctx, `INSERT INTO series_`+source+`_in (unit, pass, `+columns+`)
		SELECT '`+unit+`', `+strconv.FormatUint(id, 10)+`, `+columns+` FROM `+source+` FINAL WHERE `+at+` >= `+micro+` AND `+at+` < `+micro,
		from.UnixMicro(), to.UnixMicro()); err != nil {
		return err
	}
	return s.conn.Exec(ctx, `INSERT INTO series_passes (source, unit, bucket, pass, begun) VALUES (?, ?, ?, ?, `+micro+`)`,
		source, unit, from.Unix(), id, begun.UnixMicro())
}

// forget deletes what passes made that are not believed any more. Those of the last
// hour stay, for whoever asks just now.
func (s *Store) forget(ctx context.Context, source string) error {
	var old uint64
	const stale = ` WHERE made < now('UTC') - INTERVAL 1 HOUR AND pass NOT IN (SELECT argMax(pass, begun) FROM series_passes WHERE source = ? GROUP BY unit, bucket)`
	if err := s.ask(ctx, "look for old passes", `SELECT count() FROM series_`+source+stale, []any{source}, func(r driver.Rows) error { return r.Scan(&old) }); err != nil || old == 0 {
		return err
	}
	return s.conn.Exec(ctx, `DELETE FROM series_`+source+stale, source)
}
