package queuetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
)

// hour is when the messages here are counted.
var hour = queue.Hour(time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC))

func account(pixel string) queue.Account { return queue.Account{Pixel: pixel, Hour: hour} }

// counted pushes bodies under an account.
func counted(t *testing.T, b Backend, to string, a queue.Account, bodies ...string) {
	t.Helper()
	items := make([]queue.Item, len(bodies))
	for i, body := range bodies {
		items[i] = queue.Item{Queue: to, Body: []byte(body), Account: a}
	}
	ok(t, b.Push(t.Context(), items...))
}

// settled ends messages of one account.
func settled(t *testing.T, b Backend, from string, a queue.Account, outcome string, msgs ...queue.Message) {
	t.Helper()
	ok(t, b.Settle(t.Context(), from, queue.End{Account: a, Outcome: outcome, IDs: ids(msgs)}))
}

// say compares the books of some hours, written "queue pixel stage=n, …", with
// the hour in front where it is not the usual one.
func say(t *testing.T, b Backend, want ...string) {
	t.Helper()
	counts, err := b.Counts(t.Context(), hour-10, hour+10)
	ok(t, err)
	var got []string
	for _, c := range counts {
		line := fmt.Sprintf("%s %s %s=%d", c.Queue, c.Account.Pixel, c.Stage, c.N)
		if c.Account.Hour != hour {
			line = fmt.Sprintf("%+d %s", c.Account.Hour-hour, line)
		}
		got = append(got, line)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("the books say\n%s\nwant\n%s", g, w)
	}
}

func books(t *testing.T, b Backend) {
	a := account("px_a")
	counted(t, b, name, a, "1", "2", "3", "4", "5")
	push(t, b, name, "not counted")
	say(t, b, "s2s:acme px_a in=5")
	msgs := await(t, b, name, 6)
	slices.SortFunc(msgs, func(x, y queue.Message) int { return strings.Compare(string(x.Body), string(y.Body)) })
	for i, m := range msgs {
		want := a
		if i == 5 {
			want = queue.Account{}
		}
		if m.Account != want {
			t.Errorf("%s has account %v", m.Body, m.Account)
		}
	}
	ok(t, b.Settle(t.Context(), name,
		queue.End{Account: a, Outcome: "delivered", IDs: ids(msgs[:2])},
		queue.End{Account: a, Outcome: "not_sent", IDs: ids(msgs[2:3])},
		queue.End{IDs: ids(msgs[5:])},
	))
	say(t, b, "s2s:acme px_a delivered=2", "s2s:acme px_a in=5", "s2s:acme px_a not_sent=1")
	ok(t, b.Bury(t.Context(), name, "rejected", ids(msgs[3:5])...))
	ok(t, b.Bury(t.Context(), name, "rejected", ids(msgs[3:5])...))
	letters := dead(t, b, "dlq:acme")
	for _, l := range letters {
		if l.Account != a {
			t.Errorf("the letter %s has account %v", l.Body, l.Account)
		}
	}
	say(t, b, "dlq:acme px_a in=2", "s2s:acme px_a buried=2", "s2s:acme px_a delivered=2", "s2s:acme px_a in=5", "s2s:acme px_a not_sent=1")
	n, err := b.Revive(t.Context(), "dlq:acme", letters[0].ID)
	if ok(t, err); n != 1 {
		t.Fatalf("revived %d", n)
	}
	n, err = b.Drop(t.Context(), "dlq:acme", letters[0].ID, letters[1].ID)
	if ok(t, err); n != 1 {
		t.Fatalf("dropped %d", n)
	}
	settled(t, b, name, a, "delivered", await(t, b, name, 1)...)
	say(t, b, "dlq:acme px_a dropped=1", "dlq:acme px_a in=2", "dlq:acme px_a revived=1",
		"s2s:acme px_a buried=2", "s2s:acme px_a delivered=3", "s2s:acme px_a in=5", "s2s:acme px_a not_sent=1", "s2s:acme px_a revived=1")
}

