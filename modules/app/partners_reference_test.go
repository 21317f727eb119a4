package app

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const partnersReference = "../../docs/reference/partners.md"

// TestTheReferenceOfPartners holds docs/reference/partners.md to what the adapters
// declare, of which the console makes its forms. `make reference` writes it anew.
func TestTheReferenceOfPartners(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# The partners' forms

<!-- Written by make reference from the adapters' declarations, of which the console makes its forms; a test compares. -->

What the console asks for: credentials and settings once for a partner (Partners → the partner), parameters for each route of a pixel
(Pixels → the pixel → Routes). The API takes the names of the second column. [docs/partners](../partners/README.md) has where each comes from.
`)
	for _, a := range Adapters() {
		s := a.Spec()
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.Title, s.About)
		if len(s.Credentials) > 0 {
			b.WriteString("\n### Credentials\n\n| field | name | |\n|---|---|---|\n")
			for _, c := range s.Credentials {
				help := c.Help
				if c.Optional {
					help += " *Optional.*"
				}
				fmt.Fprintf(&b, "| %s | `%s` | %s |\n", c.Title, c.Name, cell(help))
			}
		}
		for _, part := range []struct {
			title  string
			schema []byte
		}{{"Settings", s.Settings}, {"A route's parameters", s.Params}} {
			rows := schemaRows(t, part.schema)
			if len(rows) > 0 {
				fmt.Fprintf(&b, "\n### %s\n\n| field | name | default | |\n|---|---|---|---|\n%s", part.title, strings.Join(rows, ""))
			}
		}
	}
	if *update {
		if err := os.WriteFile(partnersReference, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(partnersReference); err != nil || string(got) != b.String() {
		t.Errorf("%s is not what the adapters say: run `make reference`, and read the difference (%v)", partnersReference, err)
	}
}

// schemaRows are a form's fields, in the schema's order, which JSON read as YAML keeps.
func schemaRows(t *testing.T, schema []byte) (rows []string) {
	t.Helper()
	var doc struct {
		Required   []string  `yaml:"required"`
		Properties yaml.Node `yaml:"properties"`
	}
	if err := yaml.Unmarshal(schema, &doc); err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{}
	for _, r := range doc.Required {
		needed[r] = true
	}
	for i := 0; i+1 < len(doc.Properties.Content); i += 2 {
		name := doc.Properties.Content[i].Value
		var p struct {
			Title, Description string
			Default            yaml.Node
			Enum               []string
		}
		if err := doc.Properties.Content[i+1].Decode(&p); err != nil {
			t.Fatal(err)
		}
		text := p.Description
		if needed[name] {
			text = "**Needed.** " + text
		}
		if len(p.Enum) > 0 {
			text += " *One of `" + strings.Join(p.Enum, "`, `") + "`.*"
		}
		def := ""
		if p.Default.Kind == yaml.ScalarNode && p.Default.Value != "" {
			def = "`" + p.Default.Value + "`"
		}
		rows = append(rows, fmt.Sprintf("| %s | `%s` | %s | %s |\n", cell(p.Title), name, def, cell(text)))
	}
	return rows
}

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(s), "\n", " "), "|", `\|`)
}
