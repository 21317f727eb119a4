package chanalytics

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// scrubFor is how long Scrub waits: much longer than the tables' old_parts_lifetime.
const scrubFor = 20 * time.Minute

// Scrub waits until the server has nothing on its disk any more of what was deleted
// before. Deleting wrote the parts anew; the old ones are not read, and the server
// removes them after old_parts_lifetime, a minute as we set it. So it does with the
// statements that deleted, which name whom they were about. What a server writes down
// of statements elsewhere we keep it from (log_queries), but for its own log of text.
func (s *Store) Scrub(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, scrubFor)
	defer cancel()
	left, err := s.remains(ctx)
	if err != nil {
		return err
	}
	for tick := time.NewTicker(time.Second); len(left) > 0; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("wait until clickhouse has removed what was deleted: %d old parts and statements are left: %w", len(left), context.Cause(ctx))
		case <-tick.C:
		}
		now, err := s.remains(ctx)
		if err != nil {
			return err
		}
		// Merges make ever more old parts; those of before are what matters.
		for r := range left {
			if !now[r] {
				delete(left, r)
			}
		}
	}
	return nil
}

// remain is an old part, or a statement that was carried out.
type remain struct{ host, table, name string }

// remains are what is there just now.
func (s *Store) remains(ctx context.Context) (map[remain]bool, error) {
	parts, mutations := "system.parts", "system.mutations"
	if s.config.Cluster != "" {
		parts, mutations = "clusterAllReplicas("+list([]string{s.config.Cluster})+", "+parts+")", "clusterAllReplicas("+list([]string{s.config.Cluster})+", "+mutations+")"
	}
	out := map[remain]bool{}
	tables := list(append([]string{"events", "identities"}, ofEvents...))
	// The last statement of a table stays: ours writes parts anew, and names nobody.
	err := s.ask(ctx, "look for what is left of what was deleted", `SELECT hostName() AS host, table, name FROM `+parts+` WHERE database = currentDatabase() AND NOT active AND table IN (`+tables+`)
		UNION ALL SELECT hostName(), table, mutation_id FROM `+mutations+` WHERE database = currentDatabase() AND table IN (`+tables+`) AND command LIKE '%\\_row\\_exists%'`, nil, func(r driver.Rows) error {
		var m remain
		err := r.Scan(&m.host, &m.table, &m.name)
		out[m] = true
		return err
	})
	return out, err
}
