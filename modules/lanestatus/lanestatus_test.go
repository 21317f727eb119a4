package lanestatus

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func keys(t *testing.T) *sqlitestate.Store {
	t.Helper()
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); db.Close() })
	return s
}

func lane(partner string) Status {
	return Status{
		Partner: partner, Breaker: Open, Since: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Paused: "why", InFlight: 3, Success: 4, Failed: 5,
		Answers: []Answer{{At: time.Date(2026, 11, 22, 10, 0, 1, 0, time.UTC), Status: 503, Events: 7, Latency: 1500 * time.Millisecond, Note: "http_503"}},
	}
}

func TestWhatIsPublishedIsRead(t *testing.T) {
	k := keys(t)
	if all, err := Read(t.Context(), k); err != nil || len(all) != 0 {
		t.Fatalf("%v, %v", all, err)
	}
	var running []*Publisher
	for i := range 3 {
		p := NewPublisher(k, fmt.Sprint("d", i), func() []Status { return []Status{lane("ttd"), lane("amazon")} }, slog.New(slog.DiscardHandler))
		if err := p.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The second time it writes to the same place.
		if err := p.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		running = append(running, p)
	}
	all, err := Read(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	var want []Status
	for _, name := range []string{"amazon", "ttd"} {
		for i := range 3 {
			s := lane(name)
			s.Instance = fmt.Sprint("d", i)
			want = append(want, s)
		}
	}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("want %+v\ngot  %+v", want, all)
	}
	// One that stops takes its figures away, and only those.
	running[1].Start()
	running[1].Stop(context.Background())
	if all, _ := Read(t.Context(), k); len(all) != 4 {
		t.Errorf("after one stopped: %+v", all)
	}
}

func TestMerge(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 11, 22, 10, 0, s, 0, time.UTC) }
	answers := func(seconds ...int) (list []Answer) {
		for _, s := range seconds {
			list = append(list, Answer{At: at(s), Status: 200})
		}
		return list
	}
	all := []Status{
		{Partner: "ttd", Breaker: Closed, Since: at(1), InFlight: 1, Success: 10, Failed: 1, Answers: answers(9, 7, 5)},
		{Partner: "ttd", Breaker: Open, Since: at(2), InFlight: 2, Success: 20, Failed: 2, Paused: "why", Answers: answers(8, 6, 4)},
		{Partner: "ttd", Breaker: HalfOpen, Since: at(3)},
		{Partner: "amazon", Breaker: Open, Success: 99},
	}
	got, ok := Merge(all, "ttd")
	want := Status{Partner: "ttd", Breaker: Open, Since: at(2), Paused: "why", InFlight: 3, Success: 30, Failed: 3, Answers: answers(9, 8, 7, 6, 5)}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("want %+v\ngot  %+v", want, got)
	}
	if s, ok := Merge(all, "yahoo"); ok || s.Breaker != Closed {
		t.Errorf("%+v, %v", s, ok)
	}
}
