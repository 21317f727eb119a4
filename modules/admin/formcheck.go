package admin

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/miq/pixel/modules/settings"
)

// check returns what is wrong with an object, field by field. An absent one is
// an empty one.
func (f *form) check(v jsontext.Value, field string) settings.Invalid {
	if f.schema == nil {
		return nil
	}
	if len(v) == 0 {
		v = jsontext.Value("{}")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(v))
	if err != nil {
		return settings.Invalid{{Field: field, Message: "must be valid JSON"}}
	}
	err = f.schema.Validate(doc)
	bad, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return nil
	}
	var out settings.Invalid
	f.collect(bad, field, &out)
	if len(out) == 0 {
		out = settings.Invalid{{Field: field, Message: "is not as the partner's schema demands"}}
	}
	return out
}

func (f *form) collect(e *jsonschema.ValidationError, field string, out *settings.Invalid) {
	at := field
	for _, part := range e.InstanceLocation {
		if _, err := strconv.Atoi(part); err == nil {
			at += "[" + part + "]"
		} else {
			at += "." + part
		}
	}
	add := func(at, message string) {
		if p := (settings.Problem{Field: at, Message: message}); !slices.Contains(*out, p) {
			*out = append(*out, p)
		}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			add(at+"."+name, "is required")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			add(at+"."+name, "is not known to this partner")
		}
	case *kind.Pattern:
		add(at, inWords(k.Want))
	case *kind.Enum:
		add(at, "must be one of the choices")
	case *kind.Type:
		add(at, "must be "+article(strings.Join(k.Want, " or ")))
	case *kind.Minimum:
		add(at, "must be at least "+k.Want.RatString())
	case *kind.Maximum:
		add(at, "must be at most "+k.Want.RatString())
	case *kind.MinLength:
		add(at, "must have at least "+count(k.Want, "character"))
	case *kind.MaxLength:
		add(at, "must have at most "+count(k.Want, "character"))
	case *kind.OneOf, *kind.AnyOf:
		if len(e.InstanceLocation) == 0 && len(f.ways) > 0 {
			add(at, "needs exactly one of these: "+f.choices())
			return
		}
		for _, c := range e.Causes {
			f.collect(c, field, out)
		}
		if len(e.Causes) == 0 {
			add(at, "fits more than one of the alternatives")
		}
	default:
		if len(e.Causes) == 0 {
			add(at, e.ErrorKind.LocalizedString(f.printer))
		}
		for _, c := range e.Causes {
			f.collect(c, field, out)
		}
	}
}

// Shapes of patterns that can be said: characters of some kinds, so many of them; a whole
// number, of so many digits after its first; so many characters, none of them a space.
var (
	plainShape  = regexp.MustCompile(`^\^\(?\[((?:A-Z|a-z|0-9|[_.:@-])+)\]\{(\d+)(?:,(\d+))?\}\)?\??\$$`)
	numberShape = regexp.MustCompile(`^\^\[1-9\]\[0-9\]\{0,(\d+)\}\$$`)
	spaceless   = regexp.MustCompile(`^\^\[\^\\s\\x00-\\x1f\]\{(\d+),(\d+)\}\$$`)
)

// inWords says what a pattern demands, where it is one that can be said.
func inWords(pattern string) string {
	if digits := numberShape.FindStringSubmatch(pattern); digits != nil {
		more, _ := strconv.Atoi(digits[1])
		return fmt.Sprintf("must be a whole number from 1 on, of at most %d digits and without a 0 in front", more+1)
	}
	if bounds := spaceless.FindStringSubmatch(pattern); bounds != nil {
		return "must be " + bounds[1] + " to " + bounds[2] + " characters without spaces"
	}
	parts := plainShape.FindStringSubmatch(pattern)
	if parts == nil {
		return "does not look right: it must match " + pattern
	}
	class, many := parts[1], parts[2]
	if parts[3] != "" {
		many += " to " + parts[3]
	}
	var kinds []string
	for _, k := range [][2]string{{"A-Za-z", "letters"}, {"A-Z", "capital letters"}, {"a-z", "small letters"}, {"0-9", "digits"}} {
		if rest, ok := strings.CutPrefix(class, k[0]); ok {
			class, kinds = rest, append(kinds, k[1])
		}
	}
	kinds = append(kinds, strings.Split(class, "")...)
	if len(kinds) == 1 {
		return "must be " + many + " " + kinds[0]
	}
	return "must be " + many + " " + strings.Join(kinds[:len(kinds)-1], ", ") + " or " + kinds[len(kinds)-1]
}

func article(kind string) string {
	if strings.ContainsRune("aeio", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}

// choices says in words which fields go together.
func (f *form) choices() string {
	parts := make([]string, len(f.ways))
	for i, w := range f.ways {
		var names []string
		for _, r := range w.Required {
			name := r
			for _, e := range f.fields {
				if e.Name == r {
					name = e.Title
				}
			}
			names = append(names, name)
		}
		parts[i] = strings.Join(names, " and ")
		if w.Title != "" {
			parts[i] = w.Title + " (" + parts[i] + ")"
		}
	}
	return strings.Join(parts, ", or ")
}
