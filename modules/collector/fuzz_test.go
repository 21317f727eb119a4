package collector

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"golang.org/x/time/rate"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// recording is a queue that remembers what it was last given.
type recording struct{ items []queue.Item }

func (r *recording) Push(_ context.Context, items ...queue.Item) error {
	for _, item := range items {
		item.Body = bytes.Clone(item.Body) // whose memory is used again
		r.items = append(r.items, item)
	}
	return nil
}

// check says what is wrong with what was pushed.
func (r *recording) check(t *testing.T) (accepted int) {
	books := map[string]int64{}
	defer func() {
		for name, n := range books {
			if n != 0 {
				t.Errorf("%s: received is %d more than what became of it", name, n)
			}
		}
	}()
	for _, item := range r.items {
		if item.Stage == ledger.Received {
			books[item.Queue] += item.N
		}
		if item.Counts() {
			continue
		}
		if item.Queue == queue.Validation {
			var line refused
			if err := json.Unmarshal(item.Body, &line); err != nil || line.Code == "" || item.Reason == "" || len(item.Body) > 8<<10 {
				t.Errorf("dead letter %q %q: %v", item.Body, item.Reason, err)
			}
			continue
		}
		books[item.Queue]--
		var e event.Event
		if err := event.Decode(item.Body, &e); err != nil {
			t.Errorf("%q: %v", item.Body, err)
			continue
		}
		if _, err := json.Marshal(&e); err != nil {
			t.Errorf("what follows cannot be JSON: %+v: %v", e, err)
		}
		if !event.ValidName(e.Name) || !event.ValidID(e.ID) || e.Receipt == "" || e.Time.IsZero() || !e.Verdict.State.Allows(event.Partial) ||
			item.Queue != queue.Ingest(e.Priority) || e.Order.Value.Negative() && event.Commercial(e.Name) {
			t.Errorf("accepted: %s", item.Body)
		}
		accepted++
	}
	return accepted
}

// fuzzed is a collector without a store or a limit to its dead letters. Whatever
// it logs is a failure of ours.
func fuzzed(f *testing.F, q queue.Pusher) (*Collector, *bytes.Buffer) {
	var said bytes.Buffer
	c, err := New(Options{
		Config: config.Default().Collector, Pixels: somePixels(), Queue: q, Consent: consent.New(consent.Options{}), Book: strangers(),
		Salt: func(string) []byte { return []byte("salt") },
		Log:  slog.New(slog.NewTextHandler(&said, nil)),
	})
	if err != nil {
		f.Fatal(err)
	}
	c.refusals.SetLimit(rate.Inf)
	return c, &said
}

// FuzzCollect looks for an envelope that panics, is answered unclearly, or leaves
// something in a queue that no worker could read.
func FuzzCollect(f *testing.F) {
	for _, tt := range hostile {
		if len(tt.body) < 64<<10 {
			f.Add(tt.body, "", "", "")
		}
	}
	f.Add(`{"pixel_id":"px_demo","sent_at":"2026-11-22T10:00:00Z","consent":{"gdpr_applies":false,"gcm":{"ad_storage":"granted"},"gpp_sid":[7]},"identity":{"anonymous_id":"a","email":"A@b.c","phone":"+442079460123","address":{"country":"GB"},"click_ids":{"gclid":"x"}},"context":{"page":{"url":"https://a.b/?c=d"},"screen":{"width":1}},"events":[{"id":"e","name":"purchase","time":"2026-11-22T09:59:59.5Z","properties":{"order_id":1,"value":"5.00","currency":"GBP","items":[{"item_id":"x","price":1,"quantity":1}]}},{"name":"?"}]}`, "https://shop.example.com", "", "Mozilla/5.0")
	f.Add(`{"pixel_id":"px_demo","consent":{"state":"partial"},"events":[{"name":"purchase","properties":{"order_id":"A"}}]}`, "null", "text/plain;charset=UTF-8", "\xff")
	seen := &recording{}
	c, said := fuzzed(f, seen)
	f.Fuzz(func(t *testing.T, body, origin, kind, agent string) {
		seen.items = nil
		r := httptest.NewRequest("POST", "/collect", strings.NewReader(body))
		r.Header = http.Header{"Origin": {origin}, "Content-Type": {kind}, "User-Agent": {agent}, "Sec-Ch-Ua": {agent}}
		w := httptest.NewRecorder()
		c.echo.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusAccepted:
		case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
			if w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		default:
			t.Errorf("%d %s", w.Code, w.Body)
		}
		var any struct {
			Accepted int `json:"accepted"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &any); err != nil {
			t.Errorf("%v in %q", err, w.Body)
		}
		if n := seen.check(t); n != any.Accepted {
			t.Errorf("%d were pushed, %d are said to be accepted", n, any.Accepted)
		}
		if used := c.room.used.Load(); used != 0 || said.Len() > 0 {
			t.Errorf("%d bytes stay reserved; the log says %s", used, said)
		}
		said.Reset()
	})
}

// FuzzPixel does so for the image's parameters.
func FuzzPixel(f *testing.F) {
	for _, q := range []string{
		"", "pid=px_demo", "pid=px_demo&e=page_view", "pid=px_demo&e=x;y", "pid=px_demo&e=%ff", "pid=px_demo&e=x&p.a=%f&p.=&p.b=[1,2]&p.c={",
		"pid=px_demo&e=purchase&eid=e-1&u=https%3A%2F%2Fa.b%2F&r=c&v=9.50&cur=GBP&oid=A&cid=anon&gdpr=0&gdpr_consent=CP&addtl_consent=2~1&gpp=DBAA&gpp_sid=7,8&us_privacy=1YNN&gpc=1&gcm=%7B%22ad_storage%22%3A%22granted%22%7D&p.value=5",
		"pid=px_demo&e=x&gpp_sid=99999999999999999999", "pid=px_demo&e=x&p.a=" + strings.Repeat("[", 100), "pid=px_cmp&e=x&gdpr=1&gdpr_consent=CPx",
	} {
		f.Add(q, "")
	}
	f.Add("pid=px_site&e=x", "https://example.com/")
	seen := &recording{}
	c, said := fuzzed(f, seen)
	f.Fuzz(func(t *testing.T, query, referer string) {
		seen.items = nil
		r := httptest.NewRequest("GET", "/pixel.gif", nil)
		r.URL.RawQuery = query
		r.Header = http.Header{"Referer": {referer}}
		w := httptest.NewRecorder()
		c.echo.ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Body.String() != transparent {
			t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
		}
		seen.check(t)
		if used := c.room.used.Load(); used != 0 || said.Len() > 0 {
			t.Errorf("%d bytes stay reserved; the log says %s", used, said)
		}
		said.Reset()
	})
}
