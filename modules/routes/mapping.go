package routes

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// apply makes what a partner is told of an event and by which parameters. The event
// itself stays as it is.
func (x *Expressions) apply(m *settings.Mapping, params jsontext.Value, f *facts) (mapped *event.Event, made jsontext.Value, err error) {
	if m.Empty() {
		return nil, params, nil
	}
	out := *f.e
	texts := [...]struct {
		at, expression string
		to             *string
	}{{"name", m.Name, &out.Name}, {"currency", m.Currency, &out.Order.Currency}, {"order_id", m.OrderID, &out.Order.ID}}
	for _, t := range texts {
		if t.expression == "" {
			continue
		}
		v, err := x.value(t.expression, word, f)
		if err == nil {
			err = json.Unmarshal(v, t.to)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", t.at, err)
		}
	}
	if !event.ValidName(out.Name) {
		return nil, nil, fmt.Errorf("name: %q is no event's name", brief(out.Name))
	}
	if m.Value != "" {
		v, err := x.value(m.Value, number, f)
		if err == nil {
			out.Order.Value, err = amount(v)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("value: %w", err)
		}
	}
	if out.Properties, err = x.members(out.Properties, m.Properties, f); err != nil {
		return nil, nil, fmt.Errorf("properties.%w", err)
	}
	if made, err = x.members(params, m.Params, f); err != nil {
		return nil, nil, fmt.Errorf("params.%w", err)
	}
	return &out, made, nil
}

// members sets members of an object, and leaves the others as they are.
func (x *Expressions) members(object jsontext.Value, set map[string]string, f *facts) (jsontext.Value, error) {
	if len(set) == 0 {
		return object, nil
	}
	all := map[string]jsontext.Value{}
	if len(bytes.TrimSpace(object)) > 0 {
		if err := json.Unmarshal(object, &all, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
			all = map[string]jsontext.Value{}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		v, err := x.value(set[key], anything, f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		all[key] = v
	}
	return json.Marshal(all, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
}
