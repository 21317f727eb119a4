package partnertest

import (
	"bytes"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// checkSpec checks what the rest of the program takes from a Spec.
func checkSpec(t *testing.T, s partner.Spec) {
	if !regexp.MustCompile(`^[a-z][a-z0-9]{1,31}$`).MatchString(s.Name) {
		t.Errorf("the name %q does not fit into queues, metrics and addresses", s.Name)
	}
	if s.Title == "" || s.About == "" {
		t.Error("Title and About are needed")
	}
	for what, address := range map[string]string{"Docs": s.Docs, "Endpoint": s.Endpoint, "TokenURL": s.TokenURL} {
		if what == "TokenURL" && s.Auth == partner.NoAuth && address == "" {
			continue
		}
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%s is %q, no https address", what, address)
		}
	}
	l := s.Limits
	if l.Items < 1 || l.Bytes < 1 || l.Age <= 0 || l.Timeout <= 0 || l.Linger <= 0 {
		t.Errorf("a limit is missing: %+v", l)
	}
	have := map[string]bool{}
	for _, c := range s.Credentials {
		if c.Title == "" || c.Help == "" || have[c.Name] {
			t.Errorf("the credential %q needs a title, a help and a name of its own", c.Name)
		}
		have[c.Name] = true
	}
	checkAuth(t, s, have)
	if len(s.EventNames) == 0 {
		t.Error("EventNames is empty")
	}
	checkKeys(t, s)
	checkSchema(t, "Settings", s.Settings)
	checkSchema(t, "Params", s.Params)
}

// checkKeys checks what match readiness is made of.
func checkKeys(t *testing.T, s partner.Spec) {
	if len(s.Keys) == 0 || s.Carries == nil {
		t.Error("Keys and Carries are needed, to say how well an event can be matched")
	}
	seen := map[string]bool{}
	for _, k := range s.Keys {
		if !regexp.MustCompile(`^[a-z][a-z0-9_]{1,31}$`).MatchString(k.Name) || k.Title == "" || seen[k.Name] {
			t.Errorf("the key %q needs a title and a short name of its own", k.Name)
		}
		seen[k.Name] = true
	}
}

// checkAuth checks that the credentials fit the kind of Auth.
func checkAuth(t *testing.T, s partner.Spec, have map[string]bool) {
	need := map[partner.Auth][]string{
		partner.NoAuth:          nil,
		partner.RefreshToken:    {partner.ClientID, partner.ClientSecret, partner.RefreshSecret},
		partner.Google:          {partner.ServiceAccount, partner.ClientID, partner.ClientSecret, partner.RefreshSecret},
		partner.SignedAssertion: {partner.ClientID, partner.ClientSecret},
	}
	names, known := need[s.Auth]
	if !known {
		t.Errorf("there is no Auth called %q", s.Auth)
	}
	for _, name := range names {
		if !have[name] {
			t.Errorf("Auth %q needs the credential %s", s.Auth, name)
		}
	}
	for _, c := range s.Credentials {
		if s.Auth == partner.Google && !c.Optional {
			t.Errorf("the credential %s must be optional: there are two ways", c.Name)
		}
	}
	if g := s.Connect; g != nil {
		if s.Auth != partner.RefreshToken && s.Auth != partner.Google {
			t.Errorf("Auth %q has no account to connect", s.Auth)
		}
		if len(g.Scopes) == 0 || !strings.HasPrefix(g.AuthorizeURL, "https://") {
			t.Errorf("Connect is incomplete: %+v", g)
		}
	}
}

func checkSchema(t *testing.T, what string, raw []byte) {
	t.Helper()
	schema := compile(t, what, raw)
	if schema == nil {
		return
	}
	var doc struct {
		Schema     string           `json:"$schema"`
		Additional *bool            `json:"additionalProperties"`
		Examples   []any            `json:"examples"`
		Properties map[string]field `json:"properties"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !strings.Contains(doc.Schema, "2020-12") {
		t.Errorf("%s is not of draft 2020-12", what)
	}
	if doc.Additional == nil || *doc.Additional {
		t.Errorf("%s takes unknown members", what)
	}
	for name, f := range doc.Properties {
		if f.Title == "" || f.Description == "" || len(f.Examples) == 0 {
			t.Errorf("%s.%s needs a title, a description and an example", what, name)
		}
		if f.Additional != nil && f.Type != "object" {
			t.Errorf("%s.%s is no object", what, name)
		}
		values := f.Examples
		if f.Default != nil {
			values = append(values, f.Default)
		}
		for _, v := range values {
			if err := schema.Properties[name].Validate(v); err != nil {
				t.Errorf("%s.%s: its example %v is not valid: %v", what, name, v, err)
			}
		}
	}
	for _, v := range doc.Examples {
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: an example is not valid: %v", what, err)
		}
	}
}

type field struct {
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Examples    []any  `json:"examples"`
	Default     any    `json:"default"`
	Additional  any    `json:"additionalProperties"`
}

func compile(t *testing.T, what string, raw []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return nil
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///"+what, doc); err != nil {
		t.Errorf("%s: %v", what, err)
		return nil
	}
	s, err := c.Compile("mem:///" + what)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return nil
	}
	return s
}

// checkBase checks that the case everything starts from is one that the
// console would take.
func checkBase(t *testing.T, a partner.Adapter, b partner.Batch) {
	spec, d := a.Spec(), b.Deliveries[0]
	validate(t, "Params", spec.Params, d.Params)
	if len(b.Settings) > 0 {
		validate(t, "Settings", spec.Settings, b.Settings)
	}
	if d.Permission != event.Allowed || d.Partner != spec.Name {
		t.Errorf("the base's delivery is for %q with permission %q", d.Partner, d.Permission)
	}
}

func validate(t *testing.T, what string, schema, raw []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if s := compile(t, what, schema); s != nil {
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
