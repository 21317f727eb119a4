// Package schema says whether an event's properties are as they should be: by built-in
// JSON Schemas for the standard events of Google Analytics 4, and by a site's own.
//
// A schema is compiled once. What is wrong is said with the path to it and what would
// be right; the value itself is never repeated, since nobody knows what is in it.
package schema

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/miq/pixel/modules/event"
)

//go:embed ga4/*.json
var builtin embed.FS

// MaxBytes bounds a schema of a site's own.
const MaxBytes = 32 << 10

// Code is that of a Fault of this package.
const Code = "schema"

// Custom is the schema of a site's own for one event.
type Custom struct {
	Event  string
	Schema jsontext.Value
}

// compiled is a schema with what is seen of it at a glance, nil where that is nothing,
// and, of a built-in one, with what it says of the form alone.
type compiled struct {
	*jsonschema.Schema
	glance *glance
	form   *compiled
}

// Checker knows schemas, and compiles each once. It is safe for concurrent use.
type Checker struct {
	standard map[string]*compiled
	sites    sync.Map // by pixel: *site
}

// site has a pixel's own schemas as of a revision.
type site struct {
	revision int64
	events   map[string]*compiled
}

// New returns a checker that knows the built-in schemas.
func New() (*Checker, error) {
	files, err := builtin.ReadDir("ga4")
	if err != nil {
		return nil, err
	}
	c := &Checker{standard: make(map[string]*compiled, len(files))}
	for _, f := range files {
		body, err := builtin.ReadFile("ga4/" + f.Name())
		if err != nil {
			return nil, err
		}
		s, err := standard(body)
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", f.Name(), err)
		}
		c.standard[strings.TrimSuffix(f.Name(), path.Ext(f.Name()))] = s
	}
	return c, nil
}

// standard is a built-in schema, which has to be one that can be read at a glance.
func standard(body []byte) (*compiled, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	s, err := compileDoc(doc)
	if err != nil {
		return nil, err
	}
	if s.form, err = compileDoc(loosen(doc)); err != nil {
		return nil, err
	}
	if s.glance == nil || s.form.glance == nil {
		return nil, errors.New("it cannot be read at a glance")
	}
	return s, nil
}

// Standard reports whether there is a built-in schema for an event, which a site's own
// takes the place of.
func (c *Checker) Standard(name string) bool { return c.standard[name] != nil }

// Names are the events with a built-in schema.
func Names() []string {
	files, _ := builtin.ReadDir("ga4")
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(f.Name(), ".json")
	}
	return names
}

// Check says what is wrong with an event's properties; a Fault without a code means
// nothing is, or that there is no schema. The properties are valid JSON, or nothing. The
// revision is that of the pixel's settings, which custom is part of; nil: there are none.
func (c *Checker) Check(pixel string, revision int64, custom func() []Custom, name string, properties jsontext.Value) event.Fault {
	s := c.standard[name]
	if custom != nil {
		if own := c.own(pixel, revision, custom)[name]; own != nil {
			s = own
		}
	}
	if s == nil {
		return event.Fault{}
	}
	return s.check(properties)
}

func (s *compiled) check(properties jsontext.Value) event.Fault {
	if len(properties) == 0 {
		properties = jsontext.Value("{}")
	}
	if s.glance != nil && s.glance.sure(bytes.TrimSpace(properties)) {
		return event.Fault{}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(properties))
	if err != nil {
		return event.Fault{Pointer: "/properties", Code: Code, Message: "must be valid JSON"}
	}
	err = s.Validate(doc)
	if err == nil {
		return event.Fault{}
	}
	bad, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return event.Fault{Pointer: "/properties", Code: Code, Message: "is not as its schema demands"}
	}
	return explain(bad)
}

func (c *Checker) own(pixel string, revision int64, custom func() []Custom) map[string]*compiled {
	if v, ok := c.sites.Load(pixel); ok && v.(*site).revision == revision {
		return v.(*site).events
	}
	s := &site{revision: revision, events: map[string]*compiled{}}
	for _, x := range custom() {
		if own, err := compile(x.Schema); err == nil { // it was checked when it was set
			s.events[x.Event] = own
		}
	}
	c.sites.Store(pixel, s)
	return s.events
}

// Compile says what is wrong with a schema.
func Compile(body jsontext.Value) error {
	if len(body) > MaxBytes {
		return fmt.Errorf("must be at most %d bytes", MaxBytes)
	}
	_, err := compile(body)
	return err
}

// nothing loads no other schemas: neither files nor addresses.
type nothing struct{}

func (nothing) Load(url string) (any, error) {
	return nil, errors.New("must not refer to another file or address: " + url)
}

func compile(body []byte) (*compiled, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("must be valid JSON")
	}
	return compileDoc(doc)
}

