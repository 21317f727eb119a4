package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"unique"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// owed is what the conversions of an hour are owed to.
type owed struct {
	shares []owedShare
	sums   int // of all shares
	paths  []owedPath
	led    []uint64 // digests of the touchpoints that led to one, by PathModel
}

// owedShare is what each model gives to one thing.
type owedShare struct {
	to   owedTo
	sums []owedSum
}

// owedTo is what can be asked of a share.
type owedTo struct {
	of    unique.Handle[owedOf]
	touch unique.Handle[owedTouch]
}

type owedOf struct{ pixel, name, currency string }

type owedTouch struct{ kind, channel, source, campaign, partner string }

// owedSum is what shares come to, in millionths. Weights are whole numbers, and of money a
// year may be more than a whole number holds: it is added in the same order each time.
type owedSum struct {
	model           unique.Handle[string]
	met             bool // something was added
	weight          int64
	value, refunded float64
}

// owedPath is what one conversion came by.
type owedPath struct {
	of    unique.Handle[owedOf]
	steps unique.Handle[string] // channels, parted by pathBreak
	value int64
}

const pathBreak = "\x00"

// owedHours are the conversions by the hour in which they were received, which of one does
// not change.
type owedHours = hours[owed]

func (s *Store) keepOwed() {
	s.owed.most, s.owed.changed.most = mostKept, longestKept
	s.owed.span = `SELECT (SELECT min(received_at) FROM conversions), (SELECT max(received_at) FROM conversions)`
	s.owed.weigh = func(o *owed) int { return o.sums + len(o.shares) + len(o.paths) + len(o.led)/4 }
	s.owed.read = func(ctx context.Context, tx *sql.Tx, from, to int64, of func(int64) *owed) error {
		var at int64
		var body sql.RawBytes
		var broken error
		var last *owed
		places := map[owedTo]int{}
		err := each(ctx, tx, `SELECT received_at, body FROM conversions WHERE received_at >= ? AND received_at < ? ORDER BY received_at`, []any{from, to}, []any{&at, &body}, func() {
			sets, err := decodeOwed(body)
			if err != nil {
				broken = err
				return
			}
			o := of(floor(at, hour))
			if o != last {
				clear(places)
				last = o
			}
			o.add(sets, places)
		})
		if err == nil && broken != nil {
			err = fmt.Errorf("the conversions from %d to %d: %w", from, to, broken)
		}
		return err
	}
}

// add takes a conversion; places are those of the shares.
func (o *owed) add(sets []event.Credits, places map[owedTo]int) {
	var steps []string
	var ids []string // of the touchpoints, which the models have in common
	var touches []unique.Handle[owedTouch]
	for i := range sets {
		c := &sets[i]
		of, model := unique.Make(owedOf{c.PixelID, c.Name, c.Currency}), unique.Make(c.Model)
		steps = steps[:0]
		var value int64
		for j := range c.Shares {
			h := &c.Shares[j]
			n := slices.Index(ids, h.ID)
			if t := (owedTouch{string(h.Kind), h.Channel, h.Source, h.Campaign, h.Partner}); n < 0 || touches[n].Value() != t {
				n = len(ids)
				ids, touches = append(ids, h.ID), append(touches, unique.Make(t))
			}
			o.give(owedTo{of, touches[n]}, &owedSum{model: model, weight: h.Weight, value: float64(h.Value), refunded: float64(h.Refunded)}, places)
			if c.Model == analytics.PathModel {
				steps, value = append(steps, h.Channel), value+h.Value
				o.led = append(o.led, digestIn(h.PixelID, h.ID))
			}
		}
		if len(steps) > 0 {
			o.paths = append(o.paths, owedPath{of, unique.Make(strings.Join(steps, pathBreak)), value})
		}
	}
}

// give adds to what one model gives to one thing.
func (o *owed) give(to owedTo, v *owedSum, places map[owedTo]int) {
	at, known := places[to]
	if !known {
		at = len(o.shares)
		places[to], o.shares = at, append(o.shares, owedShare{to: to})
	}
	share := &o.shares[at]
	i := slices.IndexFunc(share.sums, func(s owedSum) bool { return s.model == v.model })
	if i < 0 {
		i = len(share.sums)
		share.sums = append(share.sums, owedSum{model: v.model})
		o.sums++
	}
	share.sums[i].add(v)
}

func (s *owedSum) add(o *owedSum) {
	s.met = true
	s.weight, s.value, s.refunded = s.weight+o.weight, s.value+o.value, s.refunded+o.refunded
}

// creditsWritten takes note of what was committed.
func (s *Store) creditsWritten(list []event.Credits) {
	for i := range list {
		s.owed.changed.note(floor(list[i].ReceivedAt.UnixMicro(), hour))
	}
}