func accounts(t *testing.T, b Backend) {
	before := queue.Account{Pixel: "px_a", Hour: hour - 1}
	ok(t, b.Push(t.Context(),
		queue.Item{Queue: name, Body: []byte("1"), Account: account("px_a")},
		queue.Item{Queue: name, Body: []byte("2"), Account: account("px_b")},
		queue.Item{Queue: name, Body: []byte("3"), Account: before},
		queue.Item{Queue: "ingest:low", Body: []byte("4"), Account: account("px_a")},
		queue.Item{Queue: name, Body: []byte("5"), Account: account("px_b")},
		queue.Item{Queue: queue.Validation, Body: []byte("6"), Reason: "bad", Account: account("px_b")},
		queue.Item{Queue: name, Body: []byte("7"), Account: queue.Account{Pixel: "px_a", Hour: hour - 11}},
	))
	want := []string{"dlq:validation px_b in=1", "ingest:low px_a in=1", "-1 s2s:acme px_a in=1", "s2s:acme px_a in=1", "s2s:acme px_b in=2"}
	say(t, b, want...)
	msgs := pull(t, b, name, 10)
	if len(msgs) != 5 {
		t.Fatalf("pulled %d", len(msgs))
	}
	var ends []queue.End
	for i, a := range []queue.Account{account("px_a"), account("px_b"), before, account("px_b")} {
		if msgs[i].Account != a {
			t.Errorf("%s has account %v, want %v", msgs[i].Body, msgs[i].Account, a)
		}
		ends = append(ends, queue.End{Account: a, Outcome: "delivered", IDs: []string{msgs[i].ID}})
	}
	ok(t, b.Settle(t.Context(), name, ends...))
	say(t, b, "dlq:validation px_b in=1", "ingest:low px_a in=1", "-1 s2s:acme px_a delivered=1", "-1 s2s:acme px_a in=1",
		"s2s:acme px_a delivered=1", "s2s:acme px_a in=1", "s2s:acme px_b delivered=2", "s2s:acme px_b in=2")
	counts, err := b.Counts(t.Context(), hour-1, hour)
	if ok(t, err); len(counts) != 2 {
		t.Errorf("one hour's counts are %+v", counts)
	}
}

func settleTwice(t *testing.T, b Backend) {
	a := account("px_a")
	counted(t, b, name, a, "1", "2", "3")
	msgs := pull(t, b, name, 3)
	settled(t, b, name, a, "stored", msgs[0], msgs[0], msgs[1])
	settled(t, b, name, a, "stored", msgs[0], msgs[1])
	ok(t, b.Bury(t.Context(), name, "too late", msgs[0].ID))
	ok(t, b.Settle(t.Context(), name,
		queue.End{Account: a, Outcome: "stored", IDs: ids(msgs[2:])},
		queue.End{Account: a, Outcome: "duplicate", IDs: ids(msgs[2:])},
	))
	settled(t, b, "s2s:nobody", a, "stored", msgs[0])
	ok(t, b.Settle(t.Context(), name))
	say(t, b, "s2s:acme px_a in=3", "s2s:acme px_a stored=3")
	counts(t, b, name, 0, 0, 0)
}

func lateSettle(t *testing.T, b Backend) {
	a := account("px_a")
	counted(t, b, name, a, "1", "2", "3")
	first := pull(t, b, name, 3)
	again := await(t, b, name, 3)
	ok(t, b.Retry(t.Context(), name, time.Now(), again[2].ID))
	settled(t, b, name, a, "stored", first[0])
	settled(t, b, name, a, "stored", again[:2]...)
	settled(t, b, name, a, "stored", await(t, b, name, 1)...)
	say(t, b, "s2s:acme px_a in=3", "s2s:acme px_a stored=3")
}

