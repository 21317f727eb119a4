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
	needs     [][]string // an object has all of one of these: anyOf of what is required
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
	if g.anyOf != nil && !slices.ContainsFunc(g.anyOf, func(x *glance) bool { return !x.requires() }) {
		for _, x := range g.anyOf {
			g.needs = append(g.needs, x.required)
		}
		g.anyOf = nil
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

// requires reports whether it says nothing but what is required.
func (g *glance) requires() bool {
	return g.required != nil && g.types == "" && g.props == nil && g.dependent == nil && g.anyOf == nil && g.needs == nil &&
		g.items == nil && g.least == 0 && g.most < 0 && g.pattern == nil && g.floor == nil
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
	switch v[i] {
	case '{':
		if g.props == nil && g.required == nil && g.dependent == nil && g.needs == nil {
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
	if g.types != "" && !g.ofType(one) {
		return end, false
	}
	return end, g.anyOf == nil || slices.ContainsFunc(g.anyOf, func(g *glance) bool { return g.sure(one) })
}

func (g *glance) scalar(v jsontext.Value) bool {
	switch v.Kind() {
	case '"':
		if g.pattern == nil {
			return true
		}
		text, ok := plain(v)
		return ok && g.pattern(string(text))
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

func (g *glance) ofType(v jsontext.Value) bool {
	k := byte(v.Kind())
	return strings.IndexByte(g.types, k) >= 0 || k == '0' && strings.IndexByte(g.types, 'i') >= 0 && !bytes.ContainsAny(v, ".eE")
}

func (g *glance) object(v jsontext.Value, i int) (end int, ok bool) {
	var buf [16][]byte
	names := buf[:0]
	for i = space(v, i+1); i < len(v) && v[i] != '}'; i = space(v, i) {
		if v[i] == ',' {
			i = space(v, i+1)
		}
		end := past(v, i)
		text, ok := plain(v[i:end])
		if !ok {
			return i, false
		}
		names = append(names, text)
		i = space(v, space(v, end)+1) // behind the colon
		if one := g.props[string(text)]; one == nil {
			if end = past(v, i); end == i {
				return i, false
			}
		} else if end, ok = one.value(v, i); !ok {
			return i, false
		}
		i = end
	}
	if i >= len(v) {
		return i, false
	}
	has := func(name string) bool {
		return slices.ContainsFunc(names, func(n []byte) bool { return string(n) == name })
	}
	lacks := func(name string) bool { return !has(name) }
	if slices.ContainsFunc(g.required, lacks) {
		return i, false
	}
	for name, all := range g.dependent {
		if has(name) && slices.ContainsFunc(all, lacks) {
			return i, false
		}
	}
	return i + 1, g.needs == nil || slices.ContainsFunc(g.needs, func(all []string) bool { return !slices.ContainsFunc(all, lacks) })
}

func (g *glance) list(v jsontext.Value, i int) (end int, ok bool) {
	n := 0
	for i = space(v, i+1); i < len(v) && v[i] != ']'; i = space(v, i) {
		if v[i] == ',' {
			i = space(v, i+1)
		}
		end, ok := past(v, i), true
		if g.items != nil {
			end, ok = g.items.value(v, i)
		}
		if !ok || end == i {
			return i, false
		}
		i = end
		n++
	}
	return i + 1, i < len(v) && n >= g.least && (g.most < 0 || n <= g.most)
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
