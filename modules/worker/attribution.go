package worker

import (
	"context"
	"errors"
	"slices"

	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// attribution keeps what the events tell of touchpoints, conversions and refunds, and
// finds what each conversion is owed to, anew for those that it corrects.
func (w *Worker) attribution(ctx context.Context, b *batch) error {
	var list []*told
	for _, it := range b.items {
		if t := tell(it); t != nil {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return nil
	}
	a := attributor{keys: w.keys}
	var err error
	b.writes.Touches, b.writes.Credits, err = a.apply(ctx, list)
	return err
}

// told is what one event says of touchpoints and conversions.
type told struct {
	pixel      *settings.Pixel
	visitor    string
	linked     []string // who else is the same person; nil without full consent
	full       bool
	touches    []attribution.Touch
	conversion *attribution.Conversion
	refund     *attribution.SaleRefund
	order      string // the refund's, or the conversion's
}

// tell returns what an event says, or nil.
func tell(it *item) *told {
	e := &it.event
	// What no person did is owed to nothing.
	if !it.known || !it.pixel.Processing.Forwards(&e.Enrichment) {
		return nil
	}
	converts, refunds := it.pixel.Attribution.Conversion(e.Name), attribution.IsRefund(e)
	full := e.Verdict.State == event.Full
	var touches []attribution.Touch
	if e.Subject.VisitorID != "" {
		touches = attribution.Read(e, converts)
	}
	if len(touches) == 0 && !converts && !refunds && !(it.merged && full) {
		return nil // as most say nothing
	}
	t := &told{pixel: &it.pixel, visitor: e.Subject.VisitorID, full: full, touches: touches}
	if full {
		t.linked = others(it.linked, t.visitor)
	}
	switch {
	case converts:
		c := attribution.ReadConversion(e)
		t.conversion, t.order = &c, e.Order.ID
		if t.visitor == "" {
			t.visitor = "event:" + e.ID // nobody's: it is owed to nothing that is known
		}
	case refunds:
		r, currency := attribution.ReadRefund(e)
		t.refund, t.order = &attribution.SaleRefund{Refund: r, Currency: currency}, e.Order.ID
	}
	return t
}

// others are visitors without one of them, in the order of their names.
func others(visitors []string, visitor string) []string {
	out := slices.DeleteFunc(slices.Clone(visitors), func(v string) bool { return v == visitor || v == "" })
	slices.Sort(out)
	return slices.Compact(out)
}

// attributor is the state that attribution works on. A batch costs one round trip to
// read and one to write, and a second of each where it holds orders or where others
// changed the same visitors at the same time.
type attributor struct {
	keys state.Keys

	histories map[string]*held[attribution.History]
	sales     map[string]*held[attribution.Sale]
}

// rounds is how often a batch begins anew where others keep changing the same visitors.
const rounds = 12

// apply returns the touchpoints and the credits that have to be stored. Of the same
// events they are so each time: what was kept and not stored is stored the next time.
func (a *attributor) apply(ctx context.Context, list []*told) ([]event.Touchpoint, []event.Credits, error) {
	a.histories, a.sales = map[string]*held[attribution.History]{}, map[string]*held[attribution.Sale]{}
	for _, t := range list {
		a.history(t.pixel.ID, t.visitor)
		for _, v := range t.linked {
			a.history(t.pixel.ID, v)
		}
		if t.order != "" {
			a.sale(t.pixel.ID, t.order)
		}
	}
	if err := a.load(ctx); err != nil {
		return nil, nil, err
	}
	for range rounds {
		// Refunds name orders, and partial consent nobody: whom they lead to is known
		// only now.
		for _, t := range list {
			for _, v := range a.history(t.pixel.ID, t.visitor).value.Linked {
				a.history(t.pixel.ID, v)
			}
			if t.order != "" {
				if s := a.sale(t.pixel.ID, t.order).value; s.Visitor != "" {
					a.history(t.pixel.ID, s.Visitor)
				}
			}
		}
		if err := a.load(ctx); err != nil {
			return nil, nil, err
		}
		touches := a.merge(list)
		sets := a.settle(list)
		again, err := a.save(ctx, list)
		if err != nil {
			return nil, nil, err
		}
		if !again {
			return touches, sets, nil
		}
	}
	return nil, nil, errors.New("the visitors' histories keep changing")
}

// merge adds what the events tell to the histories and the sales. It returns the
// touchpoints to be stored: those that no earlier event told of.
func (a *attributor) merge(list []*told) (touches []event.Touchpoint) {
	for _, t := range list {
		h := a.history(t.pixel.ID, t.visitor)
		for _, touch := range t.touches {
			if h.value.Touch(touch, t.pixel.Attribution.Lookback) {
				h.dirty = true
			}
			if slices.ContainsFunc(h.value.Touches, func(k attribution.Touch) bool { return k.ID == touch.ID && k.EventID == touch.EventID }) {
				touches = append(touches, touch.Touchpoint)
			}
		}
		if t.conversion != nil && h.value.Convert(clone(t.conversion)) {
			h.dirty = true
		}
		if t.full {
			a.link(t)
		}
	}
	for _, t := range list {
		if t.order == "" {
			continue
		}
		s := a.sale(t.pixel.ID, t.order)
		if t.conversion != nil && s.value.Visitor == "" {
			s.value.Visitor, s.value.EventID, s.dirty = t.visitor, t.conversion.EventID, true
		}
		if t.refund != nil && s.value.Refund(*t.refund) {
			s.dirty = true
		}
	}
	// Only now is it known of all of them which refunds an order has.
	for _, t := range list {
		if t.order == "" {
			continue
		}
		s := a.sale(t.pixel.ID, t.order).value
		if s.Visitor == "" {
			continue
		}
		h := a.history(t.pixel.ID, s.Visitor)
		if h.value == nil {
			continue // it was told just now, and is loaded in the next round
		}
		if c := h.value.Find(s.EventID); c != nil {
			for _, r := range s.Refunds {
				if c.Refund(r.Refund, r.Currency) {
					h.dirty = true
				}
			}
		}
	}
	return touches
}

// link keeps who else an event's visitor is, with each of them.
func (a *attributor) link(t *told) {
	all := append([]string{t.visitor}, t.linked...)
	for _, v := range all {
		h := a.history(t.pixel.ID, v)
		empty := len(h.value.Touches) == 0 && len(h.value.Conversions) == 0
		if rest := others(all, v); !empty && !slices.Equal(h.value.Linked, rest) {
			h.value.Linked, h.dirty = rest, true
		}
	}
}

func clone(c *attribution.Conversion) attribution.Conversion {
	out := *c
	out.Refunds = slices.Clone(c.Refunds)
	return out
}

// settle gives the conversions anew that the events are, take back or may correct.
func (a *attributor) settle(list []*told) []event.Credits {
	type key struct{ history, event string }
	var sets []event.Credits
	done := map[key]bool{}
	for _, t := range list {
		visitors := []string{t.visitor}
		if t.order != "" {
			if s := a.sale(t.pixel.ID, t.order).value; s.Visitor != "" && s.Visitor != t.visitor {
				visitors = append(visitors, s.Visitor)
			}
		}
		for _, v := range visitors {
			h := a.history(t.pixel.ID, v)
			if h.value == nil {
				continue
			}
			person, names := a.person(t.pixel.ID, v, h.value.Linked)
			for i, ph := range person {
				for j := range ph.Conversions {
					c := &ph.Conversions[j]
					k := key{attribution.HistoryKey(t.pixel.ID, names[i]), c.EventID}
					if done[k] || !concerns(t, c) {
						continue
					}
					done[k] = true
					given, changed := person.Settle(i, c, t.pixel.ID, names[i], &t.pixel.Attribution)
					if changed {
						a.history(t.pixel.ID, names[i]).dirty = true
					}
					sets = append(sets, given...)
				}
			}
		}
	}
	return sets
}

// concerns reports whether an event may change what a conversion is owed to.
func concerns(t *told, c *attribution.Conversion) bool {
	if t.conversion != nil && t.conversion.EventID == c.EventID || t.refund != nil && t.order == c.OrderID {
		return true
	}
	if len(t.touches) == 0 {
		return t.conversion == nil && t.refund == nil // visitors became one person
	}
	return slices.ContainsFunc(t.touches, func(x attribution.Touch) bool { return !x.Begins().After(c.At) })
}

// person are the histories of a visitor and of those who are the same person, in the
// order of their names.
func (a *attributor) person(pixelID, visitor string, linked []string) (attribution.Person, []string) {
	names := slices.Compact(slices.Sorted(slices.Values(append([]string{visitor}, linked...))))
	var p attribution.Person
	kept := names[:0]
	for _, v := range names {
		if h := a.history(pixelID, v); h.value != nil {
			p, kept = append(p, h.value), append(kept, v)
		}
	}
	return p, kept
}