func poisonBooks(t *testing.T, b Backend) {
	counted(t, b, name, account("px_a"), "poison")
	for range quick.MaxDeliveries {
		await(t, b, name, 1)
	}
	for giveUp := time.Now().Add(10 * quick.Lease); len(dead(t, b, "dlq:acme")) == 0 && time.Now().Before(giveUp); {
		none(t, b, name)
	}
	say(t, b, "dlq:acme px_a in=1", "s2s:acme px_a buried=1", "s2s:acme px_a in=1")
	counted(t, b, name, account("px_a"), "next")
	say(t, b, "dlq:acme px_a in=1", "s2s:acme px_a buried=1", "s2s:acme px_a in=2")
}

func mereCounts(t *testing.T, b Backend) {
	ok(t, b.Push(t.Context(),
		queue.Item{Queue: "ingest:high", Account: account("px_a"), Stage: "suppressed", N: 2},
		queue.Item{Queue: "ingest:high", Account: account("px_a"), Stage: "suppressed", N: 1},
		queue.Item{Queue: "ingest:high", Account: account("px_b"), Stage: "rejected", N: 1},
	))
	none(t, b, "ingest:high")
	counted(t, b, "ingest:high", account("px_a"), "1")
	ok(t, b.Push(t.Context(), queue.Item{Queue: "ingest:high", Account: account("px_a"), Stage: "received", N: 4},
		queue.Item{Queue: "ingest:high", Account: account("px_a"), Body: []byte("2")}))
	say(t, b, "ingest:high px_a in=2", "ingest:high px_a received=4", "ingest:high px_a suppressed=3", "ingest:high px_b rejected=1")
	counts(t, b, "ingest:high", 2, 0, 0)
	ok(t, b.Push(t.Context(), queue.Item{Queue: "ingest:low", Account: account("px_a"), Stage: "received", N: 1, Body: []byte("3")},
		queue.Item{Queue: "ingest:low", Account: account("px_a"), Stage: "received", N: 1, Body: []byte("4")}))
	say(t, b, "ingest:high px_a in=2", "ingest:high px_a received=4", "ingest:high px_a suppressed=3", "ingest:high px_b rejected=1",
		"ingest:low px_a in=2", "ingest:low px_a received=2")
	if msgs := pull(t, b, "ingest:low", 3); len(msgs) != 2 || string(msgs[1].Body) != "4" {
		t.Errorf("messages that count too: %+v", msgs)
	}
}

func booksOverReopen(t *testing.T, b Backend) {
	a := account("px_a")
	counted(t, b, name, a, "stored", "held", "buried")
	msgs := pull(t, b, name, 3)
	settled(t, b, name, a, "stored", msgs[0])
	ok(t, b.Bury(t.Context(), name, "rejected", msgs[2].ID))
	b = b.Reopen(t)
	held := await(t, b, name, 1)
	if held[0].Account != a {
		t.Errorf("the account is %v after the reopen", held[0].Account)
	}
	settled(t, b, name, a, "stored", held...)
	b = b.Reopen(t)
	say(t, b, "dlq:acme px_a in=1", "s2s:acme px_a buried=1", "s2s:acme px_a in=3", "s2s:acme px_a stored=2")
}

func reviveSame(t *testing.T, b Backend) {
	counted(t, b, name, account("px_a"), "1", "2")
	msgs := pull(t, b, name, 2)
	ok(t, b.Bury(t.Context(), name, "rejected", msgs[1].ID))
	ok(t, b.Ack(t.Context(), name, msgs[0].ID))
	for range 2 {
		n, err := b.Revive(t.Context(), "dlq:acme", dead(t, b, "dlq:acme")[0].ID)
		if ok(t, err); n != 1 {
			t.Fatalf("revived %d", n)
		}
		again := await(t, b, name, 1)[0]
		if again.ID != msgs[1].ID || again.Account != msgs[1].Account || string(again.Body) != "2" || again.Deliveries != 1 {
			t.Errorf("came back as %+v, was %+v", again, msgs[1])
		}
		ok(t, b.Bury(t.Context(), name, "rejected", again.ID))
	}
}
