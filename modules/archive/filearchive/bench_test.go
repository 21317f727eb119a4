package filearchive

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/event"
)

// real is an event as a shop's page sends it and the worker stores it.
func real(r *rand.Rand, i, pixels int) event.Event {
	at := time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC).Add(time.Duration(i) * 3 * time.Millisecond)
	visitor := fmt.Sprintf("0193f0a1-7b2c-7d3e-8f40-%012x", r.IntN(20_000))
	product := r.IntN(500)
	e := event.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Receipt: uuid.NewString(), PixelID: fmt.Sprintf("px_%03d", i%pixels),
		Name: []string{"page_view", "page_view", "page_view", "view_item", "scroll", "add_to_cart", "purchase"}[r.IntN(7)],
		Time: at.Add(-700 * time.Millisecond), SentAt: at.Add(-200 * time.Millisecond), ReceivedAt: at, Source: "web", Priority: event.Standard, Seq: r.IntN(30),
		Consent: event.Consent{TCF: "CPzHq4APzHq4AAKA1AENAUEAALAAAEOAAAAAAEAEACACAAAA.YAAAAAAAAAA", State: event.Full},
		Verdict: event.Verdict{State: event.Full, Regime: "gdpr", Rule: "G5", Reason: "The TC string allows what we need."},
		Subject: event.Subject{VisitorID: visitor, AnonymousID: visitor, ClickIDs: map[string]string{"gclid": fmt.Sprintf("Cj0KCQ%x", r.Uint64())}},
		Context: event.Context{
			Page:   event.Page{URL: fmt.Sprintf("https://shop.example.com/shoes/trail-%d?utm_source=google&utm_medium=cpc&utm_campaign=autumn", product), Title: fmt.Sprintf("Trail shoe %d, slate", product), Referrer: "https://www.google.com/"},
			Locale: "en-GB", Timezone: "Europe/London", Screen: event.Screen{Width: 1440, Height: 900}, SDK: event.SDK{Name: "web", Version: "1.4.0"}, IP: fmt.Sprintf("203.0.%d.0", r.IntN(256)),
			UserAgent: fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/14%d.0.0.0 Safari/537.36", r.IntN(6)), Tab: "t-" + visitor[24:],
		},
		Properties: fmt.Appendf(nil, `{"item_id":"SKU-%d","list":"autumn","position":%d,"price":%d.95}`, product, r.IntN(40), product%200),
		Enrichment: event.Enrichment{
			Device:   event.Device{Class: "desktop", Browser: "Chrome", BrowserVersion: "140", OS: "Windows", OSVersion: "10"},
			Campaign: event.Campaign{Source: "google", Medium: "cpc", Name: "autumn"}, Referrer: event.Referrer{Host: "www.google.com", Kind: "search", Name: "Google"},
			Place: event.Place{Country: "GB", Region: "ENG", City: "Leeds"},
		},
	}
	if e.Name == "purchase" {
		e.Order = event.Order{ID: fmt.Sprint("A-", i), Value: event.Amount(fmt.Sprintf("%d.95", product)), Currency: "GBP", Items: []event.Item{{ID: fmt.Sprint("SKU-", product), Price: "9.95", Quantity: "1"}}}
	}
	return e
}

// cpu is this process's, all threads together.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func bytesIn(b *testing.B, dir, suffix string) (n int64) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		i, err := d.Info()
		n += i.Size()
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkWrite is what a worker's batch of 256 costs before it is acknowledged.
func BenchmarkWrite(b *testing.B) {
	for _, pixels := range []int{1, 64} {
		b.Run(fmt.Sprint("pixels=", pixels), func(b *testing.B) {
			dir := b.TempDir()
			a := open(b, dir, lake.Options{})
			r := rand.New(rand.NewPCG(1, 2))
			var batch []event.Event
			for i := range 256 {
				batch = append(batch, real(r, i, pixels))
			}
			before := cpu()
			for b.Loop() {
				write(b, a, batch...)
			}
			n := 256 * float64(b.N)
			b.ReportMetric(float64((cpu()-before).Microseconds())/n, "µs-cpu/event")
			b.ReportMetric(float64(bytesIn(b, dir, ".wal"))/n, "bytes/event")
		})
	}
}

// BenchmarkFile is what filing costs later, and what it leaves.
func BenchmarkFile(b *testing.B) {
	for _, pixels := range []int{1, 64} {
		b.Run(fmt.Sprint("pixels=", pixels), func(b *testing.B) {
			const events = 100_000
			for range b.N {
				b.StopTimer()
				dir := b.TempDir()
				a := open(b, dir, lake.Options{})
				r := rand.New(rand.NewPCG(1, 2))
				var batch []event.Event
				for i := range events {
					if batch = append(batch, real(r, i, pixels)); len(batch) == 256 || i == events-1 {
						write(b, a, batch...)
						batch = batch[:0]
					}
				}
				before := cpu()
				b.StartTimer()
				if _, err := a.File(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(float64((cpu()-before).Microseconds())/events, "µs-cpu/event")
				b.ReportMetric(float64(bytesIn(b, dir, ".parquet"))/events, "bytes/event")
				b.StartTimer()
			}
		})
	}
}
