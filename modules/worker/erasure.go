package worker

import (
	"context"
	"fmt"

	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/session"
	"github.com/miq/pixel/modules/state"
)

// erased reports for each item whether somebody whom it names was erased after it came
// in; the rest of what keeps late events out is the visitors' consent.
func (w *Worker) erased(ctx context.Context, b *batch) ([]bool, error) {
	return erasure.Drops(ctx, w.keys, b.events()...)
}

// memories are what the steps remember of visitors, by what it is, for whoever has to
// forget one.
func memories(people people, keys state.Keys) map[string]erasure.Forgetter {
	return map[string]erasure.Forgetter{
		"identities": forgetter(people.Forget),
		"paths": forgetter(func(ctx context.Context, pixel, visitor string) (int, error) {
			n, err := there(ctx, keys, attribution.HistoryKey(pixel, visitor))
			if err != nil || n == 0 {
				return 0, err
			}
			return n, forgetPath(ctx, keys, consent.Visitor{PixelID: pixel, ID: visitor})
		}),
		"sessions": forgetter(func(ctx context.Context, pixel, visitor string) (int, error) {
			key := session.Key(pixel, visitor)
			n, err := there(ctx, keys, key)
			if err != nil || n == 0 {
				return 0, err
			}
			return n, keys.Delete(ctx, key)
		}),
	}
}

// forgetter is a function that forgets.
type forgetter func(ctx context.Context, pixel, visitor string) (int, error)

func (f forgetter) Forget(ctx context.Context, pixel, visitor string) (int, error) {
	n, err := f(ctx, pixel, visitor)
	if err != nil {
		return n, fmt.Errorf("forget a visitor: %w", err)
	}
	return n, nil
}

func there(ctx context.Context, keys state.Keys, key string) (int, error) {
	v, err := keys.Get(ctx, key)
	if err != nil || v[0] == nil {
		return 0, err
	}
	return 1, nil
}
