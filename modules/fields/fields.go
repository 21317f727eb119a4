// Package fields keeps the matrix of which field goes to which partner, built from
// the requests that left: for each pixel and partner the paths that their bodies had,
// when each was seen first and last, and in how many events.
//
// It promises that only paths are kept and never a value, but for the type by which a
// partner tells the items of a list apart ("matchKeys[EMAIL].values[]") and the name of a
// site's own attribute ("customData[plan]"); that a name in a path that
// does not look like one is a star, since it may be data; and that what is kept of a
// pixel and a partner is bounded. First and last are exact. Counts may be a little off
// after a crash: up to a minute's are lost with the process that had them, or counted
// twice where the store did not say that it took them.
package fields

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/state"
)

// Beyond is the path that stands for all that are too many.
const Beyond = "…"

const (
	maxPaths = 300 // of a pixel and a partner
	// keep is how long after the last request the fields of a pixel and a partner are
	// remembered.
	keep = 400 * 24 * time.Hour
	// atOnce is how many pairs are read or written in a round trip.
	atOnce = 100
)

// Field is a path in the requests to a partner, such as "events[].matchKeys[EMAIL].values[]".
type Field struct {
	Path   string    `json:"path"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Events int64     `json:"events"` // that had it
}

// Row is a field that went from a pixel to a partner.
type Row struct {
	PixelID string
	Partner string
	Field
}

func key(partner, pixel string) string { return "fields:" + partner + ":" + pixel }

// Read returns what is known of pixels and partners, in their order and by path.
func Read(ctx context.Context, keys state.Keys, pixels, partners []string) ([]Row, error) {
	type pair struct{ pixel, partner string }
	var pairs []pair
	for _, px := range pixels {
		for _, p := range partners {
			pairs = append(pairs, pair{px, p})
		}
	}
	var out []Row
	for list := range slices.Chunk(pairs, atOnce) {
		names := make([]string, len(list))
		for i, p := range list {
			names[i] = key(p.partner, p.pixel)
		}
		values, err := keys.Get(ctx, names...)
		if err != nil {
			return nil, fmt.Errorf("read which fields were sent: %w", err)
		}
		for i, v := range values {
			for _, f := range decode(v) {
				out = append(out, Row{list[i].pixel, list[i].partner, f})
			}
		}
	}
	return out, nil
}

// decode reads what is kept. What cannot be read is as good as none, and written anew.
func decode(v []byte) []Field {
	var out []Field
	if v == nil || json.Unmarshal(v, &out) != nil {
		return nil
	}
	return out
}

// merge puts two lists together, by path.
func merge(a, b []Field) []Field {
	by := make(map[string]int, len(a)+len(b))
	out := make([]Field, 0, len(a)+len(b))
	paths := 0
	for _, list := range [][]Field{a, b} {
		for _, f := range list {
			i, known := by[f.Path]
			if !known && f.Path != Beyond {
				if paths >= maxPaths {
					f.Path = Beyond
					i, known = by[Beyond]
				} else {
					paths++
				}
			}
			if !known {
				by[f.Path] = len(out)
				out = append(out, f)
				continue
			}
			o := &out[i]
			if f.First.Before(o.First) {
				o.First = f.First
			}
			if f.Last.After(o.Last) {
				o.Last = f.Last
			}
			o.Events += f.Events
		}
	}
	slices.SortFunc(out, func(x, y Field) int { return cmp.Compare(x.Path, y.Path) })
	return out
}
