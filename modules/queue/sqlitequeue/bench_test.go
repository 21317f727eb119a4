package sqlitequeue_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
)

const ingest = "ingest:standard"

// items are n events as the collector encodes them, about 700 bytes each, or as
// many bytes that no compression can do anything about.
func items(n int, random bool) []queue.Item {
	r := rand.New(rand.NewPCG(1, 2))
	id := func() string {
		return fmt.Sprintf("0193%04x-%04x-7%03x-9%03x-%012x", r.Uint32()&0xffff, r.Uint32()&0xffff, r.Uint32()&0xfff, r.Uint32()&0xfff, r.Uint64()&0xffffffffffff)
	}
	names := []string{"page_view", "view_item", "add_to_cart", "scroll", "purchase"}
	out := make([]queue.Item, n)
	for i := range out {
		body := fmt.Appendf(nil, `{"id":"%s","receipt":"%s","name":"%s","time":"2026-11-22T10:%02d:%02d.%03dZ","priority":"standard",`+
			`"properties":{"item_id":"SKU%d","value":%d.%02d,"currency":"GBP","list":"search results"},"pixel_id":"px_demo",`+
			`"received_at":"2026-11-22T10:%02d:%02d.%06dZ","source":"web","consent":{"gdpr_applies":true,"state":"full","gcm":{"ad_storage":"granted","analytics_storage":"granted"}},`+
			`"verdict":{"state":"full","rule":"gcm"},"subject":{"anonymous_id":"%s"},"context":{"page":{"url":"https://shop.example/p/%d","referrer":"https://www.example.com/","title":"Shoe %d"},`+
			`"locale":"en-GB","ip":"192.0.2.%d","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1%02d.0.0.0 Safari/537.36"}}`,
			id(), id(), names[r.IntN(len(names))], r.IntN(60), r.IntN(60), r.IntN(1000), r.IntN(1e5), r.IntN(200), r.IntN(100),
			r.IntN(60), r.IntN(60), r.IntN(1e6), id(), r.IntN(1e5), r.IntN(1e5), r.IntN(256), r.IntN(40))
		if random {
			body = make([]byte, 700)
			for j := range body {
				body[j] = byte(r.Uint32())
			}
		}
		out[i] = queue.Item{Queue: ingest, Body: body, Account: queue.Account{Pixel: "px_demo", Hour: 490000}}
	}
	return out
}

// perSecond reports messages a second, and the CPU of the whole process a message.
func perSecond(b *testing.B, messages int, since time.Duration) {
	b.ReportMetric(float64(cpu()-since)/float64(messages)/float64(b.N)/1e3, "cpu-µs/msg")
	b.ReportMetric(float64(messages)*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func fill(b *testing.B, q *sqlitequeue.Queue, n int) {
	const batch = 1000
	all := items(batch, false)
	for ; n > 0; n -= batch {
		if err := q.Push(b.Context(), all[:min(n, batch)]...); err != nil {
			b.Fatal(err)
		}
	}
}

// consume pulls a batch and acks it, and returns how many there were.
func consume(b *testing.B, q *sqlitequeue.Queue, max int) int {
	msgs, err := q.Pull(b.Context(), ingest, max)
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]string, len(msgs))
	for i, m := range msgs {
		ids[i] = m.ID
	}
	if err := q.Ack(b.Context(), ingest, ids...); err != nil {
		b.Fatal(err)
	}
	return len(msgs)
}

func temp(b *testing.B) *sqlitequeue.Queue {
	opts := queue.Defaults
	opts.Wait = time.Millisecond
	q, _ := open(b, filepath.Join(b.TempDir(), "queue.db"), opts)
	return q
}

// BenchmarkPush is one durable transaction of n messages.
func BenchmarkPush(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			q, batch := temp(b), items(n, false)
			start := cpu()
			for b.Loop() {
				if err := q.Push(b.Context(), batch...); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, n, start)
		})
	}
}

// BenchmarkPushGroup is 64 concurrent pushers of one message each.
func BenchmarkPushGroup(b *testing.B) {
	q := temp(b)
	g, one := queue.NewGroup(q, 256), items(1, false)
	start := cpu()
	b.SetParallelism(32) // times two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := g.Push(b.Context(), one...); err != nil {
				b.Fatal(err)
			}
		}
	})
	perSecond(b, 1, start)
}

// BenchmarkClaimAck takes messages from a backlog, 256 at a time, and acks them.
func BenchmarkClaimAck(b *testing.B) {
	q := temp(b)
	left := 0
	start := cpu()
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			left = 100 * 256
			fill(b, q, left)
			b.StartTimer()
		}
		left -= consume(b, q, 256)
	}
	perSecond(b, 256, start)
}

// BenchmarkCycle is a batch's whole life: pushed, claimed, acked.
func BenchmarkCycle(b *testing.B) {
	for _, c := range []struct {
		n      int
		random bool
	}{{16, false}, {256, false}, {256, true}} {
		n := c.n
		b.Run(fmt.Sprintf("%d/random=%t", n, c.random), func(b *testing.B) {
			q, batch := temp(b), items(n, c.random)
			start := cpu()
			for b.Loop() {
				if err := q.Push(b.Context(), batch...); err != nil {
					b.Fatal(err)
				}
				if got := consume(b, q, n); got != n {
					b.Fatalf("pulled %d", got)
				}
			}
			perSecond(b, n, start)
		})
	}
}

// BenchmarkDrain empties a backlog of 100,000.
func BenchmarkDrain(b *testing.B) {
	const backlog = 100_000
	start := cpu()
	for b.Loop() {
		b.StopTimer()
		q := temp(b)
		fill(b, q, backlog)
		b.StartTimer()
		for left := backlog; left > 0; {
			left -= consume(b, q, 256)
		}
	}
	perSecond(b, backlog, start)
}
