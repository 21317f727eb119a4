package schema

import (
	"bytes"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// glance is the part of a schema that most schemas are made of, read off the text: it
// costs a twentieth of what the library does, which decodes everything first. It says
// that properties are as the schema demands, or that it does not know; then the library
// is asked. What is wrong only the library says.
type glance struct {
	types   string   // kinds as jsontext has them, i for integers; empty: any
	members []member // those that it says anything about
	must    set
	beside  []beside
	anyOf   []*glance
	only    bool  // it says nothing beside anyOf
	needs   []set // an object has all of one of these: anyOf of what is required
	items   *glance
	least   int // items
	most    int // items; -1: any number
	pattern func([]byte) bool
	floor   *float64 // for numbers
}

// member is one of an object.
type member struct {
	name  string
	value *glance // nil: any
}

// set are members, by their place.
type set uint64

const maxMembers = 64

func (s set) has(all set) bool { return s&all == all }

// beside is what has to be there if one is.
type beside struct{ one, all set }

// known are the keywords that a glance knows, and those that ask nothing.
var known = []string{
	"DraftVersion", "Location", "ID", "Anchor", "Title", "Description", "Default", "Comment", "ReadOnly", "WriteOnly", "Examples", "Deprecated",
	"Types", "AnyOf", "Required", "Properties", "DependentRequired", "MinItems", "MaxItems", "Items2020", "Pattern", "Minimum",
}

var kinds = map[string]string{"null": "n", "boolean": "tf", "string": `"`, "number": "0i", "integer": "i", "object": "{", "array": "["}

// glanceAt is nil where the schema asks for what a glance does not know.
func glanceAt(s *jsonschema.Schema) *glance {
	if s.DraftVersion < 2020 {
		return nil
	}
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !slices.Contains(known, f.Name) && !v.Field(i).IsZero() {
			return nil
		}
	}
	g := &glance{pattern: matcher(s.Pattern), most: -1}
	if s.Types != nil {
		for _, name := range s.Types.ToStrings() {
			g.types += kinds[name]
		}
	}
	if s.MinItems != nil {
		g.least = *s.MinItems
	}
	if s.MaxItems != nil {
		g.most = *s.MaxItems
	}
	if s.Minimum != nil {
		f, exact := s.Minimum.Float64()
		if !exact || new(big.Rat).SetFloat64(f) == nil {
			return nil
		}
		g.floor = &f
	}
	for _, one := range s.AnyOf {
		x := glanceAt(one)
		if x == nil {
			return nil
		}
		g.anyOf = append(g.anyOf, x)
	}
	for name, one := range s.Properties {
		x := glanceAt(one)
		if x == nil {
			return nil
		}
		g.members = append(g.members, member{name, x})
	}
	slices.SortFunc(g.members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	g.must = g.named(s.Required)
	for name, all := range s.DependentRequired {
		g.beside = append(g.beside, beside{g.named([]string{name}), g.named(all)})
	}
	if g.anyOf != nil && !slices.ContainsFunc(g.anyOf, func(x *glance) bool { return !x.requires() }) {
		g.anyOf = nil
		for _, one := range s.AnyOf {
			g.needs = append(g.needs, g.named(one.Required))
		}
	}
	if s.Items2020 != nil {
		if g.items = glanceAt(s.Items2020); g.items == nil {
			return nil
		}
	}
	if len(g.members) > maxMembers {
		return nil
	}
	g.only = g.anyOf != nil && reflect.DeepEqual(*g, glance{anyOf: g.anyOf, most: -1})
	return g
}

// named are the members of those names, which it learns.
func (g *glance) named(names []string) (s set) {
	for _, name := range names {
		i := slices.IndexFunc(g.members, func(m member) bool { return m.name == name })
		if i < 0 {
			i = len(g.members)
			g.members = append(g.members, member{name: name})
		}
		s |= 1 << i
	}
	return s
}

// matcher is a pattern; those of the built-in schemas are as good as written out.
func matcher(r jsonschema.Regexp) func([]byte) bool {
	if r == nil {
		return nil
	}
	switch r.String() {
	case amounts:
		return amount
	case looseAmounts:
		return func(b []byte) bool { return len(b) == 0 || amount(bytes.TrimPrefix(b, []byte("-"))) }
	case currencies:
		return currency
	case looseCurrencies:
		return func(b []byte) bool { return len(b) == 0 || currency(b) }
	}
	return func(b []byte) bool { return r.MatchString(string(b)) }
}

// amount is what the pattern amounts says.
func amount(b []byte) bool {
	whole, rest, point := bytes.Cut(b, []byte("."))
	return digits(whole, 20) && (!point || digits(rest, 10))
}

func digits(b []byte, most int) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= most
}

func currency(s []byte) bool {
	return len(s) == 3 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' && s[2] >= 'A' && s[2] <= 'Z'
}

// requires reports whether it says nothing but what is required.
func (g *glance) requires() bool {
	return g.must != 0 && g.must == 1<<len(g.members)-1 && !slices.ContainsFunc(g.members, func(m member) bool { return m.value != nil }) &&
		g.types == "" && g.beside == nil && g.anyOf == nil && g.needs == nil && g.items == nil && g.least == 0 && g.most < 0 && g.pattern == nil && g.floor == nil
}

