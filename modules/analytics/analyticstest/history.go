package analyticstest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

func countsKept(t *testing.T, s analytics.Store) {
	first := Begin.Truncate(time.Hour)
	var all []analytics.Counted // in the order that they are listed in
	for _, queue := range []string{"dlq:ttd", "ingest:high", "s2s:ttd"} {
		for h := range 30 {
			for _, pixel := range []string{"", "px_1", "px_2"} {
				for i, stage := range []string{"in", "stored:dv360,ttd"} {
					all = append(all, analytics.Counted{Queue: queue, PixelID: pixel, Hour: first.Add(time.Duration(h) * time.Hour), Stage: stage, N: int64(len(all) + i)})
				}
			}
		}
	}
	write := func(read time.Time, counts ...analytics.Counted) {
		t.Helper()
		if err := s.WriteCounts(t.Context(), read, counts...); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, since, until time.Time) {
		t.Helper()
		var want []analytics.Counted
		for _, c := range all {
			if !c.Hour.Before(since) && c.Hour.Before(until) {
				want = append(want, c)
			}
		}
		got, err := s.Counts(t.Context(), since, until)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d counts are not the %d that were written, %v", when, len(got), len(want), err)
		}
	}
	write(first)
	older := slices.Clone(all)
	write(first.Add(time.Hour), older...)
	check("once", first, first.Add(30*time.Hour))
	// What was read later stands, whatever is written after.
	r := rand.New(rand.NewPCG(1, 2))
	for i := range all {
		if r.IntN(2) == 0 {
			all[i].N += 1 << 40
		}
	}
	write(first.Add(2*time.Hour), all...)
	write(first.Add(2*time.Hour), all[:40]...)
	write(first.Add(time.Hour+time.Microsecond), older...)
	check("again", first, first.Add(30*time.Hour))
	check("some hours", first.Add(3*time.Hour), first.Add(9*time.Hour))
	check("none", first.Add(3*time.Hour), first.Add(3*time.Hour))
	check("before", first.Add(-60*24*time.Hour), first)
	for _, span := range [][2]time.Time{{}, {first, {}}, {first, first.Add(-time.Hour)}, {first, first.Add(analytics.MaxBooks + time.Hour)}} {
		if _, err := s.Counts(t.Context(), span[0], span[1]); !errors.Is(err, analytics.ErrInvalid) {
			t.Errorf("%v: %v", span, err)
		}
	}
}

func auditKept(t *testing.T, s analytics.Store) {
	all := make([]analytics.AuditEntry, 130)
	for i := range all {
		all[i] = analytics.AuditEntry{
			ID: fmt.Sprintf("%04d", i), At: Begin.Add(time.Duration(i) * time.Minute), Actor: fmt.Sprint("u", i%3), Action: "pixel.update", Target: fmt.Sprint("px_", i%5),
			Body: fmt.Appendf(nil, `{"id":"%04d","note":"it's \"%d\" \\ € – '"}`, i, i),
		}
	}
	write := func(entries ...analytics.AuditEntry) {
		t.Helper()
		if err := s.WriteAudit(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	write()
	write(all[:100]...)
	changed := all[7]
	changed.Body = []byte("changed")
	write(append([]analytics.AuditEntry{changed}, all[60:]...)...) // some for the second time
	slices.Reverse(all)
	for _, limit := range []int{0, 7, 1000} {
		var got []analytics.AuditEntry
		before := ""
		for {
			page, err := s.Audit(t.Context(), before, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			before = page[len(page)-1].ID
		}
		same := slices.EqualFunc(got, all, func(a, b analytics.AuditEntry) bool {
			return a.ID == b.ID && a.At.Equal(b.At) && a.Actor == b.Actor && a.Action == b.Action && a.Target == b.Target && bytes.Equal(a.Body, b.Body)
		})
		if !same {
			t.Errorf("by %d: %d lines are not the %d that were written first", limit, len(got), len(all))
		}
	}
	if _, err := s.Audit(t.Context(), "", 1001); !errors.Is(err, analytics.ErrInvalid) {
		t.Errorf("1,001 lines: %v", err)
	}
	if page, err := s.Audit(t.Context(), "' OR 1=1 --", 10); err != nil || len(page) != 0 {
		t.Errorf("before what is no id: %d lines, %v", len(page), err)
	}
}
