package routes

import (
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/interpreter"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// facts are what an expression may ask of an event. There are no addresses, no digests
// and no ids of a person among them: what is decided by those could not be shown.
type facts struct {
	e          *event.Event
	properties map[string]any // read when they are first asked for
	read       bool
}

func about(e *event.Event) *facts { return &facts{e: e} }

// variables are their names and types, for the language and for the console's help.
var variables = [...]struct {
	name, help string
	of         *cel.Type
	get        func(*facts) any
}{
	{"name", "the event's name", cel.StringType, func(f *facts) any { return f.e.Name }},
	{"value", "the order's value", cel.DoubleType, func(f *facts) any { v, _ := strconv.ParseFloat(string(f.e.Order.Value), 64); return v }},
	{"currency", "its currency", cel.StringType, func(f *facts) any { return f.e.Order.Currency }},
	{"order_id", "the order's id", cel.StringType, func(f *facts) any { return f.e.Order.ID }},
	{"properties", "what the page sent", cel.MapType(cel.StringType, cel.DynType), func(f *facts) any { return object{f} }},
	{"items", "the order's items: id, name, brand, category, price, quantity", cel.ListType(cel.MapType(cel.StringType, cel.DynType)), (*facts).items},
	{"source", "web, pixel or server", cel.StringType, func(f *facts) any { return f.e.Source }},
	{"consent", "full or partial", cel.StringType, func(f *facts) any { return string(f.e.Verdict.State) }},
	{"regime", "the law: gdpr, us, default", cel.StringType, func(f *facts) any { return f.e.Verdict.Regime }},
	{"page_path", "the page's path", cel.StringType, func(f *facts) any { return analytics.Value(f.e, "page_path") }},
	{"page_url", "the page's whole address", cel.StringType, func(f *facts) any { return f.e.Context.Page.URL }},
	{"locale", "the browser's language", cel.StringType, func(f *facts) any { return f.e.Context.Locale }},
	{"country", "where the visitor is, ISO 3166-1", cel.StringType, func(f *facts) any { return first(f.e.Enrichment.Place.Country, f.e.Subject.Country) }},
	{"region", "ISO 3166-2 without the country", cel.StringType, func(f *facts) any { return f.e.Enrichment.Place.Region }},
	{"device", "desktop, mobile, tablet, …", cel.StringType, func(f *facts) any { return f.e.Enrichment.Device.Class }},
	{"browser", "", cel.StringType, func(f *facts) any { return f.e.Enrichment.Device.Browser }},
	{"os", "", cel.StringType, func(f *facts) any { return f.e.Enrichment.Device.OS }},
	{"referrer_kind", "search, social, mail, paid, referral, internal, direct", cel.StringType, func(f *facts) any { return f.e.Enrichment.Referrer.Kind }},
	{"referrer_host", "", cel.StringType, func(f *facts) any { return f.e.Enrichment.Referrer.Host }},
	{"utm_source", "", cel.StringType, func(f *facts) any { return f.e.Enrichment.Campaign.Source }},
	{"utm_medium", "", cel.StringType, func(f *facts) any { return f.e.Enrichment.Campaign.Medium }},
	{"utm_campaign", "", cel.StringType, func(f *facts) any { return f.e.Enrichment.Campaign.Name }},
	{"session", "which of the visitor's sessions it is, from 1", cel.IntType, func(f *facts) any { return int64(f.e.Enrichment.Session.N) }},
}

// Variable is one of them, for people.
type Variable struct{ Name, Type, Help string }

// Variables lists what expressions may ask.
func Variables() []Variable {
	out := make([]Variable, 0, len(variables))
	for _, v := range variables {
		out = append(out, Variable{v.name, v.of.String(), v.help})
	}
	return out
}

var byName = func() map[string]func(*facts) any {
	m := make(map[string]func(*facts) any, len(variables))
	for _, v := range variables {
		m[v.name] = v.get
	}
	return m
}()

// ResolveName is how the language asks.
func (f *facts) ResolveName(name string) (any, bool) {
	get, ok := byName[name]
	if !ok {
		return nil, false
	}
	return get(f), true
}

// Parent is there for the language.
func (f *facts) Parent() interpreter.Activation { return nil }

// all reads every property; of a name that is there twice the last one counts.
func (f *facts) all() map[string]any {
	if f.read {
		return f.properties
	}
	f.read, f.properties = true, map[string]any{}
	var raw map[string]jsontext.Value
	if json.Unmarshal(f.e.Properties, &raw, lenient) != nil {
		return f.properties
	}
	for key, value := range raw {
		var v any
		if json.Unmarshal(value, &v, lenient) == nil {
			f.properties[key] = v
		}
	}
	return f.properties
}

// What was accepted is read as far as it can be.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func (f *facts) items() any {
	out := make([]map[string]any, 0, len(f.e.Order.Items))
	for i := range f.e.Order.Items {
		it := &f.e.Order.Items[i]
		price, _ := strconv.ParseFloat(string(it.Price), 64)
		quantity, err := strconv.ParseFloat(string(it.Quantity), 64)
		if err != nil {
			quantity = 1
		}
		out = append(out, map[string]any{"id": it.ID, "name": it.Name, "brand": it.Brand, "category": it.Category, "price": price, "quantity": quantity})
	}
	return out
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
