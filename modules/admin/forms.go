package admin

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/miq/pixel/modules/settings"
)

// forms are the partners' JSON Schemas, compiled to check what people enter,
// and read to draw the form that they enter it in.
type forms struct {
	params   map[string]*form
	settings map[string]*form
	printer  *message.Printer
}

func newForms(r *roster) (*forms, error) {
	f := &forms{map[string]*form{}, map[string]*form{}, message.NewPrinter(language.English)}
	for _, spec := range r.built() {
		for _, s := range []struct {
			into   map[string]*form
			schema jsontext.Value
			what   string
		}{{f.params, spec.Params, "params"}, {f.settings, spec.Settings, "settings"}} {
			form, err := newForm(spec.Name+"-"+s.what, s.schema, f.printer)
			if err != nil {
				return nil, fmt.Errorf("%s of partner %s: %w", s.what, spec.Name, err)
			}
			s.into[spec.Name] = form
		}
	}
	return f, nil
}

// form is one schema.
type form struct {
	schema  *jsonschema.Schema // nil: anything goes
	fields  []field
	ways    []way // alternatives of which one must be filled in
	printer *message.Printer
}

// field is one property of a schema, and its state while it is being edited.
type field struct {
	Name, Title, Help, Kind string // Kind: text, number, integer, bool, select, list, json
	Options                 []string
	Placeholder             string
	Default                 string
	Required                bool
	Main                    bool // worth seeing at once; the others fold away
	Value                   string
	Error                   string
}

// Checked is for templates: a bool's state.
func (f field) Checked() bool { return f.Value == "true" }

// way is one branch of a oneOf or anyOf that only names what it requires.
type way struct {
	Title    string
	Required []string
}

type schemaNode struct {
	Type        jsontext.Value   `json:"type"`
	Title       string           `json:"title"`
	Description string           `json:"description"`
	Enum        []jsontext.Value `json:"enum"`
	Default     jsontext.Value   `json:"default"`
	Examples    []jsontext.Value `json:"examples"`
	Required    []string         `json:"required"`
	Properties  jsontext.Value   `json:"properties"`
	Items       *schemaNode      `json:"items"`
	OneOf       []schemaNode     `json:"oneOf"`
	AnyOf       []schemaNode     `json:"anyOf"`
}

func newForm(name string, schema jsontext.Value, printer *message.Printer) (*form, error) {
	f := &form{printer: printer}
	if len(schema) == 0 {
		return f, nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	at := "mem:///" + name + ".json"
	if err := c.AddResource(at, doc); err != nil {
		return nil, err
	}
	if f.schema, err = c.Compile(at); err != nil {
		return nil, err
	}
	var root schemaNode
	if err := json.Unmarshal(schema, &root); err != nil {
		return nil, err
	}
	main := slices.Clone(root.Required)
	for _, w := range append(root.OneOf, root.AnyOf...) {
		if len(w.Required) > 0 {
			f.ways = append(f.ways, way{w.Title, w.Required})
			main = append(main, w.Required...)
		}
	}
	err = members(root.Properties, func(name string, v jsontext.Value) error {
		var n schemaNode
		if err := json.Unmarshal(v, &n); err != nil {
			return fmt.Errorf("property %s: %w", name, err)
		}
		f.fields = append(f.fields, field{
			Name: name, Title: cmp.Or(n.Title, name), Help: n.Description, Kind: n.kind(),
			Options: plainAll(n.Enum), Default: plain(n.Default), Placeholder: plain(slices.Concat(n.Examples, []jsontext.Value{nil})[0]),
			Required: slices.Contains(root.Required, name), Main: slices.Contains(main, name),
		})
		return nil
	})
	if len(f.fields) <= 8 {
		for i := range f.fields {
			f.fields[i].Main = true
		}
	}
	return f, err
}

func (n schemaNode) kind() string {
	if len(n.Enum) > 0 {
		return "select"
	}
	switch t := plain(n.Type); {
	case t == "boolean":
		return "bool"
	case t == "number", t == "integer", t == "string":
		return map[string]string{"number": "number", "integer": "integer", "string": "text"}[t]
	case t == "array" && n.Items != nil && plain(n.Items.Type) == "string":
		return "list"
	}
	return "json"
}

// members calls each with an object's members in the order that they stand in,
// which is the order that a form should have.
func members(v jsontext.Value, each func(string, jsontext.Value) error) error {
	if v.Kind() != '{' {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := t.String()
		val, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := each(name, val.Clone()); err != nil {
			return err
		}
	}
	return nil
}

func plainAll(vs []jsontext.Value) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = plain(v)
	}
	return out
}

