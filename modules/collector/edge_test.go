package collector

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/edge"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

const edgeKey = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=" // 32 times k

// behind is a collector that shares a key with an edge.
func behind(t *testing.T) (*fixture, edge.Keys) {
	t.Helper()
	keys, err := edge.ParseKeys("k1:" + edgeKey + ",k2:" + strings.Replace(edgeKey, "a2tr", "bGxs", 1))
	if err != nil {
		t.Fatal(err)
	}
	return newFixture(t, func(o *Options) {
		o.Config.EdgeKeys = "k1:" + edgeKey
		o.Config.TrustedProxies = []string{"192.0.2.0/24"} // where httptest's requests come from
	}), keys
}

// word is what an honest edge says of a request with this body.
func word(body string) edge.Claims {
	digest := sha256.Sum256([]byte(body))
	now := time.Now().UnixMilli()
	return edge.Claims{
		Signed: now, Received: now, Host: "www.shop.example", Method: "POST", Target: "/collect",
		Body: base64.RawURLEncoding.EncodeToString(digest[:]), IP: "203.0.113.7",
		Country: "US", Region: "CA", City: "San Francisco", ASN: 64500,
	}
}

func TestTheEdgesWordCountsUnderItsSignatureAndElseNotAtAll(t *testing.T) {
	body := `{"pixel_id":"px_demo","events":[{"id":"e1","name":"page_view"}]}`
	for name, c := range map[string]struct {
		key     string
		change  func(*edge.Claims)
		forge   bool
		outcome string
	}{
		"honest":         {key: "k1", outcome: "valid"},
		"unknown key":    {key: "k2", outcome: "unknown_key"},
		"forged":         {key: "k1", forge: true, outcome: "forged"},
		"replayed later": {key: "k1", change: func(c *edge.Claims) { c.Signed -= 6 * 60_000 }, outcome: "expired"},
		"another body":   {key: "k1", change: func(c *edge.Claims) { c.Body = "" }, outcome: "mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			f, keys := behind(t)
			claims := word(body)
			if c.change != nil {
				c.change(&claims)
			}
			h, err := keys.Sign(c.key, claims)
			if err != nil {
				t.Fatal(err)
			}
			if c.forge {
				h = h[:len(h)-2] + "AA"
			}
			if w := f.post(body, edge.Header, h, "X-Forwarded-For", "198.51.100.9", "Cf-Ipcountry", "FR"); w.Code != 202 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			events := f.pulled(queue.Ingest(event.Standard))
			if len(events) != 1 {
				t.Fatalf("%d events", len(events))
			}
			got := events[0].Context
			if c.outcome == "valid" {
				if got.IP != "203.0.113.7" || got.Place != (event.Place{Country: "US", Region: "CA", City: "San Francisco", ASN: 64500}) {
					t.Errorf("context %+v", got)
				}
			} else if got.IP != "198.51.100.9" || got.Place != (event.Place{}) {
				t.Errorf("a word that is not proved was believed: %+v", got)
			}
			if !f.counted(`pixel_collector_edge_requests_total{outcome="` + c.outcome + `"} 1`) {
				t.Errorf("%s was not counted once", c.outcome)
			}
		})
	}
}

func TestThePlaceComesFromTheEdgeAndNeverFromTheClient(t *testing.T) {
	f, _ := behind(t)
	f.post(`{"pixel_id":"px_demo","context":{"place":{"country":"US"},"ip":"203.0.113.9"},"events":[{"name":"page_view"}]}`)
	for _, e := range f.pulled(queue.Ingest(event.Standard)) {
		if e.Context.Place != (event.Place{}) || e.Context.IP == "203.0.113.9" {
			t.Errorf("context %+v", e.Context)
		}
	}
}

// While we were away the edge kept the request. The visitor's clock is measured
// by when it came to the edge, or a right clock would seem hours slow.
func TestARequestThatTheEdgeKeptHasTheTimesAtWhichItCame(t *testing.T) {
	f, keys := behind(t)
	came := time.Now().UTC().Add(-3 * time.Hour).Truncate(time.Millisecond)
	body := `{"pixel_id":"px_demo","sent_at":"` + came.Format(time.RFC3339Nano) + `","events":[{"name":"page_view","time":"` + came.Add(-time.Second).Format(time.RFC3339Nano) + `"}]}`
	claims := word(body)
	claims.Received = came.UnixMilli()
	h, _ := keys.Sign("k1", claims)
	f.post(body, edge.Header, h)
	events := f.pulled(queue.Ingest(event.Standard))
	if len(events) != 1 || !events[0].Time.Equal(came.Add(-time.Second)) {
		t.Errorf("events %+v, want one at %s", events, came.Add(-time.Second))
	}
}

func TestWithGlobalPrivacyControlUnderTheSignatureNoHeaderIsNeeded(t *testing.T) {
	f, keys := behind(t)
	body := `{"pixel_id":"px_demo","events":[{"name":"page_view"}]}`
	claims := word(body)
	claims.GPC = true
	h, _ := keys.Sign("k1", claims)
	f.post(body, edge.Header, h)
	events := f.pulled(queue.Ingest(event.Standard))
	if len(events) != 1 || !events[0].Consent.GPC {
		t.Errorf("events %+v", events)
	}
}

func TestABodyTooLargeIsRefusedBehindTheEdgeAsWell(t *testing.T) {
	f, _ := behind(t)
	w := f.do("POST", "/collect", bytes.NewReader(make([]byte, 2<<20)), "Content-Type", "application/json", edge.Header, "k1.a.b")
	if w.Code != 413 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
