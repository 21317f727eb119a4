package analytics

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/miq/pixel/modules/event"
)

// scribe notes what it is given, and refuses one kind.
type scribe struct {
	mu      sync.Mutex
	written []string
	refuses string
}

func (s *scribe) note(kind string, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind == s.refuses {
		return errors.New(kind + " cannot be stored")
	}
	for range n {
		s.written = append(s.written, kind)
	}
	return nil
}

func (s *scribe) WriteEvents(_ context.Context, l ...event.Event) error {
	return s.note("event", len(l))
}

func (s *scribe) WriteSyncs(_ context.Context, l ...event.Sync) error { return s.note("sync", len(l)) }

func (s *scribe) WriteMatches(_ context.Context, l ...event.Match) error {
	return s.note("match", len(l))
}

func (s *scribe) WriteReceipts(_ context.Context, l ...event.ConsentReceipt) error {
	return s.note("receipt", len(l))
}

func (s *scribe) WriteTouches(_ context.Context, l ...event.Touchpoint) error {
	return s.note("touch", len(l))
}

func (s *scribe) WriteCredits(_ context.Context, l ...event.Credits) error {
	return s.note("credit", len(l))
}

func TestABatchIsWrittenToThoseWhoTakeItsParts(t *testing.T) {
	all := Batch{
		Events: make([]event.Event, 2), Receipts: make([]event.ConsentReceipt, 1), Touches: make([]event.Touchpoint, 1),
		Credits: make([]event.Credits, 1), Syncs: make([]event.Sync, 1), Matches: make([]event.Match, 1),
	}
	whole := []string{"credit", "event", "event", "match", "receipt", "sync", "touch"}
	for _, refuses := range []string{"", "event", "sync", "match", "receipt", "touch", "credit"} {
		s := &scribe{refuses: refuses}
		err := Apart{s, s, s}.WriteBatch(t.Context(), all)
		if (err != nil) != (refuses != "") {
			t.Errorf("with %q refused: %v", refuses, err)
		}
		slices.Sort(s.written)
		if refuses == "" && !slices.Equal(s.written, whole) {
			t.Errorf("written: %v", s.written)
		}
	}
	if all.Len() != len(whole) {
		t.Errorf("it holds %d", all.Len())
	}
	s := &scribe{refuses: "event"}
	if err := (Apart{s, s, s}).WriteBatch(t.Context(), Batch{Syncs: make([]event.Sync, 1)}); err != nil || len(s.written) != 1 {
		t.Errorf("what is not there was written: %v", err)
	}
}