// plain is a JSON value as a form shows it: a string without quotes, an array
// of strings as lines, anything else as it is.
func plain(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		b, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return ""
		}
		return string(b)
	case '[':
		var lines []string
		if json.Unmarshal(v, &lines) == nil {
			return strings.Join(lines, "\n")
		}
	case 'n':
		return ""
	}
	return string(v)
}

// filled is the form with the values of an object.
func (f *form) filled(v jsontext.Value) []field {
	out := slices.Clone(f.fields)
	_ = members(v, func(name string, v jsontext.Value) error {
		for i := range out {
			if out[i].Name == name {
				out[i].Value = plain(v)
			}
		}
		return nil
	})
	return out
}

// read makes an object of what was posted, and returns the form as it was
// filled in with each mistake beside its field. What is left empty is left out.
func (f *form) read(posted url.Values, field string) (jsontext.Value, []field, error) {
	out := slices.Clone(f.fields)
	obj := map[string]jsontext.Value{}
	var v settings.Invalid
	for i := range out {
		e := &out[i]
		e.Value = strings.TrimSpace(posted.Get("p." + e.Name))
		if e.Value == "" {
			continue
		}
		raw, err := e.json()
		if err != nil {
			v = append(v, settings.Problem{Field: field + "." + e.Name, Message: err.Error()})
			continue
		}
		obj[e.Name] = raw
	}
	body, err := json.Marshal(obj, json.Deterministic(true))
	if err != nil {
		return nil, out, err
	}
	if len(v) == 0 {
		v = f.check(body, field)
	}
	for i := range out {
		for _, p := range v {
			if at, ok := strings.CutPrefix(p.Field, field+"."+out[i].Name); ok && (at == "" || at[0] == '.' || at[0] == '[') {
				out[i].Error = out[i].complaint(at, p.Message)
			}
		}
	}
	if len(v) > 0 {
		return body, out, v
	}
	return body, out, nil
}

// complaint is what is wrong at a place within the field.
func (f field) complaint(at, message string) string {
	var n int
	if _, err := fmt.Sscanf(at, "[%d]", &n); err == nil && f.Kind == "list" {
		return fmt.Sprintf("line %d %s", n+1, message)
	}
	return strings.TrimSpace(strings.TrimPrefix(at, ".") + " " + message)
}

// beyond is what is wrong with a form and belongs to none of its fields; at is the object
// that it edits.
func beyond(bad map[string]string, fields []field, at string) string {
	var out []string
	for _, key := range sortedKeys(bad) {
		rest := strings.TrimPrefix(strings.TrimPrefix(key, at), "/")
		name, _, _ := strings.Cut(rest, "/")
		if !slices.ContainsFunc(fields, func(f field) bool { return f.Name == name }) {
			out = append(out, strings.TrimSpace(rest+" "+bad[key]))
		}
	}
	return strings.Join(out, "; ")
}

// json is what was typed into a field as a value of its kind.
func (f field) json() (jsontext.Value, error) {
	switch f.Kind {
	case "bool":
		return jsontext.Value(strconv.FormatBool(f.Value == "true" || f.Value == "on")), nil
	case "number":
		if _, err := strconv.ParseFloat(f.Value, 64); err != nil || !jsontext.Value(f.Value).IsValid() {
			return nil, errors.New("must be a number")
		}
		return jsontext.Value(f.Value), nil
	case "integer":
		n, err := strconv.ParseInt(f.Value, 10, 64)
		if err != nil {
			return nil, errors.New("must be a whole number")
		}
		return jsontext.Value(strconv.FormatInt(n, 10)), nil
	case "json":
		v := jsontext.Value(f.Value)
		if !v.IsValid() {
			return nil, errors.New("must be valid JSON")
		}
		return v, nil
	case "list":
		var lines []string
		for l := range strings.Lines(f.Value) {
			if l = strings.TrimSpace(l); l != "" {
				lines = append(lines, l)
			}
		}
		return json.Marshal(lines)
	case "select":
		// A choice of numbers must come back as a number.
		if v := jsontext.Value(f.Value); v.IsValid() && v.Kind() == '0' && slices.Contains(f.Options, f.Value) {
			return v, nil
		}
	}
	return json.Marshal(f.Value)
}
