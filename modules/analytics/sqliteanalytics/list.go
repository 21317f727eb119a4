package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// mostLooked is how many events a page of a search looks at: as many as take some
// hundredths of a second.
const mostLooked = 2500

// entry is an event's place in a list: newest first, and of those that were received at
// one instant the one stored last.
type entry struct{ at, seq int64 }

func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(o.at, e.at), cmp.Compare(o.seq, e.seq))
}

// listing is what a list asks for: of columns, which say what events it could show, and
// then of each of those.
type listing struct {
	analytics.EventFilter
	from, to int64
	after    int64 // a live view's seq
	before   entry // the cursor; zero: none
	conds    []analytics.Condition
	visitors map[uint64]bool    // digests; nil: anybody
	profile  map[[2]string]bool // pixel and visitor; nil: anybody's
	text     []byte             // folded
	sent     where              // a line in the sync log
}

// Events lists stored events: what columns say picks them, and of those that are shown,
// or nearly, the events themselves are read.
func (s *Store) Events(ctx context.Context, f analytics.EventFilter) (page analytics.EventPage, err error) {
	f, err = f.Check()
	if err != nil {
		return page, err
	}
	l := listing{EventFilter: f, conds: slices.Clone(f.Where), text: []byte(fold(f.Query))}
	l.from, l.to = within(f.Since, f.Until)
	switch {
	case f.After != "":
		if l.after, err = strconv.ParseInt(f.After, 36, 64); err != nil || l.after < 0 {
			return page, badCursor("after")
		}
	case f.Cursor != "":
		if l.before.at, l.before.seq, err = parseCursor(f.Cursor); err != nil {
			return page, err
		}
	}
	for d, v := range map[string]string{"pixel_id": f.PixelID, "name": f.Name} {
		if v != "" {
			l.conds = append(l.conds, analytics.Is(d, v))
		}
	}
	if f.Partner != "" || f.Outcome != "" {
		l.sent.add("s.event_id = e.id AND s.pixel_id = e.pixel_id")
		l.sent.equal("s.partner", f.Partner)
		l.sent.equal("s.outcome", string(f.Outcome))
	}
	err = s.snapshot(ctx, "list events", func(tx *sql.Tx) error {
		if err := l.people(ctx, tx); err != nil {
			return err
		}
		return s.list(ctx, tx, &l, &page)
	})
	if err != nil {
		return analytics.EventPage{}, err
	}
	return page, nil
}

// people are the visitors that are asked for.
func (l *listing) people(ctx context.Context, tx *sql.Tx) error {
	if l.VisitorID != "" {
		l.visitors = map[uint64]bool{digest(l.VisitorID): true}
	}
	if l.ProfileID == "" {
		return nil
	}
	l.profile = map[[2]string]bool{}
	digests := map[uint64]bool{}
	var pixel, visitor string
	err := each(ctx, tx, `SELECT pixel_id, visitor_id FROM identities WHERE profile_id = ? AND profile_id <> ''`, []any{l.ProfileID}, []any{&pixel, &visitor}, func() {
		l.profile[[2]string{pixel, visitor}] = true
		if d := digest(visitor); l.visitors == nil || l.visitors[d] {
			digests[d] = true
		}
	})
	l.visitors = digests
	return err
}

// list fills a page.
func (s *Store) list(ctx context.Context, tx *sql.Tx, l *listing, page *analytics.EventPage) error {
	p, err := place(ctx, tx)
	if err != nil {
		return err
	}
	var last entry
	looked := 0
	bounded := len(l.text) > 0 && l.After == ""
	show := func(some []entry) (more bool, err error) {
		return s.read(ctx, tx, some, l, func(at entry, e *event.Event) bool {
			if looked == s.mostLooked && bounded {
				page.Next, page.Searched = cursor(last.at, last.seq), time.UnixMicro(last.at).UTC()
				return false
			}
			looked++
			if e != nil {
				if len(page.Events) == l.Limit {
					page.Next = cursor(last.at, last.seq)
					return false
				}
				page.Events = append(page.Events, *e)
			}
			last = at
			return true
		})
	}
	if l.ID != "" || l.OrderID != "" {
		err = s.listIndexed(ctx, tx, l, show)
	} else {
		var c cover
		if c, err = s.cover(ctx, tx, l.after); err == nil && l.After != "" {
			err = s.listAfter(ctx, tx, l, c, show)
		} else if err == nil {
			err = s.listNewest(ctx, tx, l, c, show)
		}
	}
	if err != nil {
		return err
	}
	newest := p.newest
	if l.After != "" {
		if page.Next != "" {
			newest = last.seq
		}
		newest, page.Next = max(newest, l.after), ""
	}
	page.Newest = strconv.FormatInt(newest, 36)
	return nil
}

// show takes events in the order of the list, and says whether it wants more.
type show = func([]entry) (more bool, err error)

// listIndexed are those of an id or an order.
func (s *Store) listIndexed(ctx context.Context, tx *sql.Tx, l *listing, f show) error {
	w := where{}
	w.equal("id", l.ID)
	if l.OrderID != "" {
		w.add("order_id = ? AND order_id <> ''", l.OrderID)
	}
	list, err := l.rows(ctx, tx, w)
	if err != nil {
		return err
	}
	if l.After != "" {
		slices.SortFunc(list, func(x, y entry) int { return cmp.Compare(x.seq, y.seq) })
	}
	_, err = f(list)
	return err
}

