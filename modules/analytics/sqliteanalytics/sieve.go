package sqliteanalytics

import (
	"database/sql"
	"errors"

	"github.com/miq/pixel/modules/event"
)

// sieve lets those of a part's events pass that could be in a list.
type sieve struct {
	conds   []pick
	valued  []bool
	at, seq []int64 // none: no event can be
}

func (l *listing) sieve(p *part) (*sieve, error) {
	if len(l.text) > 0 {
		c, err := p.column(colWords)
		if err != nil {
			return nil, err
		}
		if !c.words.may(l.text) {
			return &sieve{}, nil
		}
	}
	conds, some, err := picks(p, l.conds)
	if err != nil {
		return nil, err
	}
	if some && l.visitors != nil {
		var ok pick
		if ok, some, err = visitorsIn(p, l.visitors); err != nil {
			return nil, err
		}
		conds = append(conds, ok)
	}
	if !some {
		return &sieve{}, nil
	}
	valued, err := l.valued(p)
	if err != nil {
		return nil, err
	}
	at, err := p.column(colAt)
	if err != nil {
		return nil, err
	}
	seq, err := p.column(colSeq)
	if err != nil {
		return nil, err
	}
	return &sieve{conds, valued, at.ints, seq.ints}, nil
}

// visitorsIn are the rows of some visitors.
func visitorsIn(p *part, digests map[uint64]bool) (of pick, some bool, err error) {
	c, err := p.column(colVisitor)
	if err != nil {
		return of, false, err
	}
	of = pick{c.codes, make([]bool, len(c.digests))}
	for i, d := range c.digests {
		of.ok[i] = d != 0 && digests[d]
		some = some || of.ok[i]
	}
	return of, some, nil
}

// pass adds those that were received at a time.
func (v *sieve) pass(l *listing, since, until int64, list []entry) []entry {
	for row, at := range v.at {
		if at < since || at >= until {
			continue
		}
		if one := (entry{at, v.seq[row]}); l.in(one) && holds(v.conds, row) && (v.valued == nil || v.valued[row]) {
			list = append(list, one)
		}
	}
	return list
}

// valued are the rows with a value that is asked for; nil: all may be.
func (l *listing) valued(p *part) ([]bool, error) {
	if l.MinValue == nil && l.MaxValue == nil {
		return nil, nil
	}
	c, err := p.column(colValue)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // a chunk of before there was this column
	}
	if err != nil {
		return nil, err
	}
	out := make([]bool, p.n)
	for i, row := range c.rows {
		out[row] = l.worth(c.amounts[i])
	}
	return out, nil
}

func (l *listing) worth(v float64) bool {
	return (l.MinValue == nil || v >= *l.MinValue) && (l.MaxValue == nil || v <= *l.MaxValue)
}

// fits reports whether an event is what the list asks for, apart from its place and the
// sync log.
func (l *listing) fits(e *event.Event) bool {
	equal := func(want, got string) bool { return want == "" || want == got }
	if !equal(l.ID, e.ID) || !equal(l.VisitorID, e.Subject.VisitorID) || !equal(l.OrderID, e.Order.ID) {
		return false
	}
	if l.profile != nil && !l.profile[[2]string{e.PixelID, e.Subject.VisitorID}] {
		return false
	}
	if l.MinValue != nil || l.MaxValue != nil {
		if v := number(e.Order.Value); !v.Valid || !l.worth(v.Float64) {
			return false
		}
	}
	for _, c := range l.conds {
		if !c.Holds(e) {
			return false
		}
	}
	return len(l.text) == 0 || mentions(searchable(nil, e), l.text)
}
