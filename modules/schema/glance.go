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
	types     string // kinds as jsontext has them, i for integers; empty: any
	required  []string
	props     map[string]*glance
	dependent map[string][]string
	anyOf     []*glance
	items     *glance
	least     int // items
	most      int // items; -1: any number
	pattern   func(string) bool
	floor     *float64 // for numbers
}

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
	g := &glance{required: s.Required, dependent: s.DependentRequired, pattern: matcher(s.Pattern), most: -1}
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
	if s.Items2020 != nil {
		if g.items = glanceAt(s.Items2020); g.items == nil {
			return nil
		}
	}
	for name, one := range s.Properties {
		x := glanceAt(one)
		if x == nil {
			return nil
		}
		if g.props == nil {
			g.props = map[string]*glance{}
		}
		g.props[name] = x
	}
	return g
}

// matcher is a pattern; those of the built-in schemas are as good as written out.
func matcher(r jsonschema.Regexp) func(string) bool {
	if r == nil {
		return nil
	}
	switch r.String() {
	case amounts:
		return amount
	case looseAmounts:
		return func(s string) bool { return s == "" || amount(strings.TrimPrefix(s, "-")) }
	case currencies:
		return currency
	case looseCurrencies:
		return func(s string) bool { return s == "" || currency(s) }
	}
	return r.MatchString
}

// amount is what the pattern amounts says.
func amount(s string) bool {
	whole, rest, point := strings.Cut(s, ".")
	return digits(whole, 20) && (!point || digits(rest, 10))
}

func digits(s string, most int) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= most
}

func currency(s string) bool {
	return len(s) == 3 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' && s[2] >= 'A' && s[2] <= 'Z'
}

// sure reports whether a valid JSON value is as the schema demands, for certain.
func (g *glance) sure(v jsontext.Value) bool {
	if len(v) == 0 || g.types != "" && !g.ofType(v) {
		return false
	}
	switch v.Kind() {
	case '"':
		if g.pattern != nil {
			text, ok := plain(v)
			if !ok || !g.pattern(string(text)) {
				return false
			}
		}
	case '0':
		if g.floor != nil && (*g.floor != 0 || v[0] == '-') {
			// At the bound itself, what was rounded away would tell.
			if n, err := strconv.ParseFloat(string(v), 64); err != nil || n <= *g.floor {
				return false
			}
		}
	case '{':
		if (g.props != nil || g.required != nil || g.dependent != nil) && !g.object(v) {
			return false
		}
	case '[':
		if (g.items != nil || g.least > 0 || g.most >= 0) && !g.list(v) {
			return false
		}
	}
	if g.anyOf == nil {
		return true
	}
	return slices.ContainsFunc(g.anyOf, func(one *glance) bool { return one.sure(v) })
}

func (g *glance) ofType(v jsontext.Value) bool {
	k := byte(v.Kind())
	return strings.IndexByte(g.types, k) >= 0 || k == '0' && strings.IndexByte(g.types, 'i') >= 0 && !bytes.ContainsAny(v, ".eE")
}

func (g *glance) object(v jsontext.Value) bool {
	var buf [24][]byte
	names := buf[:0]
	ok := members(v, func(name, value jsontext.Value) bool {
		text, ok := plain(name)
		if !ok {
			return false
		}
		names = append(names, text)
		one := g.props[string(text)]
		return one == nil || one.sure(value)
	})
	if !ok {
		return false
	}
	has := func(name string) bool {
		return slices.ContainsFunc(names, func(n []byte) bool { return string(n) == name })
	}
	for _, name := range g.required {
		if !has(name) {
			return false
		}
	}
	for name, all := range g.dependent {
		if has(name) && slices.ContainsFunc(all, func(n string) bool { return !has(n) }) {
			return false
		}
	}
	return true
}

func (g *glance) list(v jsontext.Value) bool {
	n := 0
	ok := members(v, func(_, value jsontext.Value) bool {
		n++
		return g.items == nil || g.items.sure(value)
	})
	return ok && n >= g.least && (g.most < 0 || n <= g.most)
}

// plain is a string's text where it is spelt as it is meant.
func plain(v jsontext.Value) ([]byte, bool) {
	if len(v) < 2 {
		return nil, false
	}
	text := v[1 : len(v)-1]
	return text, bytes.IndexByte(text, '\\') < 0
}

// members calls each for the members of an object, with their names, or of an array,
// until it says no. Of what is no JSON it may say anything, and says no at the end of it.
func members(v jsontext.Value, each func(name, value jsontext.Value) bool) bool {
	object := v[0] == '{'
	for i := 1; ; {
		if i = space(v, i); i < len(v) && v[i] == ',' {
			i = space(v, i+1)
		}
		if i >= len(v) {
			return false
		}
		if v[i] == '}' || v[i] == ']' {
			return true
		}
		var name jsontext.Value
		if object {
			end := past(v, i)
			name = v[i:end]
			if i = space(v, space(v, end)+1); i >= len(v) || len(name) < 2 { // behind the colon
				return false
			}
		}
		end := past(v, i)
		if end == i || !each(name, v[i:end]) {
			return false
		}
		i = end
	}
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
