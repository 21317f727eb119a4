package ledger_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// shop is what a keeper reads, with fixed answers.
type shop struct {
	counts  []queue.Count
	depths  []queue.Stats
	tallies []analytics.Tally
	err     error
	asked   int // tallies
}

func (s *shop) Counts(_ context.Context, since, until int32) (out []queue.Count, err error) {
	for _, c := range s.counts {
		if c.Account.Hour >= since && c.Account.Hour < until {
			out = append(out, c)
		}
	}
	return out, s.err
}

func (s *shop) Stats(context.Context) ([]queue.Stats, error) { return s.depths, nil }

func (s *shop) Tally(_ context.Context, since, until time.Time) (out []analytics.Tally, err error) {
	s.asked++
	for _, t := range s.tallies {
		if !t.Hour.Before(since) && t.Hour.Before(until) {
			out = append(out, t)
		}
	}
	return out, nil
}

func (s *shop) Stored(ctx context.Context, since, until time.Time) ([]analytics.Tally, error) {
	return s.Tally(ctx, since, until)
}

func TestTheKeeperFindsADifferenceAndSeesWhenItIsGone(t *testing.T) {
	now := queue.Account{Hour: nine}.Time().Add(90 * time.Minute)
	a := queue.Account{Pixel: "px", Hour: nine}
	old := queue.Account{Pixel: "px", Hour: nine - 24*10}
	s := &shop{
		counts: []queue.Count{
			{Account: a, Queue: "ingest:high", Stage: ledger.Received, N: 3},
			{Account: a, Queue: "ingest:high", Stage: queue.In, N: 3},
			{Account: a, Queue: "ingest:high", Stage: ledger.Stored, N: 2},
			{Account: old, Queue: "ingest:high", Stage: queue.In, N: 1},
			{Account: old, Queue: "ingest:high", Stage: ledger.Received, N: 1},
		},
		depths:  []queue.Stats{{Queue: "ingest:high", Ready: 1, Delayed: 1}},
		tallies: []analytics.Tally{{PixelID: "px", Hour: a.Time(), N: 2}},
	}
	r := prometheus.NewRegistry()
	k, err := ledger.NewKeeper(s, s, s, nil, slog.New(slog.DiscardHandler), r, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	look := func(want ...string) {
		t.Helper()
		found, err := k.Look(t.Context())
		if err != nil || len(found) != len(want) {
			t.Fatalf("found %+v, error %v; want %q", found, err, want)
		}
		for i, w := range want {
			if !strings.Contains(found[i].Text, w) {
				t.Errorf("found %q, want %q", found[i].Text, w)
			}
		}
	}
	look()
	asked := s.asked
	look()
	if s.asked != asked {
		t.Error("an hour that balanced and did not change was counted again")
	}
	s.counts[2].N, s.depths[0].Ready = 3, 0
	look("1 event called stored, but not in the analytics store, of px, received 25 Nov 09:00–10:00 UTC.")
	look("1 event called stored")
	s.tallies[0].N = 3
	look()
	// What waited for ten days is done: the queue tells, and the old hours are read.
	s.counts = append(s.counts, queue.Count{Account: old, Queue: "ingest:high", Stage: ledger.Duplicate, N: 1})
	s.depths[0].Delayed = 0
	look()
	s.depths[0].Ready = 1
	look("1 event in ingest:high that nobody entered in the books.")
	s.depths[0].Ready = 0
	// A row that is lost without anything being counted is found in the end.
	s.tallies[0].N = 2
	look()
	now = now.Add(11 * time.Minute)
	look("1 event called stored")
}

func TestTheKeeperTellsMetricsAndItsReaders(t *testing.T) {
	a := queue.Account{Pixel: "px", Hour: nine}
	s := &shop{counts: []queue.Count{{Account: a, Queue: "ingest:high", Stage: ledger.Received, N: 1}}}
	r := prometheus.NewRegistry()
	k, err := ledger.NewKeeper(s, s, s, nil, slog.New(slog.DiscardHandler), r, a.Time)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for last, _ := k.Last(); last.At.IsZero(); last, _ = k.Last() {
		<-time.After(time.Millisecond)
	}
	if err := k.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	last, err := k.Last()
	if err != nil || len(last.Differences) != 1 || last.Differences[0].Check != ledger.Door || last.Differences[0].N != -1 {
		t.Errorf("%+v, %v", last, err)
	}
	want := `# HELP pixel_ledger_imbalance Events or deliveries by which a check of the books fails; 0 is as it should be.
# TYPE pixel_ledger_imbalance gauge
pixel_ledger_imbalance{check="dead"} 0
pixel_ledger_imbalance{check="delivered"} 0
pixel_ledger_imbalance{check="door"} 1
pixel_ledger_imbalance{check="routed"} 0
pixel_ledger_imbalance{check="stored"} 0
pixel_ledger_imbalance{check="waiting"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "pixel_ledger_imbalance"); err != nil {
		t.Error(err)
	}
	s.err = errors.New("away")
	if _, err := k.Look(t.Context()); !errors.Is(err, s.err) {
		t.Errorf("got %v", err)
	}
}
