package fields

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/queue"
)

// MaxScan bounds how many deliveries of a partner are looked at.
const MaxScan = 5000

// Waiting is a field that deliveries of a pixel to a partner wait for.
type Waiting struct {
	PixelID, Partner, Path string
	Deliveries             int
	Since                  time.Time // when the oldest of them was queued
}

// Held is a delivery that waits for its fields.
type Held struct{ PixelID, Partner, EventID string }

// Await says which fields the deliveries on hold wait for, and which those are. Where
// a partner has more than MaxScan of them, it is named in partial.
func Await(ctx context.Context, q queue.Inspector, partners []string) (list []Waiting, held map[Held][]string, partial []string, err error) {
	stats, err := q.Stats(ctx)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("look at what is on hold: %w", err)
	}
	held = map[Held][]string{}
	sums := map[Waiting]*Waiting{}
	for _, p := range partners {
		name := queue.Held(p)
		if !slices.ContainsFunc(stats, func(s queue.Stats) bool { return s.Queue == name && s.Ready+s.Delayed+s.InFlight > 0 }) {
			continue
		}
		for cursor, seen := "", 0; ; {
			page, next, err := q.Peek(ctx, name, cursor, 500)
			if err != nil {
				return nil, nil, nil, fmt.Errorf("look at %s: %w", name, err)
			}
			for _, m := range page {
				d := glance(m.Body)
				if len(d.Waits) == 0 {
					continue
				}
				held[Held{d.Event.PixelID, p, d.Event.ID}] = d.Waits
				for _, path := range d.Waits {
					k := Waiting{PixelID: d.Event.PixelID, Partner: p, Path: path}
					s := sums[k]
					if s == nil {
						s = &Waiting{k.PixelID, p, path, 0, d.QueuedAt}
						sums[k] = s
					}
					if s.Deliveries++; d.QueuedAt.Before(s.Since) {
						s.Since = d.QueuedAt
					}
				}
			}
			if cursor = next; cursor == "" {
				break
			}
			if seen += len(page); seen >= MaxScan {
				partial = append(partial, p)
				break
			}
		}
	}
	for _, s := range sums {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(x, y Waiting) int {
		return cmp.Or(cmp.Compare(x.PixelID, y.PixelID), cmp.Compare(x.Partner, y.Partner), cmp.Compare(x.Path, y.Path))
	})
	return list, held, partial, nil
}

// glimpse is of a delivery what matters here.
type glimpse struct {
	Event struct {
		ID      string `json:"id"`
		PixelID string `json:"pixel_id"`
	} `json:"event"`
	QueuedAt time.Time `json:"queued_at"`
	Waits    []string  `json:"waits"`
}

// glance reads it; what cannot be read waits for nothing.
func glance(body []byte) (d glimpse) {
	if json.Unmarshal(body, &d, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return glimpse{}
	}
	return d
}
