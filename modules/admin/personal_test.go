package admin

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// overheard is a log that can be read while it is written.
type overheard struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *overheard) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// Whatever people type into the console, its API is asked, or their identity provider says of
// them, each by its own mark: none of it is in the log, the metrics or the spans. Some of it is
// kept, as who may sign in is; but where operators look, nobody is named.
func TestNothingPersonalOfWhatIsTypedIsWrittenDown(t *testing.T) {
	var log overheard
	spans, reg := tracetest.NewInMemoryExporter(), prometheus.NewRegistry()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	n := 0
	mark := func() string { n++; return fmt.Sprintf("zqtyped%03d@nowhere.example", n) }

	p := newProvider(t)
	b := p.console(overHTTP, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Tracer, o.Metrics = tp.Tracer("console"), reg
	})
	b.server = httptest.NewServer(b.Handler()) // what is sent here follows no contract
	t.Cleanup(b.server.Close)

	// The identity provider: who is let in, who is not, what is wrong, and what it complains of.
	for _, says := range []map[string]any{
		{"email": mark(), "name": mark(), "sub": mark(), "preferred_username": mark()},
		{"email": mark(), "sub": mark(), "groups": []string{mark()}},
		{"email": mark(), "sub": mark(), "email_verified": false},
		{"email": mark(), "sub": mark(), "aud": mark()},
		{"email": mark(), "sub": mark(), "iss": "https://" + mark()},
		{"email": mark(), "sub": mark(), "nonce": mark()},
	} {
		p.mu.Lock()
		p.says = says
		p.mu.Unlock()
		b.browser().by(p, "/events?q="+url.QueryEscape(mark()))
	}
	w := b.browser()
	at, err := url.Parse(w.away("/" + mark()))
	must(t, err)
	w.get("/login/sso/back?" + url.Values{"state": {at.Query().Get("state")}, "error": {mark()}, "error_description": {mark()}, "code": {mark()}}.Encode())
	w.get("/login/sso/back?" + url.Values{"state": {mark()}, "code": {mark()}}.Encode())
	// Signing in, by names and passwords that are none.
	for range 3 {
		w.post("/login", url.Values{"login": {mark()}, "password": {mark()}, "next": {mark()}})
	}
	w.get("/welcome?token=" + mark())

	// Every page, form and call that there is.
	fields := []string{"q", "id", "name", "email", "phone", "login", "user_id", "anonymous_id", "note", "reason", "filter", "where", "when", "value", "cursor", "since", "until", "contains",
		"password", "code", "identifiers", "advertiser", "pixel_id", "event", "edit", "text", "url", "domain", "domains", "params", "body", "path", "title", "next", "group_by", "metric"}
	admin := b.as(Administrator)
	asked := map[int]int{}
	for _, r := range b.Admin.echo.Router().Routes() {
		if strings.Contains(r.Path, "live") || strings.Contains(r.Path, "logout") || strings.Contains(r.Path, "sessions") || strings.Contains(r.Path, "/account") {
			continue // a stream, and what would sign us out
		}
		path := r.Path
		for strings.Contains(path, ":") {
			from := strings.Index(path, ":")
			to := from + strings.IndexByte(path[from:]+"/", '/')
			path = path[:from] + url.PathEscape(mark()) + path[to:]
		}
		path = strings.ReplaceAll(path, "*", url.PathEscape(mark()))
		form, object := url.Values{}, map[string]any{}
		for _, f := range fields {
			form.Set(f, mark())
			object[f] = mark()
		}
		body, err := json.Marshal(object)
		must(t, err)
		bodies := map[string]string{"application/x-www-form-urlencoded": form.Encode(), "application/json": string(body), "application/json; half": string(body[:len(body)/2])}
		for kind, text := range bodies {
			if r.Method == http.MethodGet && kind != "application/x-www-form-urlencoded" {
				continue
			}
			q := "?" + form.Encode()
			req, err := http.NewRequest(r.Method, b.server.URL+path+q, strings.NewReader(text))
			must(t, err)
			req.Header.Set("Content-Type", strings.TrimSuffix(kind, "; half"))
			req.Header.Set("User-Agent", mark())
			req.Header.Set("X-Forwarded-For", mark())
			req.Header.Set("Traceparent", mark())
			if strings.HasPrefix(r.Path, base) {
				req.Header.Set("Authorization", "Bearer "+adminToken)
			}
			resp, err := admin.client.Do(req)
			must(t, err)
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
			resp.Body.Close()
			asked[resp.StatusCode/100]++
		}
	}
	// And what is right: it is done, with the marks in it.
	visitor := mark()
	for _, x := range []struct {
		method, path string
		body         map[string]any
		want         int
	}{
		{post, "/users", map[string]any{"login": mark(), "role": "viewer"}, 201},
		{post, "/erasures", map[string]any{"identifiers": []any{map[string]any{"kind": "email", "value": visitor}}, "note": "as asked"}, 202},
		{get, "/identities/" + url.PathEscape(visitor), nil, 404},
		{get, "/events?q=" + url.QueryEscape(mark()), nil, 200},
		{post, "/pixels", map[string]any{"id": "px_typed", "name": mark(), "advertiser": mark()}, 201},
		{put, "/pixels/px_typed/routes", map[string]any{"x": mark()}, 400},
		{post, "/routes/check", map[string]any{"when": `email == "` + mark() + `" &&`}, 0},
	} {
		if got := b.call(adminToken, x.method, base+x.path, x.body); x.want != 0 && got.status != x.want {
			t.Errorf("%s %s: %d %.200s", x.method, x.path, got.status, got.body)
		}
	}
	if asked[2] < 20 || asked[3] < 5 || asked[4] < 40 {
		t.Errorf("too little was asked to tell anything: %v", asked)
	}
	if asked[5] > 0 {
		t.Errorf("%d were answered as if it were our fault", asked[5])
	}

	look := func(where, text string) {
		lower := strings.ToLower(text)
		if i := strings.Index(lower, "zqtyped"); i >= 0 {
			t.Errorf("%s: …%.300q", where, text[max(0, i-150):min(len(text), i+150)])
		}
	}
	log.mu.Lock()
	look("the log", log.buf.String())
	log.mu.Unlock()
	seen := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(seen, httptest.NewRequest("GET", "/", nil))
	if seen.Body.Len() < 500 {
		t.Error("no metrics")
	}
	look("the metrics", seen.Body.String())
	got := spans.GetSpans()
	if len(got) < 100 {
		t.Errorf("%d spans", len(got))
	}
	for _, s := range got {
		text := s.Name + " " + s.Status.Description
		for _, a := range s.Attributes {
			text += " " + string(a.Key) + "=" + a.Value.Emit()
		}
		for _, e := range s.Events {
			text += fmt.Sprint(e)
		}
		look("a span", text)
	}
	t.Logf("%d marks in %v requests by status; %d bytes of log, %d spans", n, asked, log.buf.Len(), len(got))
}
