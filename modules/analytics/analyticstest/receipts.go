package analyticstest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// Receipts makes n consent receipts, one a minute, of three visitors of two pixels.
func Receipts(n int) []event.ConsentReceipt {
	out := make([]event.ConsentReceipt, n)
	for i := range out {
		out[i] = event.ConsentReceipt{
			PixelID: fmt.Sprint("px_", i%2), Subject: fmt.Sprint("subject-", i%3), Seq: i/3 + 1, At: Begin.Add(time.Duration(i) * time.Minute),
			Source: "web", SourceID: fmt.Sprint("event-", i), Hash: fmt.Sprint("hash-", i),
			Verdict:       event.Verdict{State: []event.State{event.Full, event.Partial, event.None}[i%3], Regime: "gdpr", Rule: "R1/G5", Reason: "Because."},
			Signals:       event.Consent{TCF: "CPstring", GPPSID: []int{2, 7}},
			SignalsSHA256: "digest", Policy: event.ConsentPolicy{TCFPolicy: 5, VendorList: 150, Updated: Begin},
		}
	}
	return out
}

func receipts(t *testing.T, s analytics.Store) {
	list := Receipts(60)
	write := func(r ...event.ConsentReceipt) {
		t.Helper()
		if err := s.WriteReceipts(t.Context(), r...); err != nil {
			t.Fatalf("write %d receipts: %v", len(r), err)
		}
	}
	write()
	write(list[:30]...)
	changed := list[3]
	changed.Verdict.State = event.None
	write(append([]event.ConsentReceipt{changed}, list[20:]...)...) // some for the second time

	equal := func(want, got string) bool { return want == "" || want == got }
	for i, f := range []analytics.ReceiptFilter{
		{},
		{Limit: 7},
		{PixelID: "px_1"},
		{Subjects: []string{"subject-1"}},
		{Subjects: []string{"subject-1", "subject-2", "no such subject"}, Limit: 11},
		{State: event.None, PixelID: "px_0"},
		{Since: list[10].At, Until: list[20].At, Limit: 3},
		{Subjects: []string{"' OR 1=1 --"}},
	} {
		var want, got []string
		for j := range list {
			r := &list[len(list)-1-j]
			if equal(f.PixelID, r.PixelID) && equal(string(f.State), string(r.Verdict.State)) && within(f.Since, f.Until, r.At) &&
				(len(f.Subjects) == 0 || slices.Contains(f.Subjects, r.Subject)) {
				want = append(want, encode(t, r))
			}
		}
		for {
			page, err := s.Receipts(t.Context(), f)
			if err != nil {
				t.Fatalf("%d: %v", i, err)
			}
			for j := range page.Receipts {
				got = append(got, encode(t, &page.Receipts[j]))
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d: %d receipts are not the %d of a recount", i, len(got), len(want))
		}
	}
	for _, f := range []analytics.ReceiptFilter{{Limit: -1}, {Limit: 1001}, {Cursor: "x"}, {Since: list[1].At, Until: list[0].At}, {Subjects: make([]string, 1001)}} {
		if _, err := s.Receipts(t.Context(), f); !errors.Is(err, analytics.ErrInvalid) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