// rows are those of events that fulfil a condition, and of the list what a row tells.
func (l *listing) rows(ctx context.Context, tx *sql.Tx, w where) (list []entry, err error) {
	w.equal("pixel_id", l.PixelID)
	var one entry
	err = each(ctx, tx, `SELECT received_at, seq FROM events`+w.String(), w.args, []any{&one.at, &one.seq}, func() {
		if l.in(one) {
			list = append(list, one)
		}
	})
	slices.SortFunc(list, entry.compare)
	return list, err
}

// in reports whether an event's place is in the list.
func (l *listing) in(e entry) bool {
	return e.at >= l.from && e.at < l.to && e.seq > l.after && (l.before == entry{} || l.before.compare(e) < 0)
}

// listNewest goes back in time: by a second at first, and by more and more where little is
// found.
func (s *Store) listNewest(ctx context.Context, tx *sql.Tx, l *listing, c cover, f show) error {
	var bare []entry
	for _, g := range slices.Concat(c.gaps, c.waits) {
		w := where{}
		w.add("seq >= ? AND seq <= ?", g.first, g.last)
		some, err := l.rows(ctx, tx, w)
		if err != nil {
			return err
		}
		bare = append(bare, some...)
	}
	slices.SortFunc(bare, entry.compare)
	parts := slices.Concat(c.chunks, c.tail)
	sieves := make([]*sieve, len(parts))
	until := l.to
	if l.before != (entry{}) {
		until = min(until, l.before.at+1)
	}
	for span := int64(time.Second / time.Microsecond); ; {
		last := -far
		for _, p := range parts {
			if p.since < until {
				last = max(last, min(p.until, until-1))
			}
		}
		if len(bare) > 0 {
			last = max(last, bare[0].at)
		}
		if last < l.from || last == -far {
			return nil
		}
		until = last + 1
		since := max(l.from, until-span)
		n, _ := slices.BinarySearchFunc(bare, since, func(e entry, since int64) int { return cmp.Compare(since, e.at+1) })
		list := slices.Clone(bare[:n])
		bare = bare[n:]
		for i, p := range parts {
			if p.until < since || p.since >= until {
				continue
			}
			if sieves[i] == nil {
				if err := ctx.Err(); err != nil {
					return err
				}
				var err error
				if sieves[i], err = l.sieve(p); err != nil {
					return err
				}
			}
			list = sieves[i].pass(l, since, until, list)
		}
		slices.SortFunc(list, entry.compare)
		if more, err := f(list); err != nil || !more {
			return err
		}
		until = since
		switch {
		case len(list) < atOnce:
			span = min(4*span, far)
		case len(list) < mostLooked:
			span = min(2*span, far)
		}
	}
}

// listAfter goes through what came behind a seq, in its order.
func (s *Store) listAfter(ctx context.Context, tx *sql.Tx, l *listing, c cover, f show) error {
	type stretch struct {
		seqs
		part *part
	}
	var all []stretch
	for _, p := range slices.Concat(c.chunks, c.tail) {
		all = append(all, stretch{seqs{p.first, p.last}, p})
	}
	for _, g := range slices.Concat(c.gaps, c.waits) {
		all = append(all, stretch{g, nil})
	}
	slices.SortFunc(all, func(x, y stretch) int { return cmp.Compare(x.first, y.first) })
	for _, one := range all {
		var list []entry
		var err error
		if one.part != nil {
			var v *sieve
			if v, err = l.sieve(one.part); err == nil {
				list = v.pass(l, -far, far, nil)
			}
		} else {
			w := where{}
			w.add("seq >= ? AND seq <= ?", max(one.first, l.after+1), one.last)
			list, err = l.rows(ctx, tx, w)
		}
		if err != nil {
			return err
		}
		slices.SortFunc(list, func(x, y entry) int { return cmp.Compare(x.seq, y.seq) })
		if more, err := f(list); err != nil || !more {
			return err
		}
	}
	return nil
}

// atOnce is how many events one statement reads.
const atOnce = 256

// read calls f with each event of a list, or none in place of one that the list does not
// ask for, until it has enough.
func (s *Store) read(ctx context.Context, tx *sql.Tx, list []entry, l *listing, f func(entry, *event.Event) bool) (more bool, err error) {
	of := ""
	if len(l.sent.conds) > 0 {
		of = " AND EXISTS (SELECT 1 FROM syncs s" + l.sent.String() + ")"
	}
	found := map[int64]*event.Event{}
	for size := 64; len(list) > 0; size = atOnce {
		some := list[:min(size, len(list))]
		list = list[len(some):]
		in := []byte("seq IN (")
		for i, e := range some {
			if i > 0 {
				in = append(in, ',')
			}
			in = strconv.AppendInt(in, e.seq, 10)
		}
		clear(found)
		err := s.events(ctx, tx, func(seq int64, e *event.Event) bool {
			if l.fits(e) {
				kept := *e
				found[seq] = &kept
			}
			return true
		}, string(in)+")"+of, l.sent.args...)
		if err != nil {
			return false, err
		}
		for _, at := range some {
			if !f(at, found[at.seq]) {
				return false, nil
			}
		}
	}
	return true, nil
}
