package collector

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/queue"
)

type nowhere struct{}

func (nowhere) Push(context.Context, ...queue.Item) error { return nil }

// silent is a response that nobody reads.
type silent struct {
	h    http.Header
	code int
}

func (s *silent) Header() http.Header         { return s.h }
func (s *silent) Write(b []byte) (int, error) { return len(b), nil }
func (s *silent) WriteHeader(code int)        { s.code = code }

// BenchmarkAccept is a request from its header to its answer, without a network
// or a store. The bodies are those of bench/collect.
func BenchmarkAccept(b *testing.B) {
	c, err := New(Options{
		Config: config.Default().Collector, Pixels: somePixels(), Queue: nowhere{}, Consent: consent.New(consent.Options{}), Book: strangers(),
	})
	if err != nil {
		b.Fatal(err)
	}
	one, err := os.ReadFile("testdata/view_item.json")
	if err != nil {
		b.Fatal(err)
	}
	text := strings.TrimSpace(string(one))
	from := strings.Index(text, `"events":[`) + len(`"events":[`)
	event := text[from : len(text)-2]
	for name, body := range map[string]string{
		"one":   text,
		"ten":   text[:from] + strings.Repeat(event+",", 9) + event + "]}",
		"image": "",
	} {
		b.Run(name, func(b *testing.B) {
			w := &silent{h: http.Header{}}
			r := httptest.NewRequest("GET", "/pixel.gif?pid=px_demo&e=page_view&u=https%3A%2F%2Fshop.example.com%2Fshoes%2Fitem-1&r=https%3A%2F%2Fwww.google.com%2F&gdpr=0&us_privacy=1YNN&p.color=blue", nil)
			if body != "" {
				r = httptest.NewRequest("POST", "/collect", nil)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36")
			reader := strings.NewReader("")
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				clear(w.h)
				reader.Reset(body)
				r.Body, r.ContentLength = io.NopCloser(reader), int64(len(body))
				c.echo.ServeHTTP(w, r)
				if w.code != http.StatusAccepted && w.code != http.StatusOK {
					b.Fatal(w.code)
				}
			}
		})
	}
}
