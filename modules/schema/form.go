package schema

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// The patterns of the built-in schemas, and what becomes of them in their forms.
const (
	amounts         = `^[0-9]{1,20}([.][0-9]{1,10})?$`
	looseAmounts    = `^(-?[0-9]{1,20}([.][0-9]{1,10})?)?$`
	currencies      = `^[A-Z]{3}$`
	looseCurrencies = `^([A-Z]{3})?$`
)

// Form says what cannot be used in an event as it stands: by the built-in schema, that a
// property is of the wrong form, such as a price that is a list; by a site's own, whatever
// it demands. What a built-in schema only misses is no fault, since an event needs no more
// than its name: lacks says so.
func (c *Checker) Form(pixel string, revision int64, custom func() []Custom, name string, properties jsontext.Value) (f event.Fault, lacks bool) {
	if custom != nil && c.own(pixel, revision, custom)[name] != nil {
		return c.Check(pixel, revision, custom, name, properties), false
	}
	s := c.standard[name]
	if s == nil {
		return event.Fault{}, false
	}
	if len(properties) == 0 {
		return event.Fault{}, !s.glance.sure(jsontext.Value("{}"))
	}
	if s.glance.sure(properties) {
		return event.Fault{}, false
	}
	if s.form.glance.sure(properties) {
		return event.Fault{}, true
	}
	f = s.form.check(properties)
	return f, f.Code == "" && s.check(properties).Code != ""
}

// loosen makes a built-in schema one of the form alone: nothing is required, null and an
// empty text are as good as nothing, and text, numbers and words such as true may stand
// for each other, since all of them can be written down.
func loosen(doc any) any {
	switch v := doc.(type) {
	case []any:
		out := make([]any, 0, len(v))
		for _, one := range v {
			out = append(out, loosen(one))
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			switch key {
			case "required", "dependentRequired", "minItems", "minimum", "title", "description":
			case "properties":
				all := make(map[string]any, len(value.(map[string]any)))
				for name, one := range value.(map[string]any) {
					all[name] = loosen(one)
				}
				out[key] = all
			case "type":
				out[key] = looseTypes(value, v["pattern"] != nil || v["minimum"] != nil)
			case "pattern":
				out[key] = map[any]any{amounts: looseAmounts, currencies: looseCurrencies}[value]
			case "anyOf":
				if kept := alternativesOf(value.([]any)); len(kept) > 0 {
					out[key] = kept
				}
			default:
				out[key] = loosen(value)
			}
		}
		return out
	}
	return doc
}

// alternativesOf are those that ask for more than that something is there.
func alternativesOf(list []any) (out []any) {
	for _, one := range list {
		if loose, ok := loosen(one).(map[string]any); ok && len(loose) > 0 {
			out = append(out, loose)
		}
	}
	return out
}

// looseTypes are what may stand in place of some types; exact: nothing but null may.
func looseTypes(types any, exact bool) []any {
	list, many := types.([]any)
	if !many {
		list = []any{types}
	}
	out := map[any]bool{"null": true}
	for _, t := range list {
		out[t] = true
		if t != "object" && t != "array" && !exact {
			out["string"], out["number"], out["boolean"] = true, true, true
		}
	}
	delete(out, "integer") // number has it
	names := make([]any, 0, len(out))
	for _, t := range []string{"object", "array", "string", "number", "boolean", "null"} {
		if out[t] {
			names = append(names, t)
		}
	}
	return names
}

// Mendable reports whether a fault of this code is of an event's properties alone. Then
// all else of the event is right, and it is kept whole, so that somebody can mend it and
// send it on.
func Mendable(code string) bool { return code == Code || code == event.BadOrder }
