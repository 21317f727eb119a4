package routes

import (
	"bytes"
	"reflect"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// object are an event's properties for the language. Most conditions ask for one or two
// of them: those are looked up where they stand, and only for what is more than a text,
// a number or a truth are all of them read.
type object struct{ f *facts }

func (o object) whole() traits.Mapper {
	return types.DefaultTypeAdapter.NativeToValue(o.f.all()).(traits.Mapper)
}

// Find looks a property up.
func (o object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return o.whole().Find(key)
	}
	raw, known := lookup(o.f.e.Properties, string(name))
	if !known {
		return o.whole().Find(key)
	}
	switch raw.Kind() {
	case '"':
		if bytes.IndexByte(raw, '\\') < 0 {
			return types.String(raw[1 : len(raw)-1]), true
		}
	case '0':
		if n, err := strconv.ParseFloat(string(raw), 64); err == nil {
			return types.Double(n), true
		}
	case 't':
		return types.True, true
	case 'f':
		return types.False, true
	case 'n':
		return types.NullValue, true
	case 0:
		return nil, false // there is none of that name
	}
	return o.whole().Find(key)
}

// Get is Find for what must be there.
func (o object) Get(key ref.Val) ref.Val {
	if v, ok := o.Find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains reports whether there is a property of a name.
func (o object) Contains(key ref.Val) ref.Val {
	_, ok := o.Find(key)
	return types.Bool(ok)
}

func (o object) Iterator() traits.Iterator                   { return o.whole().Iterator() }
func (o object) Size() ref.Val                               { return o.whole().Size() }
func (o object) Equal(other ref.Val) ref.Val                 { return o.whole().Equal(other) }
func (o object) ConvertToType(t ref.Type) ref.Val            { return o.whole().ConvertToType(t) }
func (o object) ConvertToNative(t reflect.Type) (any, error) { return o.whole().ConvertToNative(t) }
func (object) Type() ref.Type                                { return types.MapType }
func (o object) Value() any                                  { return o.f.all() }

// lookup finds the last member of a name in an object that is valid JSON. known is false
// where this simple reading cannot tell; a nil value says that there is none.
func lookup(b jsontext.Value, name string) (found jsontext.Value, known bool) {
	if len(b) == 0 {
		return nil, true
	}
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return nil, false
	}
	for i = space(b, i+1); i < len(b) && b[i] == '"'; {
		end := text(b, i)
		if end < 0 {
			return nil, false
		}
		key := b[i+1 : end-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			return nil, false
		}
		if i = space(b, end); i >= len(b) || b[i] != ':' {
			return nil, false
		}
		i = space(b, i+1)
		if end = skip(b, i); end < 0 {
			return nil, false
		}
		if string(key) == name {
			found = bytes.TrimRight(b[i:end], " \t\r\n")
		}
		if i = space(b, end); i < len(b) && b[i] == ',' {
			i = space(b, i+1)
		}
	}
	return found, i < len(b) && b[i] == '}'
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// text is where a string that begins at i ends; -1 if it does not.
func text(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// skip is where the value that begins at i ends; -1 if it does not.
func skip(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = text(b, i); i < 0 {
				return -1
			}
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // of a number, by the end of the object around it
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return -1
}
