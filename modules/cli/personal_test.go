package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/app"
	"github.com/miq/pixel/modules/cli"
	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/sandbox"
)

// marks are personal data, each of its own, that must be found nowhere.
type marks struct {
	t *testing.T
	n int
}

func (m *marks) mail() string {
	m.n++
	return fmt.Sprintf("zqraw%03d@kept-nowhere.example", m.n)
}

func (m *marks) look(where string, text []byte) {
	m.t.Helper()
	lower := bytes.ToLower(text)
	if i := bytes.Index(lower, []byte("zqraw")); i >= 0 {
		m.t.Errorf("%s holds …%.160q", where, text[max(0, i-80):min(len(text), i+80)])
	}
}

// folder looks into every file, and says how much there was.
func (m *marks) folder(where, dir string) (n int) {
	m.t.Helper()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what is away by now holds nothing
		}
		if b, err := os.ReadFile(path); err == nil {
			n += len(b)
			m.look(where+", "+d.Name(), b)
		}
		return nil
	})
	return n
}

// buy sends an order with marks wherever somebody could put them.
func (m *marks) buy(collector, pixel, id string) (int, string) {
	m.t.Helper()
	body := fmt.Sprintf(`{"pixel_id":%q,"consent":{"gdpr_applies":false,"us_privacy":"1YNN","state":"full"},
		"identity":{"anonymous_id":%q,"user_id":%q,"email":%q,"address":{"first_name":%q,"city":"Leeds","country":"GB"}},
		"context":{"page":{"url":%q,"referrer":%q,"title":%q}},
		"events":[{"id":%q,"name":"purchase","properties":{"order_id":"o-%s","value":9.5,"currency":"USD","plan":%q,"seats":"seven","note":%q}}]}`,
		pixel, m.mail(), m.mail(), m.mail(), m.mail(), "https://shop.example/?mail="+url.QueryEscape(m.mail())+"#_miq="+m.mail(), "https://a.example/?q="+m.mail(), "Thanks "+m.mail(), id, id, m.mail(), m.mail())
	r, err := http.NewRequest("POST", collector+"/collect?traceparent=00-"+url.QueryEscape(m.mail())+"-01&mail="+url.QueryEscape(m.mail()), strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Traceparent", "00-"+m.mail())
	r.Header.Set("Tracestate", "who="+m.mail())
	r.Header.Set("Baggage", "who="+m.mail())
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(said)
}

// TestRawPersonalDataIsNowhereOperatorsLook sends orders full of it through a running process
// whose routes fail over it, hold it for a new field, or carry it on; and takes a backup and
// restores it. Then it looks at every byte: of logs, metrics, spans, commands, disks and backups.
// (The package app does so inside one process, for each door; the console for what is typed.)
func TestRawPersonalDataIsNowhereOperatorsLook(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes")
	}
	m := &marks{t: t}
	spans := &receiver{}
	otlp := httptest.NewServer(spans)
	t.Cleanup(otlp.Close)
	partners := httptest.NewServer(sandbox.New(app.Adapters()))
	t.Cleanup(partners.Close)
	args := []string{"serve", "--log.level=debug", "--otel.endpoint=" + otlp.URL, "--otel.outside=1000"}
	for name, e := range sandbox.Endpoints(partners.URL, app.Adapters()) {
		args = append(args, "--partners."+name+".endpoint="+e.Endpoint)
		if e.TokenURL != "" {
			args = append(args, "--partners."+name+".token_url="+e.TokenURL)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := cli.Run(args, &stdout, &stderr); code != 0 {
			t.Fatalf("%v: exit %d\n%s%s", args, code, stdout.String(), stderr.String())
		}
		return stdout.String() + stderr.String()
	}

	t.Run("one process, and its backup", func(t *testing.T) {
		m.t = t
		dir, copied, again := t.TempDir(), filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "again")
		p := start(t, dir, args...)
		to := map[string]any{"adv": "someadv", "tracker_id": "sometrk"}
		route := func(more map[string]any) []map[string]any {
			r := map[string]any{"partner": "ttd", "event": "purchase", "enabled": true, "params": to}
			for k, v := range more {
				r[k] = v
			}
			return []map[string]any{r}
		}
		// Routes that carry it on, that fail over it, and whose new fields wait.
		for id, more := range map[string]map[string]any{
			"px_told":  {"map": map[string]any{"params": map[string]string{"td1": `properties.plan`}}},
			"px_fails": {"map": map[string]any{"params": map[string]string{"td1": `string(int(properties.plan))`}}},
			"px_asks":  {"when": `double(properties.note) > 3.0`},
			"px_waits": {},
		} {
			p.api("POST", "/pixels", map[string]any{"id": id, "name": id, "enabled": true, "consent_mode": "implied", "country": "US", "tag": map[string]any{"cross_domain": true},
				"domains": []string{"shop.example", "pay.example"}, "routes": route(more)}, nil)
		}
		// Before anything is held, which the command's check would wait for.
		_, _, simulates := simulated(t, p, "--collector", p.collector, "--rate", "200", "--events", "100", "--seed", "5", "--for", "60s")
		m.look("pixel simulate", []byte(simulates))
		p.api("POST", "/fields/hold", map[string]any{"pixel_id": "px_waits", "hold": true}, nil)
		p.eventually("orders are taken", func() error {
			for _, id := range []string{"px_told", "px_fails", "px_asks", "px_waits"} {
				if code, said := m.buy(p.collector, id, "order-"+id); code != 202 {
					return fmt.Errorf("%s: %d %s", id, code, said)
				}
			}
			return nil
		})
		for _, token := range []string{m.mail(), "x." + m.mail()} {
			resp, err := http.Post(p.collector+"/crossing", "text/plain", strings.NewReader(`{"pixel_id":"px_told","anonymous_id":"`+token+`","state":"full"}`))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		seen := map[string]string{}
		p.eventually("each order has its story", func() error {
			for _, id := range []string{"px_told", "px_fails", "px_asks"} {
				var story json.RawMessage
				if err := p.tryAPI("GET", "/events/order-"+id, nil, &story); err != nil {
					return err
				}
				if !bytes.Contains(story, []byte(`"ttd"`)) {
					return fmt.Errorf("%s has no word of the partner: %.300s", id, story)
				}
				seen[id] = string(story)
			}
			return nil
		})
		if !strings.Contains(seen["px_fails"], "expression") {
			t.Errorf("no route failed: %.500s", seen["px_fails"])
		}
		p.eventually("one waits for its new fields", func() error {
			var waiting json.RawMessage
			if err := p.tryAPI("GET", "/fields/waiting", nil, &waiting); err != nil {
				return err
			}
			m.look("what waits for approval", waiting)
			if !bytes.Contains(waiting, []byte(`"ttd"`)) {
				return fmt.Errorf("%s", waiting)
			}
			return nil
		})
		for id, story := range seen {
			m.look("the story of "+id, []byte(story))
		}
		for _, what := range [][]string{{"queue", "list"}, {"queue", "spill"}, {"dlq", "list"}, {"dlq", "list", "validation"}, {"dlq", "list", "ttd"}, {"queue", "peek", "s2s:ttd", "--bodies"}, {"health"}} {
			var stdout, stderr bytes.Buffer
			cli.Run(append(what, "--url", p.admin, "--token", token), &stdout, &stderr)
			m.look("pixel "+strings.Join(what, " "), append(stdout.Bytes(), stderr.Bytes()...))
		}
		metrics, err := get(p.ops + "/metrics")
		if err != nil || len(metrics) < 1000 {
			t.Errorf("metrics: %d bytes, %v", len(metrics), err)
		}
		m.look("the metrics", metrics)
		said := run("backup", copied, "--data_dir", dir)
		m.look("pixel backup", []byte(said))
		if err := p.terminate(); err != nil {
			t.Error(err)
		}
		m.look("pixel restore", []byte(run("restore", copied, "--data_dir", again)))
		for where, folder := range map[string]string{"the disk": dir, "the backup": copied, "what was restored": again} {
			if n := m.folder(where, folder); n < 10_000 {
				t.Errorf("%s: only %d bytes", where, n)
			}
		}
		q := start(t, again, args...)
		if err := q.terminate(); err != nil {
			t.Error(err)
		}
		m.look("the log", []byte(p.out.String()+q.out.String()))
	})

	t.Run("Redis away, and a collector's disk", func(t *testing.T) {
		m.t = t
		redis := redistest.StartTCP(t, "--appendonly", "yes")
		both := append(args, "--redis.url=redis://"+redis.Addr, "--secret_key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
		front, behind := t.TempDir(), t.TempDir()
		back := start(t, behind, append(both, "--role=worker,dispatcher,admin")...)
		door := start(t, front, append(both, "--role=collector")...)
		back.api("POST", "/pixels", map[string]any{"id": "px_spill", "name": "Spill", "enabled": true, "consent_mode": "implied", "country": "US", "routes": []any{}}, nil)
		door.eventually("the collector knows the pixel", func() error {
			if code, said := m.buy(door.collector, "px_spill", "before"); code != 202 {
				return fmt.Errorf("%d %s", code, said)
			}
			return nil
		})
		redis.Written(t)
		redis.Kill()
		door.eventually("it is taken all the same", func() error {
			if code, said := m.buy(door.collector, "px_spill", "meanwhile"); code != 202 {
				return fmt.Errorf("%d %s", code, said)
			}
			return nil
		})
		if n := m.folder("the collector's disk", front); n < 500 {
			t.Errorf("nothing is on the collector's disk: %d bytes", n)
		}
		redis.Restart(t)
		back.eventually("what was spilled is stored", func() error {
			var page struct{ Items []json.RawMessage }
			if err := back.tryAPI("GET", "/events?pixel_id=px_spill&id=meanwhile", nil, &page); err != nil {
				return err
			}
			if len(page.Items) != 1 {
				return fmt.Errorf("%d", len(page.Items))
			}
			m.look("what is stored", page.Items[0])
			return nil
		})
		var stdout, stderr bytes.Buffer
		cli.Run([]string{"queue", "spill", "--url", back.admin, "--token", token}, &stdout, &stderr)
		m.look("pixel queue spill", append(stdout.Bytes(), stderr.Bytes()...))
		for _, p := range []*process{door, back} {
			metrics, err := get(p.ops + "/metrics")
			if err != nil {
				t.Error(err)
			}
			m.look("the metrics", metrics)
			if err := p.terminate(); err != nil {
				t.Error(err)
			}
			m.look("the log", []byte(p.out.String()))
		}
		m.folder("the disk", behind)
	})

	spans.mu.Lock()
	defer spans.mu.Unlock()
	m.t = t
	if len(spans.spans) < 10 {
		t.Errorf("%d spans", len(spans.spans))
	}
	m.look("the spans", spans.raw.Bytes())
	t.Logf("%d marks; %d spans", m.n, len(spans.spans))
}
