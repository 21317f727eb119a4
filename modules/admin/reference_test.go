package admin

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write docs/reference/api.md anew")

const apiReference = "../../docs/reference/api.md"

// TestTheReferenceOfTheAPI holds docs/reference/api.md to openapi.yaml, which
// another test holds to what is served. `make reference` writes it anew.
func TestTheReferenceOfTheAPI(t *testing.T) {
	var doc struct {
		Info struct {
			Description string `yaml:"description"`
		} `yaml:"info"`
		Paths      yaml.Node            `yaml:"paths"`
		Components map[string]yaml.Node `yaml:"components"`
	}
	must(t, yaml.Unmarshal(openapi, &doc))
	s := &shapes{components: doc.Components}
	var b strings.Builder
	fmt.Fprintf(&b, `# The console's API

<!-- Written by make reference from modules/admin/openapi.yaml; a test compares. -->

A running console serves the whole document, with every answer's schema, under `+"`/api/openapi.yaml`"+`.
This page lists its calls.

%s
`, strings.TrimSpace(doc.Info.Description))
	group := ""
	for i := 0; i < len(doc.Paths.Content); i += 2 {
		path, methods := doc.Paths.Content[i].Value, doc.Paths.Content[i+1]
		if g := groupOf(path); g != group {
			group = g
			fmt.Fprintf(&b, "\n## %s\n", g)
		}
		shared := child(methods, "parameters")
		for j := 0; j < len(methods.Content); j += 2 {
			method, op := methods.Content[j].Value, methods.Content[j+1]
			if method == "parameters" {
				continue
			}
			fmt.Fprintf(&b, "\n### `%s %s`\n\n%s.", strings.ToUpper(method), path, scalar(op, "summary"))
			if d := scalar(op, "description"); d != "" {
				fmt.Fprintf(&b, " %s", strings.TrimSpace(d))
			}
			role := scalar(op, "x-role")
			if role == "" {
				role = "anybody"
			}
			fmt.Fprintf(&b, " *For: %s.*\n", role)
			var rows []string
			for _, list := range []*yaml.Node{shared, child(op, "parameters")} {
				if list == nil {
					continue
				}
				for _, p := range list.Content {
					rows = append(rows, s.parameter(p))
				}
			}
			if body := child(op, "requestBody"); body != nil {
				rows = append(rows, s.body(body)...)
			}
			if len(rows) > 0 {
				fmt.Fprintf(&b, "\n| | in | kind | |\n|---|---|---|---|\n%s", strings.Join(rows, ""))
			}
		}
	}
	if *update {
		must(t, os.WriteFile(apiReference, []byte(b.String()), 0o644))
		return
	}
	got, err := os.ReadFile(apiReference)
	if err != nil || string(got) != b.String() {
		t.Errorf("%s is not what openapi.yaml says: run `make reference`, and read the difference (%v)", apiReference, err)
	}
}

// groupOf is the first word of a call's path: what it is about.
func groupOf(path string) string {
	rest, found := strings.CutPrefix(path, "/api/v1/")
	if !found {
		return "The document"
	}
	word, _, _ := strings.Cut(rest, "/")
	return strings.ToUpper(word[:1]) + word[1:]
}

func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func scalar(n *yaml.Node, key string) string {
	if c := child(n, key); c != nil {
		return c.Value
	}
	return ""
}

// shapes follows references into the document's components.
type shapes struct{ components map[string]yaml.Node }

func (s *shapes) follow(n *yaml.Node) *yaml.Node {
	for range 5 {
		ref := scalar(n, "$ref")
		parts := strings.Split(ref, "/") // #/components/KIND/NAME
		if len(parts) != 4 {
			return n
		}
		kind := s.components[parts[2]]
		n = child(&kind, parts[3])
	}
	return n
}

func (s *shapes) parameter(n *yaml.Node) string {
	n = s.follow(n)
	schema := s.follow(child(n, "schema"))
	d := scalar(n, "description")
	if d == "" {
		d = scalar(schema, "description")
	}
	return row(scalar(n, "name"), scalar(n, "in"), s.kind(schema), d, scalar(n, "required") == "true" && scalar(n, "in") != "path")
}

// body lists the members of a request's JSON.
func (s *shapes) body(n *yaml.Node) (rows []string) {
	n = s.follow(n)
	media := child(n, "content")
	if media == nil || len(media.Content) < 2 {
		return nil
	}
	schema := s.follow(child(media.Content[1], "schema"))
	if scalar(schema, "type") == "array" {
		schema = s.follow(child(schema, "items"))
		rows = append(rows, row("(a list of)", "body", "object", scalar(schema, "description"), false))
	}
	required := map[string]bool{}
	if list := child(schema, "required"); list != nil {
		for _, r := range list.Content {
			required[r.Value] = true
		}
	}
	for _, part := range s.parts(schema) {
		properties := child(part, "properties")
		for i := 0; properties != nil && i+1 < len(properties.Content); i += 2 {
			p := s.follow(properties.Content[i+1])
			if scalar(p, "readOnly") == "true" {
				continue
			}
			d := scalar(properties.Content[i+1], "description")
			if d == "" {
				d = scalar(p, "description")
			}
			rows = append(rows, row(properties.Content[i].Value, "body", s.kind(p), d, required[properties.Content[i].Value]))
		}
	}
	return rows
}

// parts are a schema and what it is put together from.
func (s *shapes) parts(schema *yaml.Node) []*yaml.Node {
	list := []*yaml.Node{schema}
	if all := child(schema, "allOf"); all != nil {
		for _, p := range all.Content {
			list = append(list, s.follow(p))
		}
	}
	return list
}

func (s *shapes) kind(schema *yaml.Node) string {
	if enum := child(schema, "enum"); enum != nil {
		words := make([]string, len(enum.Content))
		for i, e := range enum.Content {
			words[i] = "`" + e.Value + "`"
		}
		return strings.Join(words, ", ")
	}
	kind := scalar(schema, "type")
	if list := child(schema, "type"); list != nil && list.Kind == yaml.SequenceNode {
		words := make([]string, len(list.Content))
		for i, e := range list.Content {
			words[i] = e.Value
		}
		kind = strings.Join(words, " or ")
	}
	if kind == "array" {
		return "list of " + s.kind(s.follow(child(schema, "items")))
	}
	if f := scalar(schema, "format"); f != "" {
		return f
	}
	return kind
}

func row(name, in, kind, description string, required bool) string {
	if required {
		description = strings.TrimSpace("**needed** " + description)
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, in, kind, strings.ReplaceAll(strings.ReplaceAll(description, "\n", " "), "|", `\|`))
}
