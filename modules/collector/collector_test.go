package collector

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

type pixelMap map[string]settings.Pixel

func (m pixelMap) Pixel(id string) (settings.Pixel, bool) { p, ok := m[id]; return p, ok }

// somePixels are what the tests send to.
func somePixels() pixelMap {
	return pixelMap{
		"px_demo": {ID: "px_demo", Enabled: true, ConsentMode: settings.Implied, Country: "GB"},
		"px_cmp":  {ID: "px_cmp", Enabled: true, ConsentMode: settings.CMP},
		"px_gcm":  {ID: "px_gcm", Enabled: true, ConsentMode: settings.GCM},
		"px_named": {ID: "px_named", Enabled: true, ConsentMode: settings.GCM, Consent: settings.ConsentOptions{Categories: map[string][]string{
			"stats": {"analytics_storage"}, "ads": {"ad_storage", "ad_user_data", "ad_personalization"},
		}}},
		"px_off":  {ID: "px_off", ConsentMode: settings.Implied},
		"px_site": {ID: "px_site", Enabled: true, ConsentMode: settings.Implied, Domains: []string{"example.com"}},
	}
}

// fixture is a collector on the embedded stores.
type fixture struct {
	*Collector
	t       *testing.T
	queue   *sqlitequeue.Queue
	keys    *sqlitestate.Store
	metrics *prometheus.Registry
}

