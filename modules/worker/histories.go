package worker

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// remember is how long a visitor's history and an order are kept after they last
// changed: as long as a touchpoint may count, and a month for what comes late.
const remember = (settings.MaxLookback + 30) * 24 * time.Hour

// held is a value of the state with the bytes that stand for it there.
type held[T any] struct {
	raw     []byte
	value   *T
	pixelID string
	visitor string
	dirty   bool
}

func (a *attributor) history(pixelID, visitor string) *held[attribution.History] {
	key := attribution.HistoryKey(pixelID, visitor)
	h := a.histories[key]
	if h == nil {
		h = &held[attribution.History]{pixelID: pixelID, visitor: visitor}
		a.histories[key] = h
	}
	return h
}

func (a *attributor) sale(pixelID, order string) *held[attribution.Sale] {
	key := attribution.SaleKey(pixelID, order)
	s := a.sales[key]
	if s == nil {
		s = &held[attribution.Sale]{pixelID: pixelID}
		a.sales[key] = s
	}
	return s
}

// load reads what is not there yet.
func (a *attributor) load(ctx context.Context) error {
	var keys []string
	for k, h := range a.histories {
		if h.value == nil {
			keys = append(keys, k)
		}
	}
	n := len(keys)
	for k, s := range a.sales {
		if s.value == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	values, err := a.keys.Get(ctx, keys...)
	if err != nil {
		return fmt.Errorf("read visitors' histories: %w", err)
	}
	for i, k := range keys {
		if i < n {
			a.histories[k].stands(values[i], decodeHistory(a.histories[k].pixelID))
		} else {
			a.sales[k].stands(values[i], attribution.DecodeSale)
		}
	}
	return nil
}

func decodeHistory(pixelID string) func([]byte) (*attribution.History, error) {
	return func(b []byte) (*attribution.History, error) { return attribution.Decode(pixelID, b) }
}

// stands takes what is in the state. What no version of ours can read is begun anew:
// it must not stop the events.
func (k *held[T]) stands(raw []byte, decode func([]byte) (*T, error)) {
	v, err := decode(raw)
	if err != nil {
		v = new(T)
	}
	k.raw, k.value, k.dirty = raw, v, false
}

// save writes what changed: histories before sales, so that the conversion which a sale
// names is there. It reports whether the batch has to be merged again into what others
// wrote meanwhile.
func (a *attributor) save(ctx context.Context, list []*told) (again bool, err error) {
	lost, err := swap(ctx, a.keys, a.histories, (*attribution.History).Encode, func(k *held[attribution.History]) func([]byte) (*attribution.History, error) {
		return decodeHistory(k.pixelID)
	})
	if err != nil || lost {
		return lost, err
	}
	if lost, err = swap(ctx, a.keys, a.sales, (*attribution.Sale).Encode, func(*held[attribution.Sale]) func([]byte) (*attribution.Sale, error) {
		return attribution.DecodeSale
	}); err != nil || lost {
		return lost, err
	}
	// Two batches may each have added to one of a person's visitors, and have read the
	// other before. Whoever looks last sees both.
	var mates []string
	for _, t := range list {
		for _, v := range t.linked {
			mates = append(mates, attribution.HistoryKey(t.pixel.ID, v))
		}
	}
	for _, h := range a.histories {
		again = again || h.value == nil // a sale led to it
	}
	if len(mates) == 0 {
		return again, nil
	}
	slices.Sort(mates)
	mates = slices.Compact(mates)
	values, err := a.keys.Get(ctx, mates...)
	if err != nil {
		return false, fmt.Errorf("read visitors' histories again: %w", err)
	}
	for i, k := range mates {
		if h := a.histories[k]; !bytes.Equal(h.raw, values[i]) {
			h.stands(values[i], decodeHistory(h.pixelID))
			again = true
		}
	}
	return again, nil
}

// swap writes the dirty ones, and takes what stands where somebody else was faster.
func swap[T any](ctx context.Context, keys state.Keys, all map[string]*held[T], encode func(*T) []byte, decode func(*held[T]) func([]byte) (*T, error)) (lost bool, err error) {
	var changes []state.Change
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if v := all[k]; v.dirty {
			changes = append(changes, state.Change{Old: v.raw, Entry: state.Entry{Key: k, Value: encode(v.value), TTL: remember}})
		}
	}
	if len(changes) == 0 {
		return false, nil
	}
	standing, err := keys.SwapAll(ctx, changes...)
	if err != nil {
		return false, fmt.Errorf("keep visitors' histories: %w", err)
	}
	for i, c := range changes {
		v := all[c.Key]
		if bytes.Equal(standing[i], c.Value) {
			v.raw, v.dirty = c.Value, false
			continue
		}
		v.stands(standing[i], decode(v))
		lost = true
	}
	return lost, nil
}

// forgetPath removes what is remembered of a visitor's touchpoints and conversions.
func forgetPath(ctx context.Context, keys state.Keys, v consent.Visitor) error {
	key := attribution.HistoryKey(v.PixelID, v.ID)
	values, err := keys.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("read a visitor's history: %w", err)
	}
	gone := []string{key}
	if h, err := attribution.Decode(v.PixelID, values[0]); err == nil {
		for i := range h.Conversions {
			if order := h.Conversions[i].OrderID; order != "" {
				gone = append(gone, attribution.SaleKey(v.PixelID, order))
			}
		}
	}
	if err := keys.Delete(ctx, gone...); err != nil {
		return fmt.Errorf("forget a visitor's history: %w", err)
	}
	return nil
}
