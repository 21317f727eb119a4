package chanalytics

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
)

// position is how far a live view has come. Within one process that writes, what is
// stored later has a higher number; between processes nobody can tell, so it is a
// number for each that wrote lately, and one up to which all is seen.
type position struct {
	all uint64
	by  map[uint32]uint64
}

// recent is how far back a process may be that still writes: longer than any insert
// takes, and than clocks differ.
const recent = 10 * time.Minute

// String is the position as a cursor: "all.writer-number.…", in base 36.
func (p position) String() string {
	parts := []string{strconv.FormatUint(p.all, 36)}
	for w, n := range p.by {
		parts = append(parts, strconv.FormatUint(uint64(w), 36)+"-"+strconv.FormatUint(n, 36))
	}
	slices.Sort(parts[1:])
	return strings.Join(parts, ".")
}

func parsePosition(s string) (p position, err error) {
	p.by = map[uint32]uint64{}
	parts := strings.Split(s, ".")
	if p.all, err = strconv.ParseUint(parts[0], 36, 64); err != nil || len(parts) > 1000 {
		return p, badCursor("after")
	}
	for _, part := range parts[1:] {
		writer, number, _ := strings.Cut(part, "-")
		w, err := strconv.ParseUint(writer, 36, 32)
		if err != nil {
			return p, badCursor("after")
		}
		if p.by[uint32(w)], err = strconv.ParseUint(number, 36, 64); err != nil {
			return p, badCursor("after")
		}
	}
	return p, nil
}

// limits are the numbers as two lists, for transform.
func (p position) limits() (writers, numbers string) {
	var w, n []string
	for writer, number := range p.by {
		w = append(w, strconv.FormatUint(uint64(writer), 10))
		n = append(n, strconv.FormatUint(number, 10))
	}
	if len(w) == 0 {
		return "[toUInt32(0)]", "[toUInt64(" + strconv.FormatUint(p.all, 10) + ")]"
	}
	return "CAST([" + strings.Join(w, ",") + "], 'Array(UInt32)')", "CAST([" + strings.Join(n, ",") + "], 'Array(UInt64)')"
}

func (p position) limit() string {
	w, n := p.limits()
	return "transform(writer, " + w + ", " + n + ", toUInt64(" + strconv.FormatUint(p.all, 10) + "))"
}

// bound selects what is stored up to here.
func (p position) bound(w *where) {
	w.add("seq <= " + p.limit())
}

// beyond selects what is stored after.
func (p position) beyond(w *where) {
	w.add("seq > " + strconv.FormatUint(p.all, 10) + " AND seq > " + p.limit())
}

// newest is the position of what is stored now, and the time that all of it lies in.
func (s *Store) newest(ctx context.Context) (p position, all span, err error) {
	p = position{all: uint64(time.Now().Add(-recent).UnixMicro()), by: map[uint32]uint64{}}
	err = s.ask(ctx, "find the newest event", `SELECT writer, max(seq), toDateTime(0, 'UTC'), toDateTime(0, 'UTC') FROM events WHERE seq > ? GROUP BY writer
		UNION ALL SELECT 0, 0, min(hour), max(hour) FROM series_touches WHERE source = 'events'`, []any{p.all}, func(r driver.Rows) error {
		var w uint32
		var n uint64
		var first, last time.Time
		err := r.Scan(&w, &n, &first, &last)
		if n > 0 {
			p.by[w] = n
		} else if last.Unix() > 0 {
			all = span{first.UTC(), last.UTC().Add(time.Hour)}
		}
		return err
	})
	return p, all, err
}

// live lists what was stored after a position, oldest first.
func (s *Store) live(ctx context.Context, f analytics.EventFilter) (page analytics.EventPage, err error) {
	after, err := parsePosition(f.After)
	if err != nil {
		return page, err
	}
	newest, _, err := s.newest(ctx)
	if err != nil {
		return page, err
	}
	// Never back: a view that is ahead stays there.
	newest.all = max(newest.all, after.all)
	for w, n := range after.by {
		if n > newest.all || newest.by[w] != 0 {
			newest.by[w] = max(newest.by[w], n)
		}
	}
	page.Newest = newest.String()
	w := where{}
	after.beyond(&w)
	newest.bound(&w)
	if none, err := s.selects(ctx, &w, f); err != nil || none {
		return page, err
	}
	read := 0
	_, events, err := s.read(ctx, "list new events", w, "seq, writer", f.Limit+1, func(writer uint32, seq uint64) {
		if read++; read <= f.Limit {
			after.by[writer] = max(after.by[writer], seq)
		}
	})
	if err != nil {
		return page, err
	}
	if len(events) > f.Limit {
		events, page.Newest = events[:f.Limit], after.String()
	}
	page.Events = events
	return page, nil
}
