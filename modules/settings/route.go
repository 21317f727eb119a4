package settings

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// Mapping says what a partner is told instead of what the event says. Each is an
// expression (modules/routes); what is empty stays as it is.
type Mapping struct {
	Name     string `json:"name,omitempty"` // the event's name
	Value    string `json:"value,omitempty"`
	Currency string `json:"currency,omitempty"`
	OrderID  string `json:"order_id,omitempty"`
	// Params set the route's parameters by the event, in the partner's own field names.
	Params map[string]string `json:"params,omitempty"`
	// Properties set properties of the event, such as those that a partner's custom
	// variables are read from.
	Properties map[string]string `json:"properties,omitempty"`
}

// Empty reports whether nothing is mapped.
func (m *Mapping) Empty() bool {
	return m.Name == "" && m.Value == "" && m.Currency == "" && m.OrderID == "" && len(m.Params) == 0 && len(m.Properties) == 0
}

// Each calls f for each expression with its place, in a fixed order.
func (m *Mapping) Each(f func(at, expression string)) {
	for _, e := range [...][2]string{{"name", m.Name}, {"value", m.Value}, {"currency", m.Currency}, {"order_id", m.OrderID}} {
		if e[1] != "" {
			f(e[0], e[1])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.Params)) {
		f("params."+key, m.Params[key])
	}
	for _, key := range slices.Sorted(maps.Keys(m.Properties)) {
		f("properties."+key, m.Properties[key])
	}
}

// DedupeOrder is the Route.Dedupe by which partners know an event by its order's id.
const DedupeOrder = "order"

// The bounds of a route's expressions.
const (
	MaxExpression = 2000 // characters of one
	maxMapped     = 50   // parameters or properties
)

func (r Route) validate(v *Invalid, at string) {
	if utf8.RuneCountInString(r.When) > MaxExpression {
		v.add(at+".when", "must be at most %d characters", MaxExpression)
	}
	if r.Sample < 0 || r.Sample > 100 || r.Sample != r.Sample {
		v.add(at+".sample", "must be more than 0 and at most 100 percent, or 0 for all")
	}
	if r.Dedupe != "" && r.Dedupe != DedupeOrder {
		v.add(at+".dedupe", "must be empty for the event's id, or order for the order's")
	}
	if len(r.Map.Params) > maxMapped || len(r.Map.Properties) > maxMapped {
		v.add(at+".map", "must hold at most %d parameters and %d properties", maxMapped, maxMapped)
	}
	r.Map.Each(func(where, expression string) {
		if utf8.RuneCountInString(expression) > MaxExpression || expression == "" {
			v.add(fmt.Sprintf("%s.map.%s", at, where), "must be 1 to %d characters", MaxExpression)
		}
	})
}
