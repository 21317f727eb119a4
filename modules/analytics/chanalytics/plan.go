package chanalytics

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
)

// plan says where an answer comes from: which passes of which unit, and which
// stretches of time are counted from the rows themselves.
type plan struct {
	passes      map[string][]uint64
	first, last time.Time // of all buckets
	rows        []stretch
	dimension   string // of series
	profiles    bool   // rows have to be joined with whose visitors are
}

// stretch is from since to before until; zero times do not bound.
type stretch struct{ since, until time.Time }

// hour is what is known of one that was ever written to.
type hour struct {
	at      time.Time
	touched time.Time // when it was last said that it is written to
	pass    uint64
	begun   time.Time // of the pass; zero: there is none
}

// believed reports whether a pass saw all that lies in a bucket.
func (s *Store) believed(begun, touched time.Time) bool {
	return !begun.IsZero() && begun.After(touched.Add(s.settle))
}

type bucket struct {
	pass  uint64
	begun time.Time
}

// known is what was ever written to, and what was counted of it.
type known struct {
	hours    []hour
	days     map[int64]bucket // by when they begin
	profiles bool             // some visitor belongs to a profile
}

// known asks for the hours between two times, in their order. Whether anybody has a
// profile is asked with it, of one pixel or all.
func (s *Store) known(ctx context.Context, source string, since, until time.Time, pixelID string) (k known, err error) {
	w := where{}
	w.add("source = ?", source)
	if !since.IsZero() {
		w.add("hour >= toStartOfDay("+micro+", 'UTC')", within(since).UnixMicro())
	}
	if !until.IsZero() {
		w.add("hour < "+micro, within(until).UnixMicro())
	}
	passes := where{slices.Clone(w.conds), w.args}
	for i := range passes.conds {
		passes.conds[i] = strings.Replace(passes.conds[i], "hour ", "bucket ", 1)
	}
	people := where{}
	people.equal("pixel_id", pixelID)
	people.add("profile_id <> ''")
	place := map[int64]int{}
	k.days = map[int64]bucket{}
	args := append(append(slices.Clone(w.args), passes.args...), people.args...)
	err = s.ask(ctx, "find what was counted", `SELECT * FROM (SELECT 1 AS kind, hour AS bucket, toUInt64(0) AS pass, max(at) AS moment FROM series_touches`+w.String()+` GROUP BY hour
		UNION ALL SELECT if(unit = 'day', 3, 2), bucket, argMax(pass, begun), max(begun) FROM series_passes`+passes.String()+` GROUP BY unit, bucket
		UNION ALL SELECT * FROM (SELECT 4, toDateTime(0, 'UTC'), 0, toDateTime64(0, 6, 'UTC') FROM identities`+people.String()+` LIMIT 1)
		) ORDER BY kind, bucket`, args, func(r driver.Rows) error {
		var kind uint8
		var at, moment time.Time
		var pass uint64
		if err := r.Scan(&kind, &at, &pass, &moment); err != nil {
			return err
		}
		switch kind {
		case 1:
			place[at.Unix()] = len(k.hours)
			k.hours = append(k.hours, hour{at: at.UTC(), touched: moment})
		case 2:
			if i, ok := place[at.Unix()]; ok {
				k.hours[i].pass, k.hours[i].begun = pass, moment
			}
		case 3:
			k.days[at.Unix()] = bucket{pass, moment}
		case 4:
			k.profiles = true
		}
		return nil
	})
	return k, err
}

const day = 24 * time.Hour

// unitOf is the largest bucket that no step cuts through.
func unitOf(starts []time.Time) string {
	unit := "day"
	for _, t := range starts {
		switch u := t.Unix(); {
		case u%86400 == 0:
		case u%3600 == 0 && unit != "minute":
			unit = "hour"
		case u%3600 == 0:
		case u%60 == 0:
			unit = "minute"
		default:
			return ""
		}
	}
	return unit
}

// plan finds the largest buckets that steps are made of and passes counted.
func (s *Store) plan(ctx context.Context, q question) (p plan, err error) {
	people := q.metric == analytics.MetricVisitors
	all := plan{rows: []stretch{{q.since, q.until}}}
	unit := ""
	if dimension, ok := q.rolled(); ok {
		unit = unitOf(q.starts)
		all.dimension = dimension
		if unit == "minute" && dimension != "" {
			unit = ""
		}
	}
	if unit == "" && !people {
		return all, nil
	}
	k, err := s.known(ctx, q.source(), q.since, q.until, q.pixel)
	if err != nil {
		return p, err
	}
	// Whose a visitor is changes after he was counted, so series of visitors serve
	// while nobody is known to be two.
	all.profiles = people && k.profiles
	if unit == "" || all.profiles {
		return all, nil
	}
	hours, days := k.hours, k.days
	inside := func(from time.Time, long time.Duration) bool {
		return (q.since.IsZero() || !from.Before(q.since)) && (q.until.IsZero() || !from.Add(long).After(q.until))
	}
	p.passes, p.dimension = map[string][]uint64{}, all.dimension
	use := func(unit string, pass uint64, at time.Time, long time.Duration) {
		p.passes[unit] = append(p.passes[unit], pass)
		if p.first.IsZero() {
			p.first = at
		}
		p.last = at.Add(long)
	}
	finer := "hour" // a pass over an hour counts its minutes too
	if unit == "minute" {
		finer = unit
	}
	open := false // the last stretch goes on: between two hours that nobody wrote to is nothing
	for i := 0; i < len(hours); {
		h := hours[i]
		today := h.at.Truncate(day)
		n := i
		touched := h.touched
		for ; n < len(hours) && hours[n].at.Before(today.Add(day)); n++ {
			if hours[n].touched.After(touched) {
				touched = hours[n].touched
			}
		}
		if d := days[today.Unix()]; unit == "day" && inside(today, day) && s.believed(d.begun, touched) {
			use("day", d.pass, today, day)
			i, open = n, false
			continue
		}
		for ; i < n; i++ {
			h := hours[i]
			if inside(h.at, time.Hour) && s.believed(h.begun, h.touched) {
				use(finer, h.pass, h.at, time.Hour)
				open = false
				continue
			}
			from, to := h.at, h.at.Add(time.Hour)
			if q.since.After(from) {
				from = q.since
			}
			if !q.until.IsZero() && q.until.Before(to) {
				to = q.until
			}
			if !from.Before(to) {
				continue
			}
			if open {
				p.rows[len(p.rows)-1].until = to
			} else {
				p.rows = append(p.rows, stretch{from, to})
				open = true
			}
		}
	}
	if len(p.rows) > 500 {
		// So torn a time is read more quickly as a whole.
		return all, nil
	}
	return p, nil
}
