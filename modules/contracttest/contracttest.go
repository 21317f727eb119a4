// Package contracttest holds what is said over HTTP against an OpenAPI document.
// It promises that a request which is taken has the form that the document
// describes, that each answer has it too and no member more, and that an address
// or a method which the document does not know is refused in its own form. It
// remembers what was asked, so that a test can say what was not.
package contracttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"go.yaml.in/yaml/v3"
)

// files are the kinds of answers that are no JSON: only that they are what they
// are said to be is held against the document.
var files = []string{"text/event-stream", "text/csv", "application/vnd.apache.parquet", "application/yaml"}

// Contract is one document and what was asked of it.
type Contract struct {
	t      testing.TB
	doc    *openapi3.T
	router routers.Router

	mu    sync.Mutex
	asked map[string]bool // "GET /api/v1/pixels 200"
}

// Read takes a document, and fails the test where that itself breaks the rules of
// OpenAPI. Objects with named members are taken as closed: what an answer has and
// the document does not is an error.
func Read(t testing.TB, document []byte) *Contract {
	t.Helper()
	var tree yaml.Node
	fatal(t, yaml.Unmarshal(document, &tree))
	closeObjects(&tree, false)
	closed, err := yaml.Marshal(&tree)
	fatal(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(closed)
	fatal(t, err)
	doc.Servers = nil // any host will do
	fatal(t, doc.Validate(t.Context()))
	router, err := legacy.NewRouter(doc)
	fatal(t, err)
	for _, kind := range files {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
	return &Contract{t: t, doc: doc, router: router, asked: map[string]bool{}}
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("the document: %v", err)
	}
}

// closeObjects adds "unevaluatedProperties: false" to each schema with properties
// that is not part of another's allOf and does not say itself what more it takes.
func closeObjects(n *yaml.Node, part bool) {
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			closeObjects(c, part)
		}
		return
	}
	has := map[string]*yaml.Node{}
	for i := 0; i < len(n.Content); i += 2 {
		has[n.Content[i].Value] = n.Content[i+1]
	}
	for name, v := range has {
		// List is only ever a part: of the lists of something.
		closeObjects(v, name == "allOf" || name == "List")
	}
	object := has["properties"] != nil && has["properties"].Kind == yaml.MappingNode && (has["type"] != nil && has["type"].Value == "object" || has["allOf"] != nil)
	if object && !part && has["additionalProperties"] == nil {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "unevaluatedProperties"}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"})
	}
}

// exchange is a request and its answer, read whole.
type exchange struct {
	r       *http.Request
	sent    []byte
	status  int
	header  http.Header
	answer  []byte
	partial bool // a stream, of which this is the beginning
}

// check holds an exchange against the document.
func (c *Contract) check(x exchange) {
	if !strings.HasPrefix(x.r.URL.Path, "/api/") || x.r.Method == http.MethodHead || x.r.Method == http.MethodOptions {
		return
	}
	if x.r.Context().Err() != nil && len(x.answer) == 0 {
		return // whoever asked went on to another page
	}
	what := fmt.Sprintf("%s %s: %d", x.r.Method, x.r.URL.Path, x.status)
	r := x.r.Clone(context.WithoutCancel(x.r.Context()))
	r.URL = &url.URL{Path: x.r.URL.EscapedPath(), RawQuery: said(x.r.URL.Query())} // a slash in an id is none of the path's
	r.Body = io.NopCloser(bytes.NewReader(x.sent))
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		c.unknown(what, x)
		return
	}
	key := route.Method + " " + route.Path + " " + strconv.Itoa(x.status)
	c.mu.Lock()
	c.asked[key] = true
	c.mu.Unlock()
	options := &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true,
		RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true, ExcludeRequestQueryParams: false,
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if x.status < 300 {
		if route.Operation.Responses.Status(x.status) == nil {
			c.t.Errorf("%s is an answer that the document does not have", what)
			return
		}
		if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
			c.t.Errorf("%s, though the request is not as the document has it: %s\nsent %s", what, brief(err), head(x.sent))
		}
	}
	if len(x.answer) == 0 && x.status != http.StatusNoContent && !x.partial && x.status < 300 {
		c.t.Errorf("%s without a body", what)
	}
	out := (&openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: x.status, Header: x.header, Options: options}).SetBodyBytes(x.answer)
	if err := openapi3filter.ValidateResponse(r.Context(), out); err != nil {
		c.t.Errorf("%s, which is not as the document has it: %s\nanswered %s", what, brief(err), head(x.answer))
	}
}

// unknown is what must be answered where the document has no such operation.
func (c *Contract) unknown(what string, x exchange) {
	var methods []string
	if item := c.doc.Paths.Find(c.pathOf(x.r)); item != nil {
		methods = slices.Sorted(maps.Keys(item.Operations()))
	}
	want := http.StatusNotFound
	if methods != nil {
		want = http.StatusMethodNotAllowed
	}
	if x.status != want {
		c.t.Errorf("%s; the document has no such operation, so it must be %d", what, want)
		return
	}
	for _, m := range methods {
		if !slices.Contains(strings.Split(x.header.Get("Allow"), ", "), m) {
			c.t.Errorf("%s: Allow is %q and lacks %s", what, x.header.Get("Allow"), m)
		}
	}
	if kind := x.header.Get("Content-Type"); kind != "application/problem+json" {
		c.t.Errorf("%s as %s, not as application/problem+json", what, kind)
	}
	var body any
	if err := yaml.Unmarshal(x.answer, &body); err != nil {
		c.t.Errorf("%s: %v", what, err)
		return
	}
	if err := c.doc.Components.Schemas["Problem"].Value.VisitJSON(body, openapi3.EnableJSONSchema2020()); err != nil {
		c.t.Errorf("%s, which is no Problem: %v", what, err)
	}
}

// pathOf is the document's path that an address is of, under whatever method.
func (c *Contract) pathOf(r *http.Request) string {
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method, other.URL = m, &url.URL{Path: r.URL.EscapedPath()}
		if route, _, err := c.router.FindRoute(other); err == nil {
			return route.Path
		}
	}
	return ""
}

// Unasked are the operations of the document, each with every status of success
// that it has, which nobody asked.
func (c *Contract) Unasked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				if key := method + " " + path + " " + status; status != "default" && !c.asked[key] {
					out = append(out, key)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// Operations are the document's, as "GET /api/v1/pixels/{id}".
func (c *Contract) Operations() []string {
	var out []string
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			out = append(out, method+" "+path)
		}
	}
	slices.Sort(out)
	return out
}

// TakesBody says whether an operation, "POST /api/v1/pixels", takes one.
func (c *Contract) TakesBody(operation string) bool {
	method, path, _ := strings.Cut(operation, " ")
	op := c.doc.Paths.Find(path).GetOperation(method)
	return op != nil && op.RequestBody != nil
}

// said are the parameters that have a value: one without is as if it were left out.
func said(q url.Values) string {
	for name, values := range q {
		if values = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(values) == 0 {
			delete(q, name)
		} else {
			q[name] = values
		}
	}
	return q.Encode()
}

func brief(err error) string { return head([]byte(err.Error())) }

func head(b []byte) string {
	if len(b) > 1200 {
		return string(b[:1200]) + "…"
	}
	return string(b)
}
