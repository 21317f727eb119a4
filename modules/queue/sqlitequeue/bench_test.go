package sqlitequeue_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
)

const ingest = "ingest:standard"

// items are n bodies of the size of an ordinary event.
func items(n int) []queue.Item {
	out := make([]queue.Item, n)
	for i := range out {
		body := make([]byte, 700)
		for j := range body {
			body[j] = byte(i*31 + j*7)
		}
		out[i] = queue.Item{Queue: ingest, Body: body}
	}
	return out
}

func perSecond(b *testing.B, messages int) {
	b.ReportMetric(float64(messages)*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func fill(b *testing.B, q *sqlitequeue.Queue, n int) {
	const batch = 1000
	all := items(batch)
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
			q, batch := temp(b), items(n)
			for b.Loop() {
				if err := q.Push(b.Context(), batch...); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, n)
		})
	}
}

// BenchmarkPushGroup is 64 concurrent pushers of one message each.
func BenchmarkPushGroup(b *testing.B) {
	q := temp(b)
	g, one := queue.NewGroup(q, 256), items(1)
	b.SetParallelism(32) // times two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := g.Push(b.Context(), one...); err != nil {
				b.Fatal(err)
			}
		}
	})
	perSecond(b, 1)
}

// BenchmarkClaimAck takes messages from a backlog, 256 at a time, and acks them.
func BenchmarkClaimAck(b *testing.B) {
	q := temp(b)
	left := 0
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			left = 100 * 256
			fill(b, q, left)
			b.StartTimer()
		}
		left -= consume(b, q, 256)
	}
	perSecond(b, 256)
}

// BenchmarkCycle is a batch's whole life: pushed, claimed, acked.
func BenchmarkCycle(b *testing.B) {
	for _, n := range []int{16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			q, batch := temp(b), items(n)
			for b.Loop() {
				if err := q.Push(b.Context(), batch...); err != nil {
					b.Fatal(err)
				}
				if got := consume(b, q, n); got != n {
					b.Fatalf("pulled %d", got)
				}
			}
			perSecond(b, n)
		})
	}
}

// BenchmarkDrain empties a backlog of 100,000.
func BenchmarkDrain(b *testing.B) {
	const backlog = 100_000
	for b.Loop() {
		b.StopTimer()
		q := temp(b)
		fill(b, q, backlog)
		b.StartTimer()
		for left := backlog; left > 0; {
			left -= consume(b, q, 256)
		}
	}
	perSecond(b, backlog)
}