func newFixture(t *testing.T, change ...func(*Options)) *fixture {
	t.Helper()
	open := func(name string) *sqlitedb.DB {
		db, err := sqlitedb.Open(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	q, err := sqlitequeue.New(open("queue.db"), queue.Options{Lease: time.Minute, MaxDeliveries: 3, Wait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	keys, err := sqlitestate.New(open("state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	f := &fixture{t: t, queue: q, keys: keys, metrics: prometheus.NewRegistry()}
	cfg := config.Default().Collector
	cfg.Addr = "127.0.0.1:0"
	o := Options{
		Config: cfg, VendorID: 101, Pixels: somePixels(), Queue: q, Consent: consent.New(consent.Options{}), Book: consent.NewBook(keys, consent.New(consent.Options{}), []byte("seal")),
		Salt:    func(pixel string) []byte { return []byte("salt of " + pixel) },
		Tag:     Tag{Version: "1.0.0", Script: []byte("script" + strings.Repeat(" ", 500)), Module: []byte("module"), Types: []byte("types"), Parts: map[string][]byte{"banner": []byte("banner"), "cmp": []byte("cmp")}},
		Log:     slog.New(slog.DiscardHandler),
		Metrics: f.metrics,
	}
	for _, c := range change {
		c(&o)
	}
	if f.Collector, err = New(o); err != nil {
		t.Fatal(err)
	}
	return f
}

// do sends a request; headers come in pairs.
func (f *fixture) do(method, path string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, path, body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.echo.ServeHTTP(w, r)
	return w
}

func (f *fixture) post(body string, headers ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.do("POST", "/collect", strings.NewReader(body), append([]string{"Content-Type", "application/json"}, headers...)...)
}

// pulled are the events of a queue, which it empties.
func (f *fixture) pulled(name string) []event.Event {
	f.t.Helper()
	var events []event.Event
	for _, m := range f.messages(name) {
		var e event.Event
		if err := event.Decode(m.Body, &e); err != nil {
			f.t.Fatalf("%q: %v", m.Body, err)
		}
		events = append(events, e)
	}
	return events
}

func (f *fixture) messages(name string) []queue.Message {
	f.t.Helper()
	list, err := f.queue.Pull(f.t.Context(), name, 10_000)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range list {
		if err := f.queue.Ack(f.t.Context(), name, m.ID); err != nil {
			f.t.Fatal(err)
		}
	}
	return list
}

// everything are all ingest queues' events.
func (f *fixture) everything() []event.Event {
	var all []event.Event
	for _, p := range event.Priorities {
		all = append(all, f.pulled(queue.Ingest(p))...)
	}
	return all
}

// dead are the lines in the validation dead letters, which it empties.
func (f *fixture) dead() []queue.DeadLetter {
	f.t.Helper()
	list, _, err := f.queue.Dead(f.t.Context(), queue.Validation, "", 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, l := range list {
		if _, err := f.queue.Drop(f.t.Context(), queue.Validation, l.ID); err != nil {
			f.t.Fatal(err)
		}
	}
	return list
}

func (f *fixture) counted(series string) bool { return strings.Contains(f.metricsText(), series+"\n") }

func (f *fixture) metricsText() string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(f.metrics, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w.Body.String()
}

type reply struct {
	Accepted int `json:"accepted"`
	Rejected int `json:"rejected"`
	Results  []struct {
		Index   int    `json:"index"`
		ID      string `json:"id"`
		Status  string `json:"status"`
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"results"`
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return v
}

func TestEventsAreAnsweredOneByOneAndInOrder(t *testing.T) {
	f := newFixture(t)
	w := f.post(`{"pixel_id":"px_demo","events":[{"id":"e-1","name":"page_view"},{"name":"1st"},{"name":"purchase","properties":{"value":5,"currency":"GBP"}},{"id":"e-4","name":"scroll"}]}`)
	if w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	r := decode[reply](t, w)
	if r.Accepted != 3 || r.Rejected != 1 || len(r.Results) != 4 {
		t.Fatalf("%+v", r)
	}
	for i, want := range []string{"accepted", "rejected", "accepted", "accepted"} {
		if r.Results[i].Index != i || r.Results[i].Status != want {
			t.Errorf("result %d is %+v, want %s", i, r.Results[i], want)
		}
	}
	if r.Results[1].Code != "invalid_name" || !strings.Contains(r.Results[1].Message, "must be a letter") {
		t.Errorf("the rejected one says %+v", r.Results[1])
	}
	made := r.Results[2].ID
	if len(made) != 36 || made[14] != '7' {
		t.Errorf("the id made is %q, want a UUID of version 7", made)
	}
	for name, want := range map[string]string{"ingest:high": made, "ingest:standard": "e-1", "ingest:low": "e-4"} {
		events := f.pulled(name)
		if len(events) != 1 || events[0].ID != want {
			t.Errorf("%s holds %+v, want %s", name, events, want)
			continue
		}
		if "ingest:"+string(events[0].Priority) != name {
			t.Errorf("in %s one says %s", name, events[0].Priority)
		}
	}
	dead := f.dead()
	if len(dead) != 1 || !strings.HasPrefix(dead[0].Reason, "invalid_name: /events/1/name must be") || dead[0].Origin != "" {
		t.Errorf("dead letters: %+v", dead)
	}
	for _, series := range []string{
		`pixel_collector_events_total{priority="high",status="accepted"} 1`,
		`pixel_collector_events_total{priority="",status="rejected"} 1`,
		`pixel_collector_rejected_total{code="invalid_name",source="web"} 1`,
		`pixel_http_requests_total{route="/collect",server="collector",status="202"} 1`,
		`pixel_collector_waiting_bytes 0`,
	} {
		if !f.counted(series) {
			t.Errorf("%s was not counted", series)
		}
	}
}

func TestAnEventIsKeptAsTheContractSays(t *testing.T) {
	f := newFixture(t)
	before := time.Now().Add(-time.Second)
	w := f.post(`{"pixel_id":"px_demo","sent_at":"2026-11-22T10:00:00Z",
		"consent":{"gdpr_applies":false,"state":"full"},
		"identity":{"anonymous_id":"anon-1","email":"Buyer@Example.com","phone":"020 7946 0123","click_ids":{"gclid":"abc"}},
		"context":{"page":{"url":"https://shop.example.com/thanks"},"locale":"en-GB","ip":"1.2.3.4","user_agent":"forged"},
		"events":[{"id":"e-1","name":"purchase","properties":{"order_id":"A-1","value":99.50,"currency":"GBP","gift":true}}]}`,
		"User-Agent", "Mozilla/5.0", "Sec-CH-UA-Platform", `"Linux"`)
	if w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	body := event.AsJSON(f.messages("ingest:high")[0].Body)
	for _, plain := range []string{"uyer@", "7946", "forged", "1.2.3.4"} {
		if strings.Contains(strings.ReplaceAll(string(body), " ", ""), plain) {
			t.Errorf("%q travels on: %s", plain, body)
		}
	}
	var e event.Event
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatal(err)
	}
	if e.Subject.Email != "6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd" ||
		e.Subject.PhoneDigits != "9b48e488a39eabd0e13d5893897b88695cec8e22d254304d278a7008a0b2a439" ||
		e.Subject.AnonymousID != "anon-1" || e.Subject.ClickIDs["gclid"] != "abc" {
		t.Errorf("subject %#v", e.Subject)
	}
	if e.Context.IP != "192.0.2.1" || e.Context.UserAgent != "Mozilla/5.0" || e.Context.ClientHints["sec-ch-ua-platform"] != `"Linux"` {
		t.Errorf("context %+v", e.Context)
	}
	if e.Order.ID != "A-1" || e.Order.Value != "99.50" || e.Order.Currency != "GBP" || !strings.Contains(string(e.Properties), `"gift":true`) {
		t.Errorf("order %+v of %s", e.Order, e.Properties)
	}
	if e.Source != "web" || e.Receipt == "" || e.ReceivedAt.Before(before) || !e.Time.Equal(e.ReceivedAt) || e.Verdict.State != event.Full || e.PixelID != "px_demo" {
		t.Errorf("event %+v", e.Verdict)
	}
}

func TestAResentEventHasItsIDAndAnotherReceipt(t *testing.T) {
	f := newFixture(t)
	const body = `{"pixel_id":"px_demo","events":[{"id":"e-1","name":"page_view"}]}`
	f.post(body)
	f.post(body)
	events := f.everything()
	if len(events) != 2 || events[0].ID != events[1].ID || events[0].Receipt == events[1].Receipt {
		t.Errorf("%+v", events)
	}
}

func TestWhereAllEventsAreRejectedTheAnswerIs400WithTheSameBody(t *testing.T) {
	f := newFixture(t)
	w := f.post(`{"pixel_id":"px_demo","events":[{"name":"<script>alert(1)</script>"},{"name":""}]}`)
	r := decode[reply](t, w)
	if w.Code != http.StatusBadRequest || r.Rejected != 2 || len(r.Results) != 2 || r.Results[0].Code != "invalid_name" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %s", got)
	}
}

func TestWhatConsentDoesNotAllowIsNotKept(t *testing.T) {
	f := newFixture(t)
	w := f.post(`{"pixel_id":"px_cmp","consent":{"gdpr_applies":true},"identity":{"anonymous_id":"anon-1","email":"buyer@example.com"},
		"events":[{"id":"e-1","name":"purchase"},{"id":"e-2","name":"bad name","properties":{"value":5}}]}`)
	r := decode[reply](t, w)
	if w.Code != http.StatusAccepted || r.Accepted != 0 || r.Results[0].Status != "suppressed" || r.Results[1].Status != "rejected" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if events := f.everything(); len(events) != 0 {
		t.Errorf("kept: %+v", events)
	}
	dead := f.dead()
	if len(dead) != 1 || strings.Contains(string(dead[0].Body), `"event"`) {
		t.Errorf("the dead letter keeps some of the event: %+v", dead)
	}
	if w.Header().Get("Set-Cookie") != "" {
		t.Errorf("cookie: %s", w.Header().Get("Set-Cookie"))
	}
	if !f.counted(`pixel_collector_suppressed_total{pixel="px_cmp",rule="R1/G1"} 1`) {
		t.Error("it was not counted")
	}
}

func TestPartialConsentKeepsOurAnalyticsAndNoMore(t *testing.T) {
	f := newFixture(t)
	w := f.post(`{"pixel_id":"px_demo","consent":{"state":"partial"},"identity":{"anonymous_id":"anon-1","user_id":"u-1","email":"buyer@example.com","click_ids":{"gclid":"abc"}},
		"context":{"page":{"url":"https://shop.example.com/thanks?gclid=abc"}},
		"events":[{"id":"e-1","name":"purchase","properties":{"order_id":"A-1","value":5,"currency":"GBP","note":"for Mary"}}]}`)
	if w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	body := string(event.AsJSON(f.messages("ingest:high")[0].Body))
	for _, gone := range []string{"abc", "u-1", "Mary", "A-1", "6a6c26195c", "192.0.2.1"} {
		if strings.Contains(body, gone) {
			t.Errorf("%q was kept: %s", gone, body)
		}
	}
	for _, kept := range []string{`"anon-1"`, `"value":5`, `"currency":"GBP"`} {
		if !strings.Contains(body, kept) {
			t.Errorf("%s was not kept: %s", kept, body)
		}
	}
}

func TestGPCInTheHeaderCountsAndIsKept(t *testing.T) {
	f := newFixture(t)
	f.post(`{"pixel_id":"px_demo","events":[{"name":"page_view"}]}`, "Sec-GPC", "1")
	e := f.everything()
	if len(e) != 1 || !e[0].Consent.GPC || e[0].Verdict.State != event.Partial {
		t.Errorf("%+v", e)
	}
}

func TestOnlyATrustedProxySaysWhereTheVisitorIs(t *testing.T) {
	for name, trusted := range map[string][]string{"trusted": {"192.0.2.0/24"}, "not trusted": nil} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(o *Options) { o.Config.TrustedProxies = trusted })
			f.post(`{"pixel_id":"px_cmp","events":[{"name":"page_view"}]}`, "CF-IPCountry", "US")
			if got := len(f.everything()); got == 1 != (trusted != nil) {
				t.Errorf("%d events were kept", got)
			}
		})
	}
}

// brokenQueue fails as told.
type brokenQueue struct{ err error }

func (b brokenQueue) Push(context.Context, ...queue.Item) error { return b.err }

func TestWhatIsNotDurableIsNotAccepted(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Queue = brokenQueue{errors.New("disk full at /var/lib")} })
	w := f.post(`{"pixel_id":"px_demo","identity":{"anonymous_id":"a"},"events":[{"name":"page_view"},{"name":"?"}]}`)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" || strings.Contains(w.Body.String(), "disk") {
		t.Errorf("%d %q %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
	if w.Header().Get("Set-Cookie") != "" {
		t.Error("a cookie was set")
	}
	if f.counted(`pixel_collector_events_total{priority="standard",status="accepted"} 1`) {
		t.Error("it was counted as accepted")
	}
	if w := f.post(`{"pixel_id":"px_demo","events":[{"name":"?"}]}`); w.Code != http.StatusBadRequest {
		t.Errorf("a bad event is a bad event though its refusal cannot be kept: %d", w.Code)
	}
	if !f.counted(`pixel_collector_dead_letters_lost_total 1`) {
		t.Error("the lost refusal was not counted")
	}
}

// slowQueue holds pushes until it is let go.
type slowQueue struct {
	started chan struct{}
	release chan struct{}
}

func (s slowQueue) Push(context.Context, ...queue.Item) error {
	s.started <- struct{}{}
	<-s.release
	return nil
}

func TestWhenTooMuchWaitsTheAnswerIs503(t *testing.T) {
	slow := slowQueue{make(chan struct{}, 10), make(chan struct{})}
	f := newFixture(t, func(o *Options) { o.Queue = slow; o.Config.MaxWaiting = 10 << 10 })
	body := `{"pixel_id":"px_demo","events":[{"name":"page_view","properties":{"a":"` + strings.Repeat("x", 3000) + `"}}]}`
	first := make(chan int)
	go func() { first <- f.post(body).Code }()
	<-slow.started
	second := make(chan int)
	go func() { second <- f.post(body).Code }()
	codes := map[int]int{}
	for range 8 {
		w := f.post(`{"pixel_id":"px_demo","events":[{"name":"page_view","properties":{"a":"` + strings.Repeat("x", 9000) + `"}}]}`)
		codes[w.Code]++
		if w.Header().Get("Retry-After") == "" {
			t.Errorf("%d without Retry-After", w.Code)
		}
	}
	if codes[http.StatusServiceUnavailable] != 8 {
		t.Errorf("answers while the queue is stuck: %v", codes)
	}
	close(slow.release)
	if a, b := <-first, <-second; a != http.StatusAccepted || b != http.StatusAccepted && b != http.StatusServiceUnavailable {
		t.Errorf("the first ones got %d and %d", a, b)
	}
	if used := f.room.used.Load(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}

func TestAPageThatIsGoneStillCounts(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "POST", "/collect", strings.NewReader(`{"pixel_id":"px_demo","events":[{"name":"page_view"}]}`))
	cancel()
	f.echo.ServeHTTP(httptest.NewRecorder(), r)
	if got := len(f.everything()); got != 1 {
		t.Errorf("%d events", got)
	}
}

func TestAQueueThatNeverAnswersIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := slowQueue{make(chan struct{}, 10), make(chan struct{})}
		c, err := New(Options{Config: config.Default().Collector, Pixels: somePixels(), Queue: slow, Consent: consent.New(consent.Options{}), Book: strangers()})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		c.echo.ServeHTTP(w, httptest.NewRequest("POST", "/collect", strings.NewReader(`{"pixel_id":"px_demo","events":[{"name":"page_view"}]}`)))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		close(slow.release)
	})
}

func TestStopAnswersWhatRuns(t *testing.T) {
	slow := slowQueue{make(chan struct{}, 10), make(chan struct{})}
	f := newFixture(t, func(o *Options) { o.Queue = slow })
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		res, err := http.Post("http://"+f.Addr()+"/collect", "application/json", strings.NewReader(`{"pixel_id":"px_demo","events":[{"name":"page_view"}]}`))
		if err != nil {
			got <- err.Error()
			return
		}
		res.Body.Close()
		got <- res.Status
	}()
	<-slow.started
	stopped := make(chan error)
	go func() { stopped <- f.Stop(context.Background()) }()
	close(slow.release)
	if s := <-got; s != "202 Accepted" {
		t.Errorf("the running request got %s", s)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := f.group.Push(t.Context(), queue.Item{Queue: "x"}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("after the stop the queue still takes: %v", err)
	}
}

func TestNothingPersonalIsLogged(t *testing.T) {
	var logged bytes.Buffer
	f := newFixture(t, func(o *Options) {
		o.Queue = brokenQueue{errors.New("no")}
		o.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	f.post(`{"pixel_id":"px_demo","identity":{"anonymous_id":"anon-1","email":"buyer@example.com"},"events":[{"name":"page_view"},{"name":"buyer@example.com"}]}`)
	f.post(`{"pixel_id":"px_demo","identity":{"email":5,"phone":"+442079460123"}}`)
	for _, secret := range []string{"buyer", "anon-1", "192.0.2.1", "7946"} {
		if strings.Contains(logged.String(), secret) {
			t.Errorf("the log has %q: %s", secret, logged.String())
		}
	}
	if logged.Len() == 0 {
		t.Error("nothing was logged, though nothing could be stored")
	}
}
