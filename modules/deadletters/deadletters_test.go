package deadletters_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/deadletters"
	"github.com/miq/pixel/modules/queue"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// box is a box in memory, newest first; a cursor is the id of the last one seen.
type box struct {
	letters []queue.DeadLetter
	moves   []int // letters a call
	fail    error
}

func (b *box) Dead(_ context.Context, _, cursor string, limit int) ([]queue.DeadLetter, string, error) {
	var page []queue.DeadLetter
	for _, l := range b.letters {
		if cursor != "" && l.ID >= cursor {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].ID, nil
		}
		page = append(page, l)
	}
	return page, "", nil
}

func (b *box) Revive(_ context.Context, _ string, ids ...string) (int, error) {
	return b.take(ids, func(l queue.DeadLetter) bool { return l.Origin != "" })
}

func (b *box) Drop(_ context.Context, _ string, ids ...string) (int, error) {
	return b.take(ids, func(queue.DeadLetter) bool { return true })
}

func (b *box) take(ids []string, may func(queue.DeadLetter) bool) (int, error) {
	if b.fail != nil {
		return 0, b.fail
	}
	was := len(b.letters)
	b.letters = slices.DeleteFunc(b.letters, func(l queue.DeadLetter) bool { return slices.Contains(ids, l.ID) && may(l) })
	b.moves = append(b.moves, was-len(b.letters))
	return was - len(b.letters), nil
}

// fill buries n letters, one a minute from noon: every third is of another
// cause, every fifth came from no queue, every second is px_b's.
func fill(n int) *box {
	b := &box{}
	for i := range n {
		l := queue.DeadLetter{ID: fmt.Sprintf("%06d", i), Reason: "http_400: Bad value", Origin: "s2s:acme", BuriedAt: noon.Add(time.Duration(i) * time.Minute)}
		if i%3 == 0 {
			l.Reason = "http_402"
		}
		if i%5 == 0 {
			l.Origin = ""
		}
		pixel, name := "px_a", "purchase"
		if i%2 == 1 {
			pixel, name = "px_b", "sign_up"
		}
		l.Body = fmt.Appendf(nil, `{"event":{"id":"e-%d","pixel_id":%q,"name":%q}}`, i, pixel, name)
		b.letters = append([]queue.DeadLetter{l}, b.letters...)
	}
	return b
}

func ptr(s string) *string { return &s }

func TestASelectionTakesWhatItSaysAndMustSaySomething(t *testing.T) {
	for _, c := range []struct {
		name string
		s    deadletters.Selection
		want int // of thirty; -1: refused
	}{
		{"nothing", deadletters.Selection{}, -1},
		{"ids and all", deadletters.Selection{IDs: []string{"000001"}, All: true}, -1},
		{"all and a filter", deadletters.Selection{All: true, Event: "purchase"}, -1},
		{"ids and a filter", deadletters.Selection{IDs: []string{"000001"}, PixelID: "px_a"}, -1},
		{"a range that ends before it begins", deadletters.Selection{Since: noon, Until: noon}, -1},
		{"all", deadletters.Selection{All: true}, 30},
		{"ids, one of them unknown", deadletters.Selection{IDs: []string{"000001", "000029", "gone"}}, 2},
		{"a whole reason", deadletters.Selection{Reason: ptr("http_402")}, 10},
		{"a whole reason is not a part of one", deadletters.Selection{Reason: ptr("http_4")}, 0},
		{"no reason", deadletters.Selection{Reason: ptr("")}, 0},
		{"part of a reason", deadletters.Selection{Contains: "bad VALUE"}, 20},
		{"a pixel", deadletters.Selection{PixelID: "px_b"}, 15},
		{"an event", deadletters.Selection{Event: "purchase"}, 15},
		{"since", deadletters.Selection{Since: noon.Add(28 * time.Minute)}, 2},
		{"until, exclusive", deadletters.Selection{Until: noon.Add(2 * time.Minute)}, 2},
		{"all parts of a filter at once", deadletters.Selection{Reason: ptr("http_402"), PixelID: "px_b", Since: noon.Add(10 * time.Minute), Until: noon.Add(20 * time.Minute)}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := deadletters.Drop(t.Context(), fill(30), "dlq:acme", c.s, deadletters.Options{DryRun: true})
			if (err != nil) != (c.want < 0) || err == nil && r.Selected != c.want {
				t.Errorf("selected %d, error %v; want %d", r.Selected, err, c.want)
			}
		})
	}
}

func TestReplayMovesAllThatCanBeMovedHoweverManyThereAre(t *testing.T) {
	b := fill(2345)
	r, err := deadletters.Replay(t.Context(), b, "dlq:acme", deadletters.Selection{All: true}, deadletters.Options{})
	if err != nil || r.Selected != 2345 || r.Moved != 2345-469 || r.Stuck != 469 || r.More {
		t.Errorf("got %+v, %v", r, err)
	}
	if len(b.letters) != 469 {
		t.Errorf("%d letters are left", len(b.letters))
	}
}