// sure reports whether a valid JSON value is as the schema demands, for certain. Of what
// is no JSON it may say anything.
func (g *glance) sure(v jsontext.Value) bool {
	end, ok := g.value(v, 0)
	return ok && end == len(v)
}

// value is sure for the value that begins at i, and says where that ends.
func (g *glance) value(v jsontext.Value, i int) (end int, ok bool) {
	if i >= len(v) {
		return i, false
	}
	if g.only {
		for _, one := range g.anyOf {
			if end, ok = one.value(v, i); ok {
				return end, true
			}
		}
		return i, false
	}
	kind := kindOf(v[i])
	if g.types != "" && kind != '0' && strings.IndexByte(g.types, kind) < 0 {
		return i, false
	}
	switch kind {
	case '{':
		if g.members == nil {
			end = past(v, i)
		} else if end, ok = g.object(v, i); !ok {
			return end, false
		}
	case '[':
		if g.items == nil && g.least == 0 && g.most < 0 {
			end = past(v, i)
		} else if end, ok = g.list(v, i); !ok {
			return end, false
		}
	default:
		if end = past(v, i); end == i || !g.scalar(v[i:end]) {
			return end, false
		}
	}
	one := v[i:end]
	if g.types != "" && kind == '0' && !g.ofNumbers(one) {
		return end, false
	}
	return end, g.anyOf == nil || slices.ContainsFunc(g.anyOf, func(g *glance) bool { return g.sure(one) })
}

// kindOf is the kind of a value by its first byte, as jsontext has it.
func kindOf(c byte) byte {
	if c == '-' || c >= '0' && c <= '9' {
		return '0'
	}
	return c
}

func (g *glance) scalar(v jsontext.Value) bool {
	switch kindOf(v[0]) {
	case '"':
		if g.pattern == nil {
			return true
		}
		text, ok := plain(v)
		return ok && g.pattern(text)
	case '0':
		if g.floor == nil || *g.floor == 0 && v[0] != '-' {
			return true
		}
		// At the bound itself, what was rounded away would tell.
		n, err := strconv.ParseFloat(string(v), 64)
		return err == nil && n > *g.floor
	}
	return true
}

func (g *glance) ofNumbers(v jsontext.Value) bool {
	return strings.IndexByte(g.types, '0') >= 0 || strings.IndexByte(g.types, 'i') >= 0 && !bytes.ContainsAny(v, ".eE")
}

func (g *glance) object(v jsontext.Value, i int) (end int, ok bool) {
	var there set
	for i = space(v, i+1); i < len(v) && v[i] != '}'; i = space(v, i) {
		if v[i] == ',' {
			i = space(v, i+1)
		}
		text, end, ok := name(v, i)
		if !ok {
			return i, false
		}
		i = space(v, space(v, end)+1) // behind the colon
		var one *glance
		for k := range g.members {
			if g.members[k].name == string(text) {
				there, one = there|1<<k, g.members[k].value
				break
			}
		}
		if one == nil {
			if end = past(v, i); end == i {
				return i, false
			}
		} else if end, ok = one.value(v, i); !ok {
			return i, false
		}
		i = end
	}
	if i >= len(v) || !there.has(g.must) {
		return i, false
	}
	for _, b := range g.beside {
		if there.has(b.one) && !there.has(b.all) {
			return i, false
		}
	}
	return i + 1, g.needs == nil || slices.ContainsFunc(g.needs, there.has)
}

func (g *glance) list(v jsontext.Value, i int) (end int, ok bool) {
	n := 0
	for i = space(v, i+1); i < len(v) && v[i] != ']'; i = space(v, i) {
		if v[i] == ',' {
			i = space(v, i+1)
		}
		var end int
		ok := true
		if g.items != nil {
			end, ok = g.items.value(v, i)
		} else {
			end = past(v, i)
		}
		if !ok || end == i {
			return i, false
		}
		i = end
		n++
	}
	return i + 1, i < len(v) && n >= g.least && (g.most < 0 || n <= g.most)
}

// name is the text of the string that begins at i, and where that ends, where it is spelt
// as it is meant.
func name(v jsontext.Value, i int) (text []byte, end int, ok bool) {
	for end = i + 1; end < len(v); end++ {
		switch v[end] {
		case '"':
			return v[i+1 : end], end + 1, true
		case '\\':
			return nil, end, false
		}
	}
	return nil, end, false
}

// plain is a string's text where it is spelt as it is meant.
func plain(v jsontext.Value) ([]byte, bool) {
	if len(v) < 2 {
		return nil, false
	}
	text := v[1 : len(v)-1]
	return text, bytes.IndexByte(text, '\\') < 0
}

func space(v jsontext.Value, i int) int {
	for i < len(v) && (v[i] == ' ' || v[i] == '\n' || v[i] == '\t' || v[i] == '\r') {
		i++
	}
	return i
}

// past is the end of the value that begins at i.
func past(v jsontext.Value, i int) int {
	depth := 0
	for ; i < len(v); i++ {
		switch v[i] {
		case '"':
			for i++; i < len(v) && v[i] != '"'; i++ {
				if v[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(v))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // behind a number or a word
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return len(v)
}