func compileDoc(doc any) (*compiled, error) {
	if _, ok := doc.(map[string]any); !ok {
		return nil, errors.New("must be an object")
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nothing{})
	const at = "mem:///schema.json"
	if err := c.AddResource(at, doc); err != nil {
		return nil, err
	}
	s, err := c.Compile(at)
	if err != nil {
		text := err.Error()
		invalid, _ := errors.AsType[*jsonschema.SchemaValidationError](err)
		if invalid != nil {
			err = invalid.Err
		}
		if bad, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
			// The innermost says it; those around it only that it is so.
			for len(bad.Causes) > 0 {
				bad = bad.Causes[0]
			}
			text = "/" + strings.Join(bad.InstanceLocation, "/") + ": " + bad.ErrorKind.LocalizedString(message.NewPrinter(language.English))
		}
		return nil, errors.New("must be a JSON Schema: " + strings.ReplaceAll(strings.ReplaceAll(text, at, ""), "\n", " "))
	}
	return &compiled{Schema: s, glance: glanceAt(s)}, nil
}

// explain picks what is wrong first, and says what would be right.
func explain(e *jsonschema.ValidationError) event.Fault {
	leaf := e
	for len(leaf.Causes) > 0 {
		switch leaf.ErrorKind.(type) {
		case *kind.AnyOf, *kind.OneOf:
			if f, ok := alternatives(leaf); ok {
				return f
			}
		}
		// The deepest says most; of several the first by its path, so that the same
		// fault is always the same.
		causes := slices.Clone(leaf.Causes)
		slices.SortStableFunc(causes, func(a, b *jsonschema.ValidationError) int {
			return strings.Compare(strings.Join(a.InstanceLocation, "/"), strings.Join(b.InstanceLocation, "/"))
		})
		leaf = causes[0]
	}
	at := pointer(leaf.InstanceLocation)
	fault := func(at, message string) event.Fault { return event.Fault{Pointer: at, Code: Code, Message: message} }
	switch k := leaf.ErrorKind.(type) {
	case *kind.Required:
		return fault(at+"/"+escape(k.Missing[0]), "is required")
	case *kind.DependentRequired:
		return fault(at+"/"+escape(k.Missing[0]), "is required beside "+k.Prop)
	case *kind.Dependency:
		return fault(at+"/"+escape(k.Missing[0]), "is required beside "+k.Prop)
	case *kind.AdditionalProperties:
		return fault(at+"/"+escape(k.Properties[0]), "is not known to the schema")
	case *kind.Type:
		return fault(at, "must be of the type "+strings.Join(notNull(k.Want), " or "))
	case *kind.Pattern:
		return fault(at, "must match "+k.Want)
	case *kind.Enum:
		return fault(at, "must be one of "+list(k.Want))
	case *kind.Const:
		return fault(at, fmt.Sprintf("must be %v", k.Want))
	case *kind.MinItems:
		return fault(at, "must hold at least "+strconv.Itoa(k.Want))
	case *kind.MaxItems:
		return fault(at, "must hold at most "+strconv.Itoa(k.Want))
	case *kind.MinLength:
		return fault(at, "must have at least "+strconv.Itoa(k.Want)+" characters")
	case *kind.MaxLength:
		return fault(at, "must have at most "+strconv.Itoa(k.Want)+" characters")
	case *kind.Minimum:
		return fault(at, "must be at least "+k.Want.RatString())
	case *kind.Maximum:
		return fault(at, "must be at most "+k.Want.RatString())
	case *kind.Format:
		return fault(at, "must be of the format "+k.Want)
	}
	return fault(at, "is not as its schema demands ("+strings.Join(leaf.ErrorKind.KeywordPath(), "/")+")")
}

// alternatives says which of several would do.
func alternatives(e *jsonschema.ValidationError) (event.Fault, bool) {
	var need, types []string
	for _, c := range e.Causes {
		for len(c.Causes) == 1 {
			c = c.Causes[0]
		}
		switch k := c.ErrorKind.(type) {
		case *kind.Required:
			need = append(need, strings.Join(k.Missing, " and "))
		case *kind.Type:
			types = append(types, notNull(k.Want)...)
		case *kind.Pattern:
			types = append(types, "text that matches "+k.Want)
		case *kind.Minimum:
			types = append(types, "number of at least "+k.Want.RatString())
		}
	}
	at := pointer(e.InstanceLocation)
	switch {
	case len(need) == len(e.Causes):
		return event.Fault{Pointer: at, Code: Code, Message: "must have " + strings.Join(need, " or ")}, true
	case len(types) > 0:
		return event.Fault{Pointer: at, Code: Code, Message: "must be a " + strings.Join(slices.Compact(types), " or ")}, true
	}
	return event.Fault{}, false
}

// notNull are types without null, which may stand for a value and is none.
func notNull(types []string) []string {
	if len(types) < 2 {
		return types
	}
	return slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "null" })
}

func list(values []any) string {
	words := make([]string, 0, len(values))
	for _, v := range values {
		words = append(words, fmt.Sprint(v))
	}
	if text := strings.Join(words, ", "); len(text) < 200 {
		return text
	}
	return strconv.Itoa(len(values)) + " values that the schema lists"
}

func pointer(at []string) string {
	var b strings.Builder
	b.WriteString("/properties")
	for _, part := range at {
		b.WriteByte('/')
		b.WriteString(escape(part))
	}
	return b.String()
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }
