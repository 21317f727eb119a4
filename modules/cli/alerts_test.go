package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/app"
	"github.com/miq/pixel/modules/sandbox"
)

// impatient are the shipped rules with windows of seconds and thresholds that a
// test reaches; what they look at and how they compare is as it is shipped.
func impatient(t *testing.T) []byte {
	t.Helper()
	body, err := os.ReadFile("../../docs/deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`for: \d+[mh]`, `for: 1s`},
		{`\[(?:5m|10m|15m|30m|1h|2h|6h|1d)\]`, `[30s]`},
		{`offset 1h`, `offset 30s`},
		{`offset 1d`, `offset 45s`},
		{`> (?:600|3600)\n`, "> 5\n"},
		{`> (?:50|20)\n`, "> 3\n"},
		{`increase\((pixel_collector_events_total[^)]*)\)\) > 100`, `increase($1)) > 3`},
	} {
		body = regexp.MustCompile(c[0]).ReplaceAll(body, []byte(c[1]))
	}
	return body
}

// stand is a product with Redis and a partner, and a Prometheus that watches it.
type stand struct {
	*process
	prometheus string
	redisAddr  string
	redisDir   string
	redis      *exec.Cmd
	client     *redis.Client
	data       string
	args       []string     // of the product
	status     atomic.Int32 // what the partner answers; 0: as it should
	n          int
}

func (s *stand) startRedis() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.redisAddr)
	s.redis = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", s.redisDir, "--appendonly", "yes", "--save", "", "--loglevel", "warning")
	if err := s.redis.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) stopRedis() {
	_ = s.redis.Process.Kill()
	_ = s.redis.Wait()
}

// firing are the names of the alerts that fire now.
func (s *stand) firing() (map[string]bool, error) {
	body, err := get(s.prometheus + "/api/v1/alerts")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			out[a.Labels["alertname"]] = true
		}
	}
	return out, nil
}

