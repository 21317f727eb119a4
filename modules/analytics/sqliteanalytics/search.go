package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

const (
	// mostLooked is how many events a page of a search looks at: as many as take some
	// hundredths of a second.
	mostLooked = 4000
	// mostRanges is how many ranges of seq a statement names.
	mostRanges = 40
)

// search answers a list with a text to be found, of which w are the other conditions. It
// looks, newest first, only at events of parts whose words may hold the text, and at so
// many at a time; where it stopped, the cursor goes on.
func (s *Store) search(ctx context.Context, f analytics.EventFilter, w where) (page analytics.EventPage, err error) {
	text := []byte(fold(f.Query))
	from, to := within(f.Since, f.Until)
	err = s.snapshot(ctx, "search events", func(tx *sql.Tx) error {
		p, err := place(ctx, tx)
		if err != nil {
			return err
		}
		page.Newest = strconv.FormatInt(p.newest, 36)
		ranges, err := s.mayHold(ctx, tx, text, from, to)
		if err != nil || len(ranges) == 0 {
			return err
		}
		if len(ranges) > mostRanges {
			ranges = []seqs{{ranges[0].first, ranges[len(ranges)-1].last}}
		}
		// Apart from what an index answers, conditions are of the row and not of the list:
		// a row that does not fulfil them was looked at all the same.
		var or []string
		for _, r := range ranges {
			or = append(or, fmt.Sprintf("+e.seq BETWEEN %d AND %d", r.first, r.last))
		}
		listed, rest := w.split()
		listed.add("(" + strings.Join(or, " OR ") + ")")
		rest.add(matching, text, append([]byte{0xFE}, text...))
		found, err := s.look(ctx, tx, listed, rest, f.Limit, &page)
		if err != nil {
			return err
		}
		for _, seq := range found {
			var at int64
			e, err := s.scan(tx.QueryRowContext(ctx, `SELECT e.received_at, e.seq, b.codec, b.body FROM events e CROSS JOIN event_bodies b USING (seq) WHERE e.seq = ?`, seq), &at, &seq)
			if err != nil {
				return err
			}
			page.Events = append(page.Events, e)
		}
		return nil
	})
	if err != nil {
		return analytics.EventPage{}, err
	}
	return page, nil
}

// look goes through the list until the page is full, or it looked at many, and sets where
// it goes on.
func (s *Store) look(ctx context.Context, tx *sql.Tx, listed, rest where, limit int, page *analytics.EventPage) (found []int64, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT e.received_at, e.seq, `+rest.clause()+` FROM events e`+listed.String()+` ORDER BY e.received_at DESC, e.seq DESC LIMIT ?`,
		append(append(slices.Clone(rest.args), listed.args...), s.mostLooked+1)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var at, seq, lastAt, last int64
	var fits bool
	for looked := 0; rows.Next(); looked++ {
		if err := rows.Scan(&at, &seq, &fits); err != nil {
			return nil, err
		}
		switch {
		case looked == s.mostLooked:
			page.Next, page.Searched = cursor(lastAt, last), time.UnixMicro(lastAt).UTC()
			return found, nil
		case fits && len(found) == limit:
			page.Next = cursor(lastAt, last)
			return found, nil
		case fits:
			found = append(found, seq)
		}
		lastAt, last = at, seq
	}
	return found, rows.Err()
}

// mayHold are the parts that may hold a text; those that follow one another are one.
func (s *Store) mayHold(ctx context.Context, tx *sql.Tx, text []byte, from, to int64) (out []seqs, err error) {
	err = s.parts(ctx, tx, from, to, func(p *part) error {
		c, err := p.column(colWords)
		if err != nil || !c.words.may(text) {
			return err
		}
		if n := len(out); n > 0 && out[n-1].last+1 == p.first {
			out[n-1].last = p.last
		} else {
			out = append(out, seqs{p.first, p.last})
		}
		return nil
	})
	slices.SortFunc(out, func(x, y seqs) int { return int(x.first - y.first) })
	return out, err
}

// split parts what an index answers from what is asked of a row.
func (w where) split() (listed, rest where) {
	args := w.args
	answers := []string{"e.pixel_id ", "e.id ", "e.visitor_id ", "e.order_id ", "e.received_at "}
	if slices.ContainsFunc(w.conds, func(c string) bool { return strings.HasPrefix(c, "e.pixel_id ") }) {
		answers = append(answers, "e.name ") // the index of names is by pixel
	}
	for _, c := range w.conds {
		n := strings.Count(c, "?")
		into := &rest
		for _, column := range answers {
			if strings.HasPrefix(c, column) {
				into = &listed
			}
		}
		into.add(c, args[:n]...)
		args = args[n:]
	}
	return listed, rest
}
