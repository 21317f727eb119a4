package admin

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type document struct {
	Paths map[string]map[string]yaml.Node `yaml:"paths"`
}

// described are the operations of openapi.yaml, "GET /api/v1/pixels/:id", with
// the role that each says it needs.
func described(t *testing.T) map[string]Role {
	t.Helper()
	var d document
	must(t, yaml.Unmarshal(openapi, &d))
	param := regexp.MustCompile(`\{(\w+)\}`)
	out := map[string]Role{}
	for path, methods := range d.Paths {
		for method, node := range methods {
			if method == "parameters" {
				continue
			}
			var op struct {
				Role Role `yaml:"x-role"`
			}
			must(t, node.Decode(&op))
			out[strings.ToUpper(method)+" "+param.ReplaceAllString(path, ":$1")] = op.Role
		}
	}
	return out
}

func TestTheDocumentDescribesWhatIsServed(t *testing.T) {
	b := open(t)
	says := described(t)
	served := map[string]bool{}
	for _, r := range b.api() {
		key := r.method + " " + r.path
		served[key] = true
		role, there := says[key]
		if !there {
			t.Errorf("openapi.yaml omits %s", key)
		} else if role != r.need {
			t.Errorf("%s needs %q; openapi.yaml says %q", key, r.need, role)
		}
	}
	for key := range says {
		if !served[key] {
			t.Errorf("openapi.yaml has %s, which is not served", key)
		}
	}
	if len(served) < 30 {
		t.Fatalf("only %d routes", len(served))
	}
}

func TestReferencesOfTheDocumentLeadSomewhere(t *testing.T) {
	var d map[string]any
	must(t, yaml.Unmarshal(openapi, &d))
	refs := regexp.MustCompile(`\$ref: "#/([^"]+)"`).FindAllStringSubmatch(string(openapi), -1)
	if len(refs) == 0 {
		t.Fatal("no reference found")
	}
	for _, m := range refs {
		var at any = d
		for part := range strings.SplitSeq(m[1], "/") {
			next, ok := at.(map[string]any)
			if !ok || next[part] == nil {
				t.Errorf("#/%s leads nowhere", m[1])
				break
			}
			at = next[part]
		}
	}
}

// parameters that handlers read must be in the document, and the other way
// round: a client made from it must be able to ask everything.
func TestParametersOfTheDocumentAreTaken(t *testing.T) {
	b := open(t)
	var d struct {
		Paths map[string]map[string]struct {
			Parameters []map[string]any `yaml:"parameters"`
		} `yaml:"paths"`
		Components struct {
			Parameters map[string]map[string]any `yaml:"parameters"`
		} `yaml:"components"`
	}
	// Path items hold lists beside operations; those are read by name below.
	_ = yaml.Unmarshal(openapi, &d)
	tried := 0
	for path, item := range d.Paths {
		op, ok := item["get"]
		if !ok || strings.Contains(path, "{") || strings.HasSuffix(path, "/live") {
			continue
		}
		for _, p := range op.Parameters {
			if ref, ok := p["$ref"].(string); ok {
				p = d.Components.Parameters[ref[strings.LastIndex(ref, "/")+1:]]
			}
			name := p["name"].(string)
			if name == "where" { // an object, whose members are parameters
				name = "not.country"
			}
			got := b.call(adminToken, get, path+"?"+name+"=", nil)
			tried++
			if strings.Contains(got.body, "is not a parameter of this call") {
				t.Errorf("%s does not take %s", path, name)
			}
		}
		if got := b.call(adminToken, get, path+"?mistyped=1", nil); len(op.Parameters) > 0 && got.status != 400 {
			t.Errorf("%s takes a parameter that nobody knows: %d", path, got.status)
		}
	}
	if tried < 30 {
		t.Errorf("only %d parameters tried", tried)
	}
}

func TestUnknownRoutesAndMethodsAreAnsweredProperly(t *testing.T) {
	b := open(t)
	got := b.call(adminToken, get, base+"/nothing", nil)
	if got.status != 404 || got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = b.call(adminToken, "PUT", base+"/pixels", nil)
	if got.status != 405 || !slices.Contains(strings.Split(got.header.Get("Allow"), ", "), "POST") {
		t.Errorf("%d Allow %q", got.status, got.header.Get("Allow"))
	}
}