// until waits for alerts to fire, or for none of them to.
func (s *stand) until(fire bool, names ...string) {
	s.t.Helper()
	word := map[bool]string{true: "fires", false: "is clear"}[fire]
	began := time.Now()
	for _, name := range names {
		for {
			now, err := s.firing()
			if err == nil && now[name] == fire {
				s.t.Logf("%6.1f s  %s %s", time.Since(began).Seconds(), name, word)
				break
			}
			if time.Since(began) > 4*time.Minute {
				s.t.Fatalf("%s: not within four minutes that it %s; firing: %v (%v)", name, word, now, err)
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
}

// purchase sends one; it reports the answer's status.
func (s *stand) purchase(pixel string) int {
	s.n++
	body := fmt.Sprintf(`{"pixel_id":%q,"identity":{"anonymous_id":"a-%d","email_sha256":"6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd","partner_ids":{"tdid":"11111111-2222-4333-8444-555555555555"}},"context":{"locale":"en-US","page":{"url":"https://shop.example.com/thanks"}},"events":[{"id":"alert-%[2]d","name":"purchase","properties":{"order_id":"o-%[2]d","value":2000,"currency":"USD"}}]}`, pixel, s.n)
	resp, err := http.Post(s.collector+"/collect", "application/json", strings.NewReader(body))
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// watched is a product whose alerts are watched, and a partner that takes what is sent.
func watched(t *testing.T, settings ...string) *stand {
	t.Helper()
	if os.Getenv("PIXEL_TEST_ALERTS") == "" {
		t.Skip("the long form: make alerts")
	}
	for _, tool := range []string{"prometheus", "redis-server"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	adapters := app.Adapters()
	box := sandbox.New(adapters)
	s := &stand{redisAddr: freeAddr(t), redisDir: t.TempDir(), data: t.TempDir()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code := int(s.status.Load()); code != 0 && strings.Contains(r.URL.Path, "realtimeconversion") {
			w.WriteHeader(code)
			fmt.Fprint(w, `{"error":"broken on purpose"}`)
			return
		}
		box.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	at := sandbox.Endpoints(server.URL, adapters)

	s.process = &process{t: t}
	s.startRedis()
	t.Cleanup(s.stopRedis)
	s.client = redis.NewClient(&redis.Options{Addr: s.redisAddr})
	t.Cleanup(func() { s.client.Close() })
	s.eventually("Redis answers", func() error { return s.client.Ping(context.Background()).Err() })
	s.args = append([]string{"serve", "--redis.url=redis://" + s.redisAddr, "--secret_key=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
		"--partners.ttd.endpoint=" + at["ttd"].Endpoint, "--partners.amazon.endpoint=" + at["amazon"].Endpoint, "--partners.amazon.token_url=" + at["amazon"].TokenURL,
		"--dispatcher.breaker.failures=2", "--dispatcher.breaker.window=4", "--dispatcher.breaker.delay=3s", "--dispatcher.retry.min=1s", "--dispatcher.retry.max=2s",
		"--spill.max_bytes=2097152", "--spill.timeout=450ms", "--redis.timeout=500ms"}, settings...)
	s.process = start(t, s.data, s.args...)

	// Prometheus.
	dir := t.TempDir()
	write := func(name string, body []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules.yml", impatient(t))
	write("prometheus.yml", fmt.Appendf(nil, "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\nscrape_configs: [{job_name: pixel, static_configs: [{targets: [%q]}]}]\n", strings.TrimPrefix(s.ops, "http://")))
	listen := freeAddr(t)
	s.prometheus = "http://" + listen
	prometheus := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+listen, "--log.level=warn")
	prometheus.Stderr = &output{}
	if err := prometheus.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prometheus.Process.Kill(); _ = prometheus.Wait() })

	for partner, params := range map[string]map[string]any{"ttd": {"adv": "adv1234", "tracker_id": "abc123x"}, "amazon": {"account_id": "123456789", "region": "NA"}} {
		s.api("POST", "/pixels", map[string]any{"id": "px_" + partner, "name": partner, "enabled": true, "consent_mode": "implied", "country": "US",
			"routes": []map[string]any{{"partner": partner, "event": "purchase", "enabled": true, "params": params}}}, nil)
	}
	s.purchase("px_ttd")
	s.eventually("Prometheus has seen a delivery", func() error {
		body, err := get(s.prometheus + "/api/v1/query?query=pixel_delivery_total%7Boutcome%3D%22accepted%22%7D%3E0")
		if err == nil && !strings.Contains(string(body), `"ttd"`) {
			err = fmt.Errorf("%.300s", body)
		}
		return err
	})
	s.until(false, "PixelRoleMissing", "PixelDown", "PixelQueuesUnseen", "PixelLedgerImbalance", "PixelUnhealthy")
	return s
}

// TestAlertsFireAndClear breaks one thing after the other for real, and watches a
// real Prometheus with the shipped rules fire and clear. `make alerts`; minutes.
func TestAlertsFireAndClear(t *testing.T) {
	s := watched(t)
	t.Log("the partner is down")
	s.status.Store(500)
	for range 6 {
		s.purchase("px_ttd")
	}
	s.until(true, "PixelBreakerOpen", "PixelDeliveriesLate")
	s.status.Store(0)
	s.until(false, "PixelBreakerOpen", "PixelDeliveriesLate")

	t.Log("the partner refuses everything")
	s.status.Store(402)
	for range 12 {
		s.purchase("px_ttd")
	}
	s.until(true, "PixelPartnerRefuses", "PixelDeadLettersGrow", "PixelMoneyAtRisk")
	s.status.Store(0)
	s.api("POST", "/dlq/ttd/replay", map[string]any{"all": true}, nil)
	s.until(false, "PixelPartnerRefuses", "PixelDeadLettersGrow", "PixelMoneyAtRisk")

	t.Log("the partner refuses our credentials")
	credentials := func(refresh string) {
		s.api("PATCH", "/partners/amazon", map[string]any{"credentials": map[string]string{"client_id": "amzn1.application-oa2-client.example", "client_secret": "client-secret", "refresh_token": refresh}}, nil)
	}
	credentials("revoked-on-purpose")
	s.purchase("px_amazon")
	s.until(true, "PixelPartnerPaused", "PixelTokenRenewalFails")
	credentials("Atzr|example")
	s.until(false, "PixelPartnerPaused", "PixelTokenRenewalFails")

	t.Log("what waits vanishes from Redis")
	s.api("PATCH", "/partners/ttd", map[string]any{"mode": "hold"}, nil)
	for range 3 {
		s.purchase("px_ttd")
	}
	s.eventually("they wait", func() error {
		var queues struct {
			Items []struct {
				Queue string
				Depth int
			}
		}
		if err := s.tryAPI("GET", "/queues", nil, &queues); err != nil {
			return err
		}
		for _, q := range queues.Items {
			if q.Queue == "s2s:ttd" && q.Depth == 3 {
				return nil
			}
		}
		return fmt.Errorf("%v", queues.Items)
	})
	gone, err := s.client.Keys(t.Context(), "*s2s:ttd*:blocks").Result()
	if err != nil || len(gone) == 0 {
		t.Fatalf("nothing waits: %v (%v)", gone, err)
	}
	// The deliveries themselves go; what the queue counts of them and the books stay.
	for _, k := range gone {
		if err := s.client.Rename(t.Context(), k, "kept:"+k).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.until(true, "PixelLedgerImbalance")
	for _, k := range gone {
		if err := s.client.Rename(t.Context(), "kept:"+k, k).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.until(false, "PixelLedgerImbalance")
	s.api("PATCH", "/partners/ttd", map[string]any{"mode": "on"}, nil)

	t.Log("Redis is away, and then the spill is full")
	s.stopRedis()
	for range 5 {
		s.purchase("px_ttd")
	}
	s.until(true, "PixelSpilling", "PixelQueuesUnseen")
	for deadline := time.Now().Add(2 * time.Minute); s.purchase("px_ttd") != http.StatusServiceUnavailable; {
		if time.Now().After(deadline) {
			t.Fatal("the spill never filled")
		}
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
			resp, err := http.Post(s.collector+"/collect", "application/json", strings.NewReader(fmt.Sprintf(`{"pixel_id":"px_ttd","events":[{"id":"full-%d","name":"page_view"}]}`, n)))
			if err == nil {
				resp.Body.Close()
			}
		}
	}()
	s.until(true, "PixelSpillFills", "PixelEventsRefused", "PixelErrorBudgetBurn", "PixelErrorBudgetLeaks")
	close(stop)
	<-done
	s.startRedis()
	s.until(false, "PixelSpilling", "PixelQueuesUnseen", "PixelSpillFills", "PixelEventsRefused", "PixelErrorBudgetBurn", "PixelErrorBudgetLeaks", "PixelSpillStuck")

	t.Log("the process is killed")
	s.kill()
	s.until(true, "PixelDown", "PixelRoleMissing", "PixelLedgerUnchecked")
	again := exec.Command(build(t), append(s.args, "--data_dir="+s.data, "--collector.addr="+strings.TrimPrefix(s.collector, "http://"), "--admin.addr="+strings.TrimPrefix(s.admin, "http://"), "--ops.addr="+strings.TrimPrefix(s.ops, "http://"))...)
	again.Dir, again.Env = t.TempDir(), append(os.Environ(), "PIXEL_ADMIN_TOKEN="+token)
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Process.Kill(); _ = again.Wait() }()
	s.until(false, "PixelDown", "PixelRoleMissing", "PixelLedgerImbalance", "PixelLedgerUnchecked")
}
