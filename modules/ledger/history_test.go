package ledger_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

func TestTheBooksOutliveWhatTheQueuesKeep(t *testing.T) {
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	history, err := sqliteanalytics.New(db)
	if err != nil {
		t.Fatal(err)
	}
	now := queue.Account{Hour: nine}.Time().Add(30 * time.Minute)
	s := &shop{}
	count := func(hour int32, stage string, n int64) {
		for i := range s.counts {
			if c := &s.counts[i]; c.Account.Hour == hour && c.Stage == stage {
				c.N = n
				return
			}
		}
		s.counts = append(s.counts, queue.Count{Account: queue.Account{Pixel: "px", Hour: hour}, Queue: "ingest:high", Stage: stage, N: n})
	}
	for hour := nine - 24*30; hour <= nine; hour += 24 {
		count(hour, ledger.Received, 5)
		count(hour, queue.In, 5)
		count(hour, ledger.StoredFor("ttd"), 4)
	}
	keeper := func() *ledger.Keeper {
		k, err := ledger.NewKeeper(s, s, s, history, slog.New(slog.DiscardHandler), nil, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	file := func(k *ledger.Keeper) {
		t.Helper()
		if err := k.File(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	k := keeper()
	books := func(since, until int32) []ledger.Book {
		t.Helper()
		list, err := k.Books(t.Context(), queue.Account{Hour: since}.Time(), queue.Account{Hour: until}.Time())
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	file(k)
	count(nine, ledger.StoredFor("ttd"), 5)
	count(nine-24*30, ledger.Duplicate, 1)
	now = now.Add(2 * time.Minute)
	file(k)
	file(keeper()) // another that knows nothing, and looks at the old hours at once

	// Two months on the queues know one hour of it, which went on since.
	all := s.counts
	s.counts = slices.DeleteFunc(slices.Clone(all), func(c queue.Count) bool { return c.Account.Hour != nine })
	count(nine, ledger.Received, 6)
	count(nine, queue.In, 6)
	now = now.Add(35 * 24 * time.Hour)
	file(k)
	got := books(nine-24*30, nine+1)
	if len(got) != 31 {
		t.Fatalf("%d books", len(got))
	}
	for i, b := range got {
		want := ledger.Book{Received: 5, Accepted: 5, Stored: 4, Waiting: 1}
		switch i {
		case 0: // as the queues have it
			want = ledger.Book{Received: 6, Accepted: 6, Stored: 5, Waiting: 1}
		case 30:
			want.Duplicate, want.Waiting = 1, 0
		}
		if b.Received != want.Received || b.Accepted != want.Accepted || b.Stored != want.Stored || b.Duplicate != want.Duplicate || b.Waiting != want.Waiting {
			t.Errorf("%d hours before: %+v", nine-queue.Hour(b.Hour), b)
		}
	}
	// What only the history knows is not compared with the store, which may have let its
	// events go.
	list, found, err := k.Read(t.Context(), queue.Account{Hour: nine - 24*30}.Time(), queue.Account{Hour: nine}.Time())
	if err != nil || len(list) != 30 || len(found) != 0 {
		t.Errorf("%d books, %+v, %v", len(list), found, err)
	}
	s.err = errors.New("the queue is away")
	if err := keeper().File(t.Context()); err == nil {
		t.Error("a queue that is away is no error")
	}
}