func TestADryRunMovesNothing(t *testing.T) {
	b := fill(30)
	for name, f := range map[string]func(context.Context, deadletters.Box, string, deadletters.Selection, deadletters.Options) (deadletters.Result, error){
		"replay": deadletters.Replay, "drop": deadletters.Drop,
	} {
		r, err := f(t.Context(), b, "dlq:acme", deadletters.Selection{Event: "purchase"}, deadletters.Options{DryRun: true})
		if err != nil || r.Selected != 15 || r.Moved != 0 || len(b.moves) != 0 {
			t.Errorf("%s: %+v, %v, moved %v", name, r, err, b.moves)
		}
	}
}

func TestALimitedCallSaysWhereToGoOnAndNothingIsSkippedOrMovedTwice(t *testing.T) {
	b := fill(1000)
	total, calls, cursor := deadletters.Result{}, 0, ""
	for more := true; more; calls++ {
		r, err := deadletters.Replay(t.Context(), b, "dlq:acme", deadletters.Selection{Contains: "http_400"}, deadletters.Options{Limit: 100, Cursor: cursor})
		if err != nil || r.Moved > 200 {
			t.Fatalf("%+v, %v", r, err)
		}
		total.Selected, total.Moved, total.Stuck = total.Selected+r.Selected, total.Moved+r.Moved, total.Stuck+r.Stuck
		more, cursor = r.More, r.Next
	}
	if total.Selected != 666 || total.Moved+total.Stuck != 666 || calls < 4 {
		t.Errorf("%+v in %d calls", total, calls)
	}
}

func TestARateIsKept(t *testing.T) {
	b := fill(100)
	var slept time.Duration
	r, err := deadletters.Drop(t.Context(), b, "dlq:acme", deadletters.Selection{All: true}, deadletters.Options{Rate: 10, Sleep: func(_ context.Context, d time.Duration) error {
		slept += d
		return nil
	}})
	if err != nil || r.Moved != 100 {
		t.Fatalf("%+v, %v", r, err)
	}
	if slept < 9*time.Second || slept > 10*time.Second || slices.Max(b.moves) > 5 {
		t.Errorf("waited %s between moves of %v", slept, b.moves)
	}
}

func TestACallThatIsCutShortSaysWhatItDid(t *testing.T) {
	b := fill(100)
	r, err := deadletters.Drop(t.Context(), b, "dlq:acme", deadletters.Selection{All: true}, deadletters.Options{Rate: 10, Sleep: func(context.Context, time.Duration) error {
		if len(b.letters) < 50 {
			return context.Canceled
		}
		return nil
	}})
	if err != nil || !r.More || r.Moved != 100-len(b.letters) || r.Moved < 50 {
		t.Errorf("%+v, %v", r, err)
	}
	b.fail = errors.New("away")
	if _, err := deadletters.Drop(t.Context(), b, "dlq:acme", deadletters.Selection{All: true}, deadletters.Options{Cursor: r.Next}); !errors.Is(err, b.fail) {
		t.Errorf("got %v", err)
	}
}

func TestFindPagesThroughAllThatAreMeantAndNoneTwice(t *testing.T) {
	b := fill(1000)
	for _, s := range []deadletters.Selection{{All: true}, {PixelID: "px_b"}, {IDs: []string{"000500", "000002"}}} {
		var got []string
		for cursor, first := "", true; first || cursor != ""; first = false {
			letters, next, err := deadletters.Find(t.Context(), b, "dlq:acme", s, cursor, 30)
			if err != nil || len(letters) > 30 {
				t.Fatalf("%d letters, %v", len(letters), err)
			}
			for _, l := range letters {
				got = append(got, l.ID)
			}
			cursor = next
		}
		var want []string
		for _, l := range b.letters {
			if s.Takes(l) {
				want = append(want, l.ID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %d letters, want %d", s, len(got), len(want))
		}
	}
}

func TestCausesAreCountedTheMostFrequentFirst(t *testing.T) {
	got, more, err := deadletters.Causes(t.Context(), fill(30), "dlq:acme")
	want := []deadletters.Cause{{Reason: "http_400: Bad value", Count: 20, Movable: 16}, {Reason: "http_402", Count: 10, Movable: 8}}
	if err != nil || more || !slices.Equal(got, want) {
		t.Errorf("got %+v, %t, %v", got, more, err)
	}
}

func TestABodyTellsWhatItIsAboutAndShowsNoWholeAddress(t *testing.T) {
	for body, want := range map[string]deadletters.Subject{
		`{"event":{"id":"e","pixel_id":"p","name":"n"},"partner":"acme"}`: {ID: "e", Event: "n", PixelID: "p"},
		`{"id":"e","pixel_id":"p","name":"n"}`:                            {ID: "e", Event: "n", PixelID: "p"},
		`{"pixel_id":"p","code":"bad_name","event":{"name":"n"}}`:         {Event: "n", PixelID: "p"},
		`not JSON`: {},
	} {
		if got := deadletters.About([]byte(body)); got != want {
			t.Errorf("%s: %+v", body, got)
		}
	}
	for _, ip := range []string{"203.0.113.77", "2001:db8:1:2:3:4:5:77", `a\"b.77`} {
		if got := string(deadletters.Masked([]byte(`{"context":{"ip":"` + ip + `"},"x":77}`))); strings.Count(got, "77") != 1 || !strings.HasSuffix(got, `"x":77}`) {
			t.Errorf("%s shows as %s", ip, got)
		}
	}
}
