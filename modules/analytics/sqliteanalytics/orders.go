package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// repeated is an order by its digest; seq is one of its purchases.
type repeated struct {
	pixel          string
	n, first, last int64
	seq            int64
}

// Repeated finds orders that came as several purchases, by the digests of their ids; the
// ids of those that are told are read from the events.
func (s *Store) Repeated(ctx context.Context, q analytics.RepeatedQuery) (out []analytics.RepeatedOrder, err error) {
	if q, err = q.Check(); err != nil {
		return nil, err
	}
	ask := question{pixel: q.PixelID, name: "purchase", since: q.Since, until: q.Until}
	if q.Pixels != nil {
		if len(q.Pixels) == 0 {
			return nil, nil
		}
		ask.where = []analytics.Condition{analytics.Is("pixel_id", q.Pixels...)}
	}
	err = s.snapshot(ctx, "find repeated orders", func(tx *sql.Tx) error {
		list, err := s.repeatedOrders(ctx, tx, ask.whole())
		if err != nil {
			return err
		}
		slices.SortFunc(list, func(x, y *repeated) int { return cmp.Compare(y.n, x.n) })
		if len(list) > q.Limit {
			// As many as could be among the first, by their names.
			least := list[q.Limit-1].n
			list = list[:q.Limit+sortedBelow(list[q.Limit:], least)]
		}
		for _, o := range list {
			found := analytics.RepeatedOrder{PixelID: o.pixel, Purchases: o.n, First: time.UnixMicro(o.first).UTC(), Last: time.UnixMicro(o.last).UTC()}
			if err := tx.QueryRowContext(ctx, `SELECT order_id FROM events WHERE seq = ?`, o.seq).Scan(&found.OrderID); err != nil {
				return err
			}
			out = append(out, found)
		}
		return nil
	})
	slices.SortFunc(out, func(x, y analytics.RepeatedOrder) int {
		return cmp.Or(cmp.Compare(y.Purchases, x.Purchases), strings.Compare(x.PixelID, y.PixelID), strings.Compare(x.OrderID, y.OrderID))
	})
	return out[:min(q.Limit, len(out))], err
}

// sortedBelow is how many of a list have at least so many purchases.
func sortedBelow(list []*repeated, least int64) int {
	i := slices.IndexFunc(list, func(r *repeated) bool { return r.n < least })
	if i < 0 {
		return len(list)
	}
	return i
}

func (s *Store) repeatedOrders(ctx context.Context, tx *sql.Tx, w walk) (out []*repeated, err error) {
	var known census // of digests of a pixel and an order
	var orders []repeated
	err = s.walk(ctx, tx, w, func(t *taken) error {
		ids, err := t.column(colOrder)
		if err != nil {
			return err
		}
		pixels, err := t.column("pixel_id")
		if err != nil {
			return err
		}
		at, err := t.column(colAt)
		if err != nil {
			return err
		}
		seq, err := t.column(colSeq)
		if err != nil {
			return err
		}
		of := make([]uint64, len(pixels.texts))
		for i, pixel := range pixels.texts {
			of[i] = digest(pixel)
		}
		for _, row := range t.rows {
			order := ids.digests[ids.codes[row]]
			if order == 0 {
				continue
			}
			pixel := pixels.codes[row]
			n := int(known.add(order ^ of[pixel]))
			if n > len(orders) {
				orders = append(orders, repeated{pixel: pixels.texts[pixel], first: at.ints[row], last: at.ints[row], seq: seq.ints[row]})
			}
			o := &orders[n-1]
			o.n++
			o.first, o.last = min(o.first, at.ints[row]), max(o.last, at.ints[row])
		}
		return nil
	})
	for i := range orders {
		if orders[i].n > 1 {
			out = append(out, &orders[i])
		}
	}
	return out, err
}
