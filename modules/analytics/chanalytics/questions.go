package chanalytics

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
)

// byPerson joins events with whose their visitors are. person is whom one is counted
// as; the profile's digest, or the visitor's.
const byPerson = ` e LEFT ANY JOIN (
	SELECT pixel_id AS p, visitor_id AS v, xxh3(profile_id) AS profile FROM identities FINAL WHERE profile_id <> '') i ON i.p = e.pixel_id AND i.v = e.visitor_id`

const person = "if(profile != 0, profile, visitor)"

// Funnel reads the events that any step needs in the order of people and time, so
// that only one person is in memory here.
func (s *Store) Funnel(ctx context.Context, q analytics.FunnelQuery) ([]analytics.FunnelCount, error) {
	q, err := q.Check()
	if err != nil {
		return nil, err
	}
	w := where{}
	w.add("visitor_id <> ''")
	w.equal("pixel_id", q.PixelID)
	w.between("received_at", q.Since, q.Until)
	w.conditions(q.Where, same)
	w.add("name IN (" + list(q.Names()) + ")")
	var masks []string
	var args []any
	for i, step := range q.Steps {
		one := where{}
		one.equal("name", step.Name)
		one.conditions(step.Where, same)
		masks = append(masks, fmt.Sprintf("if(%s, %d, 0)", strings.Join(one.conds, " AND "), 1<<i))
		args = append(args, one.args...)
	}
	tally := q.Tally()
	err = s.ask(ctx, "count a funnel", `SELECT `+person+` AS who, toUnixTimestamp64Micro(time) AS moment, toUInt16(`+strings.Join(masks, " + ")+`) AS mask
		FROM (SELECT *, visitor FROM events FINAL`+w.String()+`)`+byPerson+` WHERE mask > 0 ORDER BY who, moment`, append(args, w.args...), func(r driver.Rows) error {
		var who uint64
		var at int64
		var mask uint16
		if err := r.Scan(&who, &at, &mask); err != nil {
			return err
		}
		tally.Add(who, at, mask)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tally.Counts(q), nil
}

// Latency takes quantiles of all latencies of a partner and a step, exactly.
func (s *Store) Latency(ctx context.Context, q analytics.LatencyQuery) (out []analytics.Latency, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	starts, err := q.Starts()
	if err != nil {
		return nil, err
	}
	cut := question{}
	if q.Step != "" {
		cut.starts = starts
	}
	w := where{}
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.equal("partner", q.Partner)
	w.between("at", q.Since, q.Until)
	w.add("latency > 0")
	err = s.ask(ctx, "read latencies", `SELECT partner, step, length(l), l[least(1 + toUInt64(floor(0.5 * length(l))), length(l))], l[least(1 + toUInt64(floor(0.9 * length(l))), length(l))],
			l[least(1 + toUInt64(floor(0.99 * length(l))), length(l))], l[-1] FROM (
		SELECT toString(partner) AS partner, `+cut.of("toUnixTimestamp64Micro(at)")+` AS step, arraySort(groupArray(latency)) AS l FROM syncs FINAL`+w.String()+` GROUP BY partner, step)
		ORDER BY partner, step`, w.args, func(r driver.Rows) error {
		var l analytics.Latency
		var at, p50, p90, p99, most int64
		var n uint64
		if err := r.Scan(&l.Partner, &at, &n, &p50, &p90, &p99, &most); err != nil {
			return err
		}
		if q.Step != "" {
			l.Time = time.UnixMicro(at).UTC()
		}
		l.Attempts, l.P50, l.P90, l.P99, l.Max = int64(n), time.Duration(p50), time.Duration(p90), time.Duration(p99), time.Duration(most)
		out = append(out, l)
		return nil
	})
	return out, err
}

// Repeated finds orders that came as several purchases.
func (s *Store) Repeated(ctx context.Context, q analytics.RepeatedQuery) (out []analytics.RepeatedOrder, err error) {
	if q, err = q.Check(); err != nil {
		return nil, err
	}
	w := where{}
	w.add("order_id <> '' AND name = 'purchase'")
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.between("received_at", q.Since, q.Until)
	err = s.ask(ctx, "find repeated orders", `SELECT pixel_id, order_id, count() AS n, toUnixTimestamp64Micro(min(received_at)), toUnixTimestamp64Micro(max(received_at)) FROM events FINAL`+w.String()+
		` GROUP BY pixel_id, order_id HAVING n > 1 ORDER BY n DESC, pixel_id, order_id LIMIT ?`, append(w.args, q.Limit), func(r driver.Rows) error {
		var o analytics.RepeatedOrder
		var n uint64
		var first, last int64
		err := r.Scan(&o.PixelID, &o.OrderID, &n, &first, &last)
		o.Purchases, o.First, o.Last = int64(n), time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
		out = append(out, o)
		return err
	})
	return out, err
}

// Story reads an event and all that came of it.
func (s *Store) Story(ctx context.Context, q analytics.StoryQuery) (story analytics.Story, err error) {
	if err := q.Check(); err != nil {
		return story, err
	}
	w := where{}
	order := ""
	if q.OrderID != "" {
		w.add("order_id = ?", q.OrderID)
		order = "name = 'purchase' DESC, "
	} else {
		w.add("id = ?", q.ID)
	}
	w.equal("pixel_id", q.PixelID)
	if story.Event, err = s.one(ctx, w, order); err != nil {
		return story, err
	}
	e := &story.Event
	page, err := s.Syncs(ctx, analytics.SyncFilter{PixelID: e.PixelID, EventID: e.ID, Limit: analytics.MaxLimit})
	if err != nil {
		return story, err
	}
	story.Syncs = page.Syncs
	slices.Reverse(story.Syncs)
	story.Matches, err = s.Matches(ctx, e.PixelID, e.ID)
	return story, err
}
