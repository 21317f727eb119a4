package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/collector"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ops"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/sandbox"
	"github.com/miq/pixel/modules/settings"
)

// journey is a whole program with partners that are imitated.
type journey struct {
	t        *testing.T
	base     string
	partners *sandbox.Server
	spans    *tracetest.InMemoryExporter
	logs     *said

	settings  *settings.Store
	collector *collector.Collector
	ops       *ops.Ops
	events    analytics.Reader
	archive   archive.Archive
	queues    queue.Inspector
}

// said is a log.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// begin starts one with a pixel and partners.
func begin(t *testing.T, flags map[string]string, extra ...fx.Option) *journey {
	t.Helper()
	j := resume(t, flags, extra...)
	j.seed()
	return j
}

// resume starts one on what is there.
func resume(t *testing.T, flags map[string]string, extra ...fx.Option) *journey {
	t.Helper()
	j := &journey{t: t, partners: sandbox.New(Adapters()), spans: tracetest.NewInMemoryExporter(), logs: &said{}}
	site := httptest.NewServer(j.partners)
	t.Cleanup(site.Close)
	for name, a := range sandbox.Endpoints(site.URL, Adapters()) {
		flags["partners."+name+".endpoint"] = a.Endpoint
		if a.TokenURL != "" {
			flags["partners."+name+".token_url"] = a.TokenURL
		}
	}
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(j.spans))
	a := fxtest.New(t,
		options(settingsFor(t, flags), slog.New(slog.NewTextHandler(j.logs, &slog.HandlerOptions{Level: slog.LevelDebug})), io.Discard),
		fx.Decorate(func() trace.TracerProvider { return traces }),
		fx.Populate(&j.settings, &j.collector, &j.ops, &j.events, &j.archive, &j.queues),
		fx.Options(extra...),
	)
	a.RequireStart()
	t.Cleanup(a.RequireStop)
	j.base = "http://" + j.collector.Addr()
	return j
}

func (j *journey) seed() {
	j.t.Helper()
	_, err := j.settings.SavePixel(j.t.Context(), settings.Pixel{
		ID: "px_1", Name: "Shop", Enabled: true, ConsentMode: settings.CMP, Country: "US",
		Routes: []settings.Route{
			{Partner: "ttd", Event: "purchase", Enabled: true, Params: jsontext.Value(`{"adv":"adv1","tracker_id":"trk1"}`)},
			{Partner: "amazon", Event: "purchase", Enabled: true, Params: jsontext.Value(`{"account_id":"1234567890"}`)},
		},
	})
	if err != nil {
		j.t.Fatal(err)
	}
	p := j.settings.Partner("amazon")
	if err := j.settings.SealCredentials(&p, "", map[string]string{"client_id": "c", "client_secret": "s", "refresh_token": "r"}); err != nil {
		j.t.Fatal(err)
	}
	if _, err := j.settings.SavePartner(j.t.Context(), p); err != nil {
		j.t.Fatal(err)
	}
}

const (
	optedIn  = `{"gdpr_applies":false,"us_privacy":"1YNN","state":"full"}`
	optedOut = `{"gdpr_applies":false,"us_privacy":"1YYN","state":"full"}`
	refused  = `{"gdpr_applies":true,"state":"full"}`
)

// post sends one purchase and returns the status of its event.
func (j *journey) post(id, consent string) string {
	j.t.Helper()
	body := fmt.Sprintf(`{"pixel_id":"px_1","sent_at":%[1]q,"consent":%[2]s,
		"identity":{"anonymous_id":"anon-1","email":"Ada@Example.com ","click_ids":{"gclid":"g1"}},
		"context":{"page":{"url":"https://shop.example.com/thanks?utm_source=news&utm_medium=email&utm_campaign=spring","referrer":"https://www.google.com/"},"locale":"en-US"},
		"events":[{"id":%[3]q,"name":"purchase","time":%[1]q,"properties":{"order_id":"order-%[3]s","value":249.95,"currency":"USD","items":[{"item_id":"SKU1","price":249.95,"quantity":1}]}}]}`,
		time.Now().UTC().Format(time.RFC3339Nano), consent, id)
	req, err := http.NewRequest(http.MethodPost, j.base+"/collect", strings.NewReader(body))
	if err != nil {
		j.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		j.t.Fatal(err)
	}
	defer resp.Body.Close()
	out, _ := io.ReadAll(resp.Body)
	var answer struct {
		Results []struct{ Status string }
	}
	if err := json.Unmarshal(out, &answer); err != nil || len(answer.Results) != 1 {
		j.t.Fatalf("/collect answers %d %s", resp.StatusCode, out)
	}
	return answer.Results[0].Status
}

