package sqliteanalytics

import (
	"context"
	"slices"
	"unique"

	"github.com/miq/pixel/modules/analytics"
)

// Attribution adds credits up.
func (s *Store) Attribution(ctx context.Context, q analytics.AttributionQuery) ([]analytics.AttributionRow, error) {
	q, err := q.Check()
	if err != nil {
		return nil, err
	}
	models := make([]unique.Handle[string], len(q.Models))
	for i, m := range q.Models {
		models[i] = unique.Make(m)
	}
	type place struct{ group, currency string }
	places := map[place]int{}
	var all []place
	var sums [][]owedSum // of each place, by model
	placeOf := func(to owedTo) int {
		of := to.of.Value()
		if q.Name != "" && of.name != q.Name || !selected(q.PixelID, q.Pixels, of.pixel) {
			return -1
		}
		p := place{groupOf(q.Dimension, of, to.touch), of.currency}
		at, known := places[p]
		if !known {
			at = len(all)
			places[p], all, sums = at, append(all, p), append(sums, make([]owedSum, len(models)))
		}
		return at
	}
	// Each hour owes to much the same, so that its place is looked for once.
	met := map[owedTo]int{}
	from, to := within(q.Since, q.Until)
	err = s.owed.with(ctx, s, from, to, func(_ int64, o *owed) {
		for i := range o.shares {
			v := &o.shares[i]
			at, known := met[v.to]
			if !known {
				at = placeOf(v.to)
				met[v.to] = at
			}
			if at < 0 {
				continue
			}
			for j := range v.sums {
				if m := slices.Index(models, v.sums[j].model); m >= 0 {
					sums[at][m].add(&v.sums[j])
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	out := analytics.CreditSums{Models: q.Models}
	for at, p := range all {
		for m, v := range sums[at] {
			if v.met {
				out.Add(p.group, q.Models[m], p.currency, v.weight, v.value, v.refunded)
			}
		}
	}
	return out.Rows(q.Limit), nil
}

// groupOf is what a share has in one of the CreditDimensions.
func groupOf(dimension string, of owedOf, touch unique.Handle[owedTouch]) string {
	switch dimension {
	case "name":
		return of.name
	case "pixel_id":
		return of.pixel
	}
	t := touch.Value()
	switch dimension {
	case "channel":
		return t.channel
	case "kind":
		return t.kind
	case "source":
		return t.source
	case "campaign":
		return t.campaign
	}
	return t.partner
}

// selected reports whether a pixel is the one, or one of some, if either is asked for.
func selected(one string, some []string, pixel string) bool {
	return (one == "" || one == pixel) && (some == nil || slices.Contains(some, pixel))
}
