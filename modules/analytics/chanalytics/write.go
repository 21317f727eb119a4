package chanalytics

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// send inserts rows as one block.
func send[T any](s *Store, ctx context.Context, t table[T], types schema, rows []T) error {
	set := clickhouse.Settings{
		"async_insert":       0, // decision 7
		"max_execution_time": int(max(s.config.WriteTimeout/time.Second, 1)),
		// A block is at most this long, so that one insert is one part.
		"max_insert_block_size": 1 << 20,
		// A third of the server's work: to look in a block for copies, of which there are
		// none, and to count what its values are. Merges do both.
		"optimize_on_insert": 0, "materialize_statistics_on_insert": 0,
	}
	if s.http {
		set["wait_end_of_query"] = 1
	}
	s.quorum(set)
	known := map[string]clickhouse.ColumnNameAndType{}
	for _, c := range types[t.name] {
		known[c.Name] = c
	}
	columns := make([]clickhouse.ColumnNameAndType, 0, len(t.columns))
	for _, c := range t.columns {
		k, ok := known[c.name]
		if !ok {
			return fmt.Errorf("the table %s has no column %s", t.name, c.name)
		}
		columns = append(columns, k)
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(set), clickhouse.WithColumnNamesAndTypes(columns))
	b, err := s.conn.PrepareBatch(ctx, t.insertSQL())
	if err != nil {
		return err
	}
	for i, c := range t.columns {
		if err := b.Column(i).Append(values(columns[i].Type, c.take(rows))); err != nil {
			_ = b.Abort()
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return b.Send()
}

// quorum makes an insert of a cluster's wait for a majority. Touches and passes do too:
// were they on fewer hosts than the rows that they are about, then of what is left when a
// host dies, a series could be believed that lacks some.
func (s *Store) quorum(set clickhouse.Settings) {
	if s.config.Cluster != "" {
		set["insert_quorum"] = "auto"
	}
}

// values are a column's as the driver takes them best.
func values(kind string, list any) any {
	if texts, ok := list.([]string); ok && kind == "LowCardinality(String)" {
		return interned(texts)
	}
	return list
}

// WriteEvents stores events.
func (s *Store) WriteEvents(ctx context.Context, events ...event.Event) error {
	rows := newEventRows(events, s.dims, func(pixelID string) uint16 {
		keep, _ := s.keep(pixelID)
		return keep
	})
	return told(ctx, "write events", s.events.write(ctx, rows))
}

type eventID struct{ pixel, id string }

// insertEvents leaves out what is stored already, numbers the rest, and says which
// hours are about to change. Two that write the same row at once may both find it
// missing; then the rows are copies, which are one when they are read.
func (s *Store) insertEvents(ctx context.Context, lane int, rows []eventRow) ([]eventRow, error) {
	seen := make(map[eventID]bool, len(rows))
	ids := make([]string, 0, len(rows))
	fresh := make([]eventRow, 0, len(rows))
	for _, r := range rows {
		if k := (eventID{r.e.PixelID, r.e.ID}); !seen[k] {
			seen[k] = true
			ids = append(ids, r.e.ID)
			fresh = append(fresh, r)
		}
	}
	stored, err := s.stored(ctx, ids)
	if err != nil {
		return nil, err
	}
	if len(stored) > 0 {
		kept := fresh[:0]
		for _, r := range fresh {
			if !stored[eventID{r.e.PixelID, r.e.ID}] {
				kept = append(kept, r)
			}
		}
		fresh = kept
	}
	times := make([]time.Time, len(fresh))
	for i := range fresh {
		times[i] = fresh[i].e.ReceivedAt
	}
	if err := s.touch(ctx, sourceEvents, times); err != nil {
		return nil, err
	}
	seq := s.number(len(fresh))
	for i := range fresh {
		fresh[i].writer, fresh[i].seq = s.writer[lane], seq+uint64(i)
	}
	return fresh, nil
}

// sent makes ids a table that goes with a question: thousands of literals take the
// server longer to read than to look up.
func sent(ctx context.Context, ids []string) (context.Context, error) {
	t, err := ext.NewTable("sent", ext.Column("id", "String"))
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := t.Append(id); err != nil {
			return nil, err
		}
	}
	return clickhouse.Context(ctx, clickhouse.WithExternalTable(t)), nil
}

// stored are those of some ids that are stored, by the projection that is ordered by
// id.
func (s *Store) stored(ctx context.Context, ids []string) (map[eventID]bool, error) {
	ctx, err := sent(ctx, ids)
	if err != nil {
		return nil, err
	}
	found := map[eventID]bool{}
	err = s.ask(ctx, "look events up", `SELECT DISTINCT pixel_id, id FROM events WHERE id IN (SELECT id FROM sent)`, nil, func(r driver.Rows) error {
		var k eventID
		err := r.Scan(&k.pixel, &k.id)
		found[k] = true
		return err
	})
	return found, err
}

// list writes strings as literals, which the driver does for one alone. What the driver
// takes for a place of a value, even between quotes, is written by its code.
func list(values []string) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\'')
		for j := range len(v) {
			switch c := v[j]; c {
			case '\'', '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case '{', '?', '@', '$':
				fmt.Fprintf(&b, `\x%02X`, c)
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('\'')
	}
	return b.String()
}

// WriteSyncs stores lines of the sync log.
func (s *Store) WriteSyncs(ctx context.Context, syncs ...event.Sync) error {
	rows := make([]syncRow, len(syncs))
	for i := range syncs {
		body, err := json.Marshal(&syncs[i], lenient)
		if err != nil {
			return fmt.Errorf("encode a sync of event %q: %w", syncs[i].EventID, err)
		}
		_, keep := s.keep(syncs[i].PixelID)
		rows[i] = syncRow{Sync: syncs[i], body: string(body), keep: keep}
	}
	return told(ctx, "write syncs", s.syncs.write(ctx, rows))
}

// insertSyncs numbers lines, and says which hours are about to change: those of the
// lines, and those of the lines that they replace.
func (s *Store) insertSyncs(ctx context.Context, _ int, rows []syncRow) ([]syncRow, error) {
	ids := make([]string, len(rows))
	times := make([]time.Time, len(rows), 2*len(rows))
	seq := s.number(len(rows))
	for i := range rows {
		rows[i].seq = seq + uint64(i)
		ids[i], times[i] = rows[i].EventID, rows[i].At
	}
	asked, err := sent(ctx, ids)
	if err != nil {
		return nil, err
	}
	err = s.ask(asked, "look lines up", `SELECT DISTINCT toStartOfHour(at) FROM syncs WHERE event_id IN (SELECT id FROM sent)`, nil, func(r driver.Rows) error {
		var hour time.Time
		err := r.Scan(&hour)
		times = append(times, hour)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, s.touch(ctx, sourceSyncs, times)
}

// WriteMatches stores how well events can be matched.
func (s *Store) WriteMatches(ctx context.Context, matches ...event.Match) error {
	rows := make([]matchRow, len(matches))
	seq := s.number(len(rows))
	for i := range matches {
		_, keep := s.keep(matches[i].PixelID)
		rows[i] = matchRow{matches[i], keep, seq + uint64(i)}
	}
	return told(ctx, "write matches", s.matches.write(ctx, rows))
}

// WriteReceipts stores consent receipts.
func (s *Store) WriteReceipts(ctx context.Context, receipts ...event.ConsentReceipt) error {
	rows := make([]receiptRow, len(receipts))
	seq := s.number(len(rows))
	for i := range receipts {
		body, err := json.Marshal(&receipts[i], lenient)
		if err != nil {
			return fmt.Errorf("encode a consent receipt: %w", err)
		}
		rows[i] = receiptRow{receipts[i], string(body), seq + uint64(i)}
	}
	return told(ctx, "write consent receipts", s.receipts.write(ctx, rows))
}

// WriteIdentities stores whose visitors are.
func (s *Store) WriteIdentities(ctx context.Context, identities ...analytics.Identity) error {
	return told(ctx, "write identities", s.identities.write(ctx, identities))
}

// WriteTouches stores touchpoints.
func (s *Store) WriteTouches(ctx context.Context, touches ...event.Touchpoint) error {
	rows := make([]touchRow, len(touches))
	seq := s.number(len(rows))
	for i := range touches {
		keep, _ := s.keep(touches[i].PixelID)
		rows[i] = touchRow{touches[i], keep, seq + uint64(i)}
	}
	return told(ctx, "write touchpoints", s.touches.write(ctx, rows))
}

// WriteCredits stores sets of credits.
func (s *Store) WriteCredits(ctx context.Context, sets ...event.Credits) error {
	rows := make([]creditRow, len(sets))
	seq := s.number(len(rows))
	for i := range sets {
		body, err := json.Marshal(&sets[i], lenient)
		if err != nil {
			return fmt.Errorf("encode the credits of event %q: %w", sets[i].EventID, err)
		}
		keep, _ := s.keep(sets[i].PixelID)
		rows[i] = creditRow{&sets[i], string(body), keep, seq + uint64(i)}
	}
	return told(ctx, "write credits", s.credits.write(ctx, rows))
}

// The sources of series.
const (
	sourceEvents = "events"
	sourceSyncs  = "syncs"
)

// touchFor is how long a touch stands for what is written after it; see series.go.
const touchFor = time.Minute

type touchKey struct {
	source string
	hour   int64
}

// touchCache is what this process said lately.
type touchCache struct {
	mu sync.Mutex
	at map[touchKey]time.Time
}

func (c *touchCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.at)
}

// touch says, before rows are inserted, which hours they belong to.
func (s *Store) touch(ctx context.Context, source string, times []time.Time) error {
	now := time.Now()
	hours := map[int64]bool{}
	s.touched.mu.Lock()
	for _, t := range times {
		if h := within(t).Truncate(time.Hour).Unix(); now.Sub(s.touched.at[touchKey{source, h}]) >= s.fresh {
			hours[h] = true
		}
	}
	s.touched.mu.Unlock()
	if len(hours) == 0 {
		return nil
	}
	var b strings.Builder
	for h := range hours {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "('%s',%d)", source, min(max(h, 0), 1<<32-3600))
	}
	set := clickhouse.Settings{"async_insert": 0, "max_execution_time": int(max(s.config.WriteTimeout/time.Second, 1))}
	s.quorum(set)
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(set))
	if err := s.conn.Exec(ctx, `INSERT INTO series_touches (source, hour) VALUES `+b.String()); err != nil {
		return err
	}
	s.touched.mu.Lock()
	defer s.touched.mu.Unlock()
	if len(s.touched.at) > 10_000 {
		clear(s.touched.at)
	}
	for h := range hours {
		s.touched.at[touchKey{source, h}] = now
	}
	return nil
}