// settled waits until an event has a line of the sync log for each partner that
// is final, and returns them by partner.
func (j *journey) settled(id string) map[string]event.Sync {
	j.t.Helper()
	var last map[string]event.Sync
	ctx, cancel := context.WithTimeout(j.t.Context(), 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		page, err := j.events.Syncs(ctx, analytics.SyncFilter{EventID: id})
		if err != nil {
			j.t.Fatalf("%s is not settled: %v (so far %+v)", id, err, last)
		}
		last = map[string]event.Sync{}
		for _, s := range page.Syncs {
			if s.Outcome != event.Retry {
				last[s.Partner] = s
			}
		}
		if len(last) == 2 {
			return last
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (j *journey) delivered(partner, id string) bool {
	return slices.ContainsFunc(j.partners.Received(partner), func(e sandbox.Entry) bool {
		return slices.Contains(e.EventIDs, id) || slices.Contains(e.OrderIDs, "order-"+id)
	})
}

func TestOneEventAllTheWay(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { oneEventAllTheWay(t, map[string]string{}) })
	t.Run("redis", func(t *testing.T) {
		server := redistest.Start(t)
		oneEventAllTheWay(t, map[string]string{"redis.url": "unix://" + server.Addr, "secret_key": someKey})
	})
}

func oneEventAllTheWay(t *testing.T, flags map[string]string) {
	j := begin(t, flags)

	if status := j.post("e1", optedIn); status != "accepted" {
		t.Fatalf("status = %s", status)
	}
	for partner, s := range j.settled("e1") {
		if s.Outcome != event.Accepted {
			t.Errorf("%s: %s %s %s", partner, s.Outcome, s.Code, s.Message)
		}
		if !j.delivered(partner, "e1") {
			t.Errorf("%s did not receive it", partner)
		}
	}

	stored, err := j.events.Event(t.Context(), "px_1", "e1")
	if err != nil {
		t.Fatal(err)
	}
	if stored.Verdict.State != event.Full || stored.Subject.Email == "" || stored.Subject.VisitorID == "" {
		t.Errorf("verdict %+v, subject %+v", stored.Verdict, stored.Subject)
	}
	if e := stored.Enrichment; e.Device.Browser != "Chrome" || e.Campaign.Source != "news" || e.Referrer.Host == "" {
		t.Errorf("enrichment = %+v", e)
	}
	records := 0
	for r, err := range j.archive.Read(t.Context(), archive.Filter{PixelID: "px_1"}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(string(event.Encode(&r.Event))), "ada@example.com") {
			t.Error("the archive holds the e-mail address in clear")
		}
		records++
	}
	if records != 1 {
		t.Errorf("%d records in the archive, want 1", records)
	}

	t.Run("a repeat changes nothing", func(t *testing.T) {
		before := len(j.partners.Received("ttd"))
		if status := j.post("e1", optedIn); status != "accepted" {
			t.Errorf("status = %s", status)
		}
		j.post("e2", optedIn)
		j.settled("e2")
		if n := len(j.partners.Received("ttd")) - before; n != 1 {
			t.Errorf("The Trade Desk received %d requests for a repeat and one new event", n)
		}
	})
	t.Run("with a partner off, the event says so", func(t *testing.T) {
		p := j.settings.Partner("ttd")
		p.Mode = settings.Off
		p, err := j.settings.SavePartner(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		j.post("e3", optedIn)
		if s := j.settled("e3")["ttd"]; s.Outcome != event.NotSent || s.Message != "not sent: partner is off" {
			t.Errorf("ttd: %+v", s)
		}
		if j.delivered("ttd", "e3") {
			t.Error("it was sent all the same")
		}
		p.Mode = settings.On
		if _, err := j.settings.SavePartner(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("an opted-out visitor is measured by us and sent to nobody", func(t *testing.T) {
		if status := j.post("e4", optedOut); status != "accepted" {
			t.Errorf("status = %s", status)
		}
		for partner, s := range j.settled("e4") {
			if s.Outcome != event.NotSent || j.delivered(partner, "e4") {
				t.Errorf("%s: %+v", partner, s)
			}
		}
		e, err := j.events.Event(t.Context(), "px_1", "e4")
		if err != nil || e.Subject.Email != "" || len(e.Subject.ClickIDs) > 0 || e.Order.ID == "order-e4" {
			t.Errorf("%v: kept %+v, order %q", err, e.Subject, e.Order.ID)
		}
	})
	t.Run("without consent nothing is kept", func(t *testing.T) {
		if status := j.post("e5", refused); status != "suppressed" {
			t.Errorf("status = %s", status)
		}
		j.post("e6", optedIn) // behind it in the same queue
		j.settled("e6")
		if _, err := j.events.Event(t.Context(), "px_1", "e5"); !errors.Is(err, analytics.ErrNotFound) {
			t.Errorf("err = %v, want ErrNotFound", err)
		}
	})
	t.Run("one trace leads from the request to the partner", func(t *testing.T) {
		roots := map[string][]string{}
		for _, s := range j.spans.GetSpans() {
			id := s.SpanContext.TraceID().String()
			roots[id] = append(roots[id], s.InstrumentationScope.Name+" "+s.Name)
		}
		for _, names := range roots {
			all := strings.Join(names, "\n")
			if strings.Contains(all, "collector") && strings.Contains(all, "worker") && strings.Contains(all, "dispatcher") {
				return
			}
		}
		t.Errorf("no trace has spans of collector, worker and dispatcher: %v", roots)
	})
	t.Run("metrics tell of it, and of nobody", func(t *testing.T) {
		resp, err := http.Get("http://" + j.ops.Addr() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if !strings.Contains(string(body), "pixel_") {
			t.Error("there are no metrics of ours")
		}
		for _, personal := range []string{"anon-1", "ada@", "order-e", "shop.example.com"} {
			if strings.Contains(string(body), personal) {
				t.Errorf("metrics hold %q", personal)
			}
		}
	})
}
