package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
)

// on is a page view of a browser with one domain's id, which comes by a token.
func on(id, visitor, from, use string, change ...func(*event.Event)) event.Event {
	return purchase(id, append([]func(*event.Event){func(e *event.Event) {
		e.Name, e.Priority, e.Order = "page_view", event.Standard, event.Order{}
		e.Subject.AnonymousID = visitor
		if from != "" {
			e.Crossing = event.Crossing{Visitor: from, Use: use}
		}
	}}, change...)...)
}

func partly(e *event.Event) { e.Verdict.State = event.Partial }

// persons are the visitors of whoever a visitor is.
func persons(t *testing.T, people *identity.Graph, visitor string) []string {
	t.Helper()
	list, err := people.Visitors(t.Context(), "px", event.Subject{AnonymousID: visitor})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAVisitorIsKnownAgainOnAnotherDomain(t *testing.T) {
	for name, c := range map[string]struct {
		batches [][]event.Event
		want    []string // whoever anon-b is
	}{
		"by a token":                             {[][]event.Event{{on("1", "anon-b", "anon-a", "token")}}, []string{"anon-a", "anon-b"}},
		"by several events with one token":       {[][]event.Event{{on("1", "anon-b", "anon-a", "token"), on("2", "anon-b", "anon-a", "token")}, {on("3", "anon-b", "anon-a", "token")}}, []string{"anon-a", "anon-b"}},
		"there and back":                         {[][]event.Event{{on("1", "anon-b", "anon-a", "token")}, {on("2", "anon-a", "anon-b", "other")}}, []string{"anon-a", "anon-b"}},
		"over three domains":                     {[][]event.Event{{on("1", "anon-b", "anon-a", "token"), on("2", "anon-c", "anon-b", "other")}}, []string{"anon-a", "anon-b", "anon-c"}},
		"not by a token that another used":       {[][]event.Event{{on("1", "anon-x", "anon-a", "token")}, {on("2", "anon-b", "anon-a", "token")}}, nil},
		"not by one that another of a batch did": {[][]event.Event{{on("1", "anon-x", "anon-a", "token"), on("2", "anon-b", "anon-a", "token")}}, nil},
		"not with partial consent":               {[][]event.Event{{on("1", "anon-b", "anon-a", "token", partly)}}, nil},
		"not where the first allows less by now": {[][]event.Event{{on("0", "anon-a", "", "", partly)}, {on("1", "anon-b", "anon-a", "token")}}, nil},
		"not with himself":                       {[][]event.Event{{on("1", "anon-b", "anon-b", "token")}}, nil},
		"not without a token":                    {[][]event.Event{{on("1", "anon-b", "anon-a", "")}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			x := setup(t)
			people := identity.New(x.keys, x.store, identity.Usual, nil)
			x.deps.People = people
			x.start()
			for _, events := range c.batches {
				x.push(events...)
				x.done()
			}
			if got := persons(t, people, "anon-b"); !slices.Equal(got, c.want) {
				t.Errorf("anon-b is %v, want %v", got, c.want)
			}
			for id, e := range x.stored() {
				if e.Crossing != (event.Crossing{}) {
					t.Errorf("%s is stored with %+v", id, e.Crossing)
				}
			}
			for id, e := range x.shelf.records {
				if e.Crossing != (event.Crossing{}) {
					t.Errorf("%s is archived with %+v", id, e.Crossing)
				}
			}
		})
	}
}

func TestWhoCrossesDomainsIsOnePersonWhereverTheWorkerDied(t *testing.T) {
	steps := setup(t).make().steps
	for _, s := range steps {
		t.Run("killed in "+s.name, func(t *testing.T) {
			t.Parallel()
			x := setup(t)
			people := identity.New(x.keys, x.store, identity.Usual, nil)
			x.deps.People = people
			var failed atomic.Bool
			x.wrap(s.name, func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
				err := step(ctx, b)
				if failed.CompareAndSwap(false, true) {
					return errors.Join(err, errors.New("killed"))
				}
				return err
			})
			x.push(on("1", "anon-b", "anon-a", "token"), on("2", "anon-a", "", ""))
			x.start()
			x.done()
			if got := persons(t, people, "anon-a"); !slices.Equal(got, []string{"anon-a", "anon-b"}) {
				t.Errorf("anon-a is %v", got)
			}
			p, err := people.Profile(t.Context(), "px", identity.Of(identity.Visitor, "anon-a"))
			if err != nil || len(p.Links) != 1 || p.Links[0].Event != "1" || p.Links[0].Source != "crossing" {
				t.Fatalf("the evidence is %+v, %v", p.Links, err)
			}
			// And it can be undone, for good.
			if err := people.Unlink(t.Context(), "px", identity.Of(identity.Visitor, "anon-a"), identity.Of(identity.Visitor, "anon-b")); err != nil {
				t.Fatal(err)
			}
			x.push(on("3", "anon-b", "anon-a", "another"))
			x.done()
			if got := persons(t, people, "anon-a"); slices.Contains(got, "anon-b") {
				t.Errorf("after it was undone anon-a is %v", got)
			}
		})
	}
}

func TestWhoWithdrawsIsNobodyOnTheOtherDomainsEither(t *testing.T) {
	for _, who := range []string{"anon-a", "anon-b"} {
		t.Run(who, func(t *testing.T) {
			x := setup(t)
			people := identity.New(x.keys, x.store, identity.Usual, nil)
			x.deps.People = people
			x.start()
			// What anon-b is on its domain is nothing that anon-a has to know once either left.
			x.push(on("1", "anon-b", "anon-a", "token", func(e *event.Event) { e.Subject.UserID = "customer-7" }), on("2", "anon-a", "", ""))
			x.done()
			if got := persons(t, people, "anon-a"); len(got) != 2 {
				t.Fatalf("anon-a is %v", got)
			}
			x.withdraw(who)
			x.until("the visitor is forgotten", func() bool {
				list, err := people.Visitors(t.Context(), "px", event.Subject{AnonymousID: who})
				return err == nil && len(list) == 0
			})
			other := map[string]string{"anon-a": "anon-b", "anon-b": "anon-a"}[who]
			if got := persons(t, people, other); slices.Contains(got, who) {
				t.Errorf("%s is %v", other, got)
			}
			// Nor does a token that was made before make them one again.
			x.push(on("3", "anon-c", who, fmt.Sprint("made before by ", who)))
			x.done()
			if got := persons(t, people, "anon-c"); len(got) != 0 {
				t.Errorf("anon-c is %v", got)
			}
			if list, err := people.Visitors(t.Context(), "px", event.Subject{UserID: "customer-7"}); err != nil || slices.Contains(list, who) || slices.Contains(list, "anon-a") && who == "anon-b" {
				t.Errorf("the customer is %v, %v", list, err)
			}
		})
	}
}
