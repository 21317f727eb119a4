package cli_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/miq/pixel/modules/app"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/sandbox"
	"github.com/miq/pixel/sdk"
)

// span is one that arrived, and of which process.
type span struct {
	name, trace, id, parent, role string
	attributes                    map[string]string
}

// receiver takes spans as any OpenTelemetry Collector does: OTLP over HTTP.
type receiver struct {
	mu    sync.Mutex
	spans []span
	raw   bytes.Buffer
	bad   error
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var x collect.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &x)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.bad = err
	}
	r.raw.Write(body)
	for _, resource := range x.ResourceSpans {
		role := ""
		for _, a := range resource.Resource.GetAttributes() {
			if a.Key == "service.instance.role" {
				role = a.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				one := span{s.Name, hex.EncodeToString(s.TraceId), hex.EncodeToString(s.SpanId), hex.EncodeToString(s.ParentSpanId), role, map[string]string{}}
				for _, a := range s.Attributes {
					one.attributes[a.Key] = a.Value.GetStringValue()
					if a.Value.GetStringValue() == "" {
						one.attributes[a.Key] = fmt.Sprint(a.Value.GetIntValue())
					}
				}
				r.spans = append(r.spans, one)
			}
		}
	}
}

// of finds a trace's span by its name.
func (r *receiver) of(trace, name string) (span, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad != nil {
		return span{}, r.bad
	}
	for _, s := range r.spans {
		if s.trace == trace && s.name == name {
			return s, nil
		}
	}
	return span{}, fmt.Errorf("the trace %s has no span %q among %d", trace, name, len(r.spans))
}

// TestOneTraceFromTheTagToThePartnersAnswer follows an order by the trace that the tag began in
// Chromium: through the collector's process, the queues in Redis, and the process of worker
// and dispatcher, to what the partner said.
func TestOneTraceFromTheTagToThePartnersAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes too long for -short")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED: Chromium is not installed, so no trace was begun in a browser (Debian: apt-get install chromium)")
	}
	redis := redistest.StartTCP(t)
	spans := &receiver{}
	otlp := httptest.NewServer(spans)
	t.Cleanup(otlp.Close)
	partners := httptest.NewServer(sandbox.New(app.Adapters()))
	t.Cleanup(partners.Close)
	common := []string{"--redis.url=redis://" + redis.Addr, "--secret_key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"--otel.endpoint=" + otlp.URL, "--otel.sample=0", "--otel.slow=0", "--otel.tag=1"}
	for name, e := range sandbox.Endpoints(partners.URL, app.Adapters()) {
		common = append(common, "--partners."+name+".endpoint="+e.Endpoint)
		if e.TokenURL != "" {
			common = append(common, "--partners."+name+".token_url="+e.TokenURL)
		}
	}
	back := start(t, t.TempDir(), append([]string{"serve", "--role=worker,dispatcher,admin"}, common...)...)
	front := start(t, t.TempDir(), append([]string{"serve", "--role=collector"}, common...)...)
	for _, a := range app.Adapters() {
		if spec := a.Spec(); spec.Name == "ttd" {
			credentials := map[string]string{}
			for _, c := range spec.Credentials {
				if c.Name != partner.ServiceAccount {
					credentials[c.Name] = "test-" + c.Name
				}
			}
			back.api("PATCH", "/partners/ttd", map[string]any{"credentials": credentials}, nil)
		}
	}
	for id, mode := range map[string]string{"px_trace": "implied", "px_asks": "gcm"} {
		back.api("POST", "/pixels", map[string]any{"id": id, "name": id, "enabled": true, "consent_mode": mode, "country": "US", "processing": map[string]any{"automated": "send"},
			"routes": []map[string]any{{"partner": "ttd", "event": "purchase", "enabled": true, "params": map[string]any{"adv": "someadv", "tracker_id": "sometrk"}}}}, nil)
		front.eventually("the collector knows the pixel", func() error {
			resp, err := http.Get(front.collector + "/config/" + id + ".json")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !bytes.Contains(body, []byte(`"trace":1`)) {
				return fmt.Errorf("%d %s", resp.StatusCode, body)
			}
			return nil
		})
	}
	const email = "traced-visitor@example.com"
	buy := `<script>miq("identify",{email:"` + email + `"});miq("track","purchase",{order_id:"T-1",value:5,currency:"USD"})</script>`
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/thanks":
			_, _ = io.WriteString(w, "<!doctype html><title>Thanks</title><body>Thanks"+sdk.Snippet(front.collector, "px_trace")+buy)
		case "/refused":
			_, _ = io.WriteString(w, "<!doctype html><title>No</title><body>No"+sdk.Snippet(front.collector, "px_asks")+`<script>miq("consent",{state:"none"})</script>`+buy+`<script>miq("on","consent",function(){document.body.id="told"})</script>`)
		}
	}))
	t.Cleanup(shop.Close)
	b := browse(t, chromium)

	// Without consent there is no request, so no trace either.
	b.open(t, shop.URL+"/refused")
	b.do(t, chromedp.WaitReady(chromedp.CSS("#told")))
	for _, r := range b.sent() {
		if strings.Contains(r, "traceparent") {
			t.Errorf("a trace was begun without consent: %s", r)
		}
	}

	b.open(t, shop.URL+"/thanks")
	var trace, parent string
	front.eventually("the tag sends", func() error {
		for _, r := range b.sent() {
			if strings.HasPrefix(r, "OPTIONS") {
				t.Fatalf("the browser had to ask first: %s", r)
			}
			if _, said, ok := strings.Cut(r, "/collect?traceparent=00-"); ok && len(said) == 52 {
				trace, parent = said[:32], said[33:49]
				return nil
			}
		}
		return fmt.Errorf("%v", b.sent())
	})
	var path [4]span
	for i, name := range []string{"tag", "POST /collect", "process purchase", "deliver ttd"} {
		back.eventually("the span "+name+" arrived", func() (err error) {
			path[i], err = spans.of(trace, name)
			return err
		})
	}
	if path[0].id != parent || path[0].parent != "" {
		t.Errorf("the tag's span is %+v; the request said %s", path[0], parent)
	}
	for i, s := range path[1:] {
		if s.parent != path[i].id {
			t.Errorf("%q is not below %q: %s, %s", s.name, path[i].name, s.parent, path[i].id)
		}
	}
	if path[1].role != "collector" || path[2].role != "worker,dispatcher,admin" || path[2].attributes["outcome"] == "" {
		t.Errorf("the processes: %+v", path)
	}
	if got := path[3].attributes; got["outcome"] != "accepted" || got["http.response.status_code"] != "200" || got["event.id"] != path[2].attributes["event.id"] {
		t.Errorf("what the partner said: %v", got)
	}
	t.Logf("one trace, %s: tag, collector (%s), worker and dispatcher (%s), answered %s", trace, path[1].role, path[3].role, path[3].attributes["http.response.status_code"])
	anonymous, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`localStorage.getItem("_miq")`))
	if err != nil || anonymous == "" {
		t.Errorf("the visitor has the id %q (%v)", anonymous, err)
	}
	spans.mu.Lock()
	defer spans.mu.Unlock()
	for _, personal := range []string{email, "traced-visitor", anonymous, "T-1", "127.0.0.1"} {
		if bytes.Contains(spans.raw.Bytes(), []byte(personal)) {
			t.Errorf("the spans hold %q", personal)
		}
	}
}
