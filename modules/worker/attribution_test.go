package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func TestConversionsAreOwedToWhatCameBeforeAndCorrectedByWhatComesLate(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name  string
		items []*item
		// want is what models give the conversion "sale".
		want  map[string]string
		value int64
	}{
		{
			"a path",
			[]*item{happened("1", "v", "visit ads", begin), happened("2", "v", "visit email", begin.Add(day)), happened("sale", "v", "purchase", begin.Add(2*day), order("o", "10"))},
			map[string]string{"first": "paid_search 100", "last": "email 100", "linear": "paid_search 50 email 50"}, 10e6,
		},
		{
			"nothing is known of the visitor",
			[]*item{happened("sale", "v", "purchase", begin)},
			map[string]string{"first": "unattributed 100", "linear": "unattributed 100", "last_non_direct": "unattributed 100"}, 0,
		},
		{
			"nobody is known",
			[]*item{happened("sale", "", "purchase", begin, order("o", "10"))},
			map[string]string{"linear": "unattributed 100"}, 10e6,
		},
		{
			"a click that comes late, but was before",
			[]*item{happened("1", "v", "visit email", begin), happened("sale", "v", "purchase", begin.Add(2*day)), happened("2", "v", "click", begin.Add(day))},
			map[string]string{"linear": "email 50 display 50", "last": "display 100", "first": "email 100"}, 0,
		},
		{
			"an impression that comes late and was too long before",
			[]*item{happened("1", "v", "visit email", begin.Add(9*day)), happened("sale", "v", "purchase", begin.Add(10*day)), happened("2", "v", "impression", begin.Add(2*day))},
			map[string]string{"linear": "email 100"}, 0,
		},
		{
			"a visit after it",
			[]*item{happened("1", "v", "visit email", begin), happened("sale", "v", "purchase", begin.Add(day)), happened("2", "v", "visit ads", begin.Add(2*day))},
			map[string]string{"linear": "email 100"}, 0,
		},
		{
			"a part is paid back",
			[]*item{happened("1", "v", "visit email", begin), happened("sale", "v", "purchase", begin.Add(day), order("o", "10")), happened("r", "", "refund", begin.Add(3*day), order("o", "4"))},
			map[string]string{"linear": "email 100"}, 6e6,
		},
		{
			"two parts, one of them twice",
			[]*item{happened("sale", "v", "purchase", begin, order("o", "10")), happened("r", "", "refund", begin, order("o", "4")), happened("r2", "x", "refund", begin, order("o", "1")), happened("r", "", "refund", begin, order("o", "4"))},
			map[string]string{"linear": "unattributed 100"}, 5e6,
		},
		{
			"all is paid back",
			[]*item{happened("sale", "v", "purchase", begin, order("o", "10")), happened("r", "", "refund", begin, order("o", ""))},
			map[string]string{"linear": "unattributed 100"}, 0,
		},
		{
			"it was paid back before it was heard of",
			[]*item{happened("r", "", "refund", begin, order("o", "4")), happened("sale", "v", "purchase", begin, order("o", "10"))},
			map[string]string{"linear": "unattributed 100"}, 6e6,
		},
		{
			"another order is paid back",
			[]*item{happened("sale", "v", "purchase", begin, order("o", "10")), happened("r", "", "refund", begin, order("other", "4"))},
			map[string]string{"linear": "unattributed 100"}, 10e6,
		},
		{
			"somebody else's visit",
			[]*item{happened("1", "w", "visit email", begin), happened("sale", "v", "purchase", begin.Add(day))},
			map[string]string{"linear": "unattributed 100"}, 0,
		},
		{
			"the same person's visit in another browser",
			[]*item{happened("1", "w", "visit email", begin), happened("2", "v", "visit ads", begin.Add(day)), happened("sale", "v", "purchase", begin.Add(2*day), linked("v", "w"))},
			map[string]string{"linear": "email 50 paid_search 50"}, 0,
		},
		{
			"the same person's visit in another browser that comes late",
			[]*item{happened("2", "v", "visit ads", begin.Add(day)), happened("sale", "v", "purchase", begin.Add(2*day), linked("v", "w")), happened("1", "w", "visit email", begin, linked("v", "w"))},
			map[string]string{"linear": "email 50 paid_search 50"}, 0,
		},
		{
			"that both are one person turns out afterwards",
			[]*item{happened("1", "w", "visit email", begin), happened("sale", "v", "purchase", begin.Add(2*day)), happened("login", "v", "login", begin.Add(3*day), linked("v", "w"), func(it *item) { it.merged = true })},
			map[string]string{"linear": "email 100"}, 0,
		},
		{
			"partial consent links nobody: a visit",
			[]*item{happened("1", "w", "visit email", begin, partialConsent), happened("sale", "v", "purchase", begin.Add(2*day), linked("v", "w"))},
			map[string]string{"linear": "unattributed 100"}, 0,
		},
		{
			"partial consent links nobody: a conversion",
			[]*item{happened("1", "w", "visit email", begin, linked("v", "w")), happened("sale", "v", "purchase", begin.Add(2*day), partialConsent, linked("v", "w"))},
			map[string]string{"linear": "unattributed 100"}, 0,
		},
		{
			"under partial consent a visitor's own visits count",
			[]*item{happened("1", "v", "visit email", begin, partialConsent), happened("sale", "v", "purchase", begin.Add(2*day), partialConsent)},
			map[string]string{"linear": "email 100"}, 0,
		},
		{
			"a machine neither visits nor buys",
			[]*item{happened("1", "v", "visit email", begin, func(it *item) { it.event.Enrichment.Bot = "crawler" }), happened("sale", "v", "purchase", begin.Add(day))},
			map[string]string{"linear": "unattributed 100"}, 0,
		},
		{
			"the tag remembers what no event told",
			[]*item{happened("sale", "v", "purchase", begin.Add(3*day), func(it *item) {
				it.event.Context.Touch.First = event.Touch{Time: begin.Format(time.RFC3339), Params: map[string]string{"utm_source": "newsletter", "utm_medium": "email"}}
				it.event.Context.Touch.Last = event.Touch{Time: begin.Add(day).Format(time.RFC3339), Params: map[string]string{"dclid": "x", "gclid": "y"}}
			})},
			map[string]string{"linear": "email 50 display 50", "last_non_direct": "display 100"}, 0,
		},
		{
			"the tag remembers what an event told as well",
			[]*item{happened("1", "v", "visit email", begin), happened("sale", "v", "purchase", begin.Add(3*day), func(it *item) {
				it.event.Context.Touch.First = event.Touch{Time: begin.Format(time.RFC3339), Params: map[string]string{"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "spring"}}
			})},
			map[string]string{"linear": "email 100"}, 0,
		},
		{
			"what is a conversion is a setting",
			[]*item{happened("1", "v", "visit email", begin), happened("sale", "v", "brochure", begin.Add(day), func(it *item) { it.pixel.Attribution.Conversions = []string{"brochure"} })},
			map[string]string{"linear": "email 100"}, 0,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			alone, together := newAttributed(newMemory()), newAttributed(newMemory())
			for range 2 { // the second time is a replay
				for _, it := range c.items {
					if err := alone.take(it); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := together.take(c.items...); err != nil {
				t.Fatal(err)
			}
			for model, want := range c.want {
				if got := alone.percent("sale", model); got != want {
					t.Errorf("%s: %s, want %s", model, got, want)
				}
			}
			if s := alone.ledger.sets["sale linear"]; s.Value != c.value {
				t.Errorf("it is worth %d, want %d", s.Value, c.value)
			}
			if got, want := together.ledger.String(), alone.ledger.String(); got != want {
				t.Errorf("in one batch:\n%s\none by one:\n%s", got, want)
			}
		})
	}
}

func TestAPageAfterTheSaleTellsOfAVisitBeforeItThatFullConsentWasGiven(t *testing.T) {
	a := newAttributed(newMemory())
	for _, it := range []*item{
		happened("1", "v", "visit email", begin.Add(-time.Minute), partialConsent), happened("sale", "v", "purchase", begin, linked("v", "w")),
		happened("2", "w", "visit ads", begin, partialConsent), happened("3", "w", "visit ads", begin.Add(time.Minute), linked("v", "w")),
	} {
		if err := a.take(it); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := a.percent("sale", "linear"), "email 50 paid_search 50"; got != want {
		t.Errorf("it is owed to %s, want %s", got, want)
	}
}

// life is what a few visitors do, in any order.
var life = rapid.Custom(func(t *rapid.T) []*item {
	var out []*item
	together := rapid.Bool().Draw(t, "v and w are one person")
	for i := range rapid.IntRange(1, 14).Draw(t, "events") {
		what := rapid.SampledFrom([]string{"visit email", "visit ads", "visit search", "visit direct", "impression", "click", "purchase", "purchase", "sign_up", "scroll"}).Draw(t, "what")
		visitor := rapid.SampledFrom([]string{"v", "w", "z", ""}).Draw(t, "visitor")
		at := begin.Add(time.Duration(rapid.OneOf(rapid.IntRange(0, 180), rapid.IntRange(0, 60*24*60)).Draw(t, "minute")) * time.Minute)
		it := happened(fmt.Sprint("event-", i), visitor, what, at)
		if what == "purchase" {
			order(fmt.Sprint("order-", i), rapid.SampledFrom([]string{"10", "99.99", ""}).Draw(t, "value"))(it)
			for k := range rapid.IntRange(0, 2).Draw(t, "refunds") {
				out = append(out, happened(fmt.Sprint("refund-", i, k), "", "refund", at, order(fmt.Sprint("order-", i), rapid.SampledFrom([]string{"3", "33.33", ""}).Draw(t, "paid back"))))
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "consent") == 0 {
			partialConsent(it)
		} else if together && (visitor == "v" || visitor == "w") {
			it.linked = []string{"v", "w"}
		}
		out = append(out, it)
	}
	return out
})

// story tells a life to people.
func story(items []*item) string {
	var b strings.Builder
	for _, it := range items {
		e := &it.event
		fmt.Fprintf(&b, "%s: %q of %q at %s, %s, campaign %q, order %q %s, linked %v\n", e.ID, e.Name, e.Subject.VisitorID, e.Time, e.Verdict.State, e.Enrichment.Campaign.Source, e.Order.ID, e.Order.Value, it.linked)
	}
	return b.String()
}

// anyhow gives events in any order, in any batches and some of them again.
func anyhow(t *rapid.T, a *attributed, items []*item) {
	list := append(slices.Clone(items), rapid.SliceOfN(rapid.SampledFrom(items), 0, 5).Draw(t, "again")...)
	list = rapid.Permutation(list).Draw(t, "order")
	for len(list) > 0 {
		n := rapid.IntRange(1, len(list)).Draw(t, "batch")
		a.ledger.fail = rapid.IntRange(0, 4).Draw(t, "luck") == 0
		if err := a.take(list[:n]...); err != nil {
			a.ledger.fail = false // it comes back
			if err := a.take(list[:n]...); err != nil {
				t.Fatal(err)
			}
		}
		a.ledger.fail = false
		list = list[n:]
	}
}

func TestAnyOrderBatchingAndRepetitionGiveTheSameCredits(t *testing.T) {
	check := func(t *testing.T, keys func() state.Keys) {
		rapid.Check(t, func(t *rapid.T) {
			items := life.Draw(t, "life")
			want := newAttributed(newMemory())
			for _, it := range items {
				if err := want.take(it); err != nil {
					t.Fatal(err)
				}
			}
			got := newAttributed(keys())
			anyhow(t, got, items)
			if g, w := got.ledger.String(), want.ledger.String(); g != w {
				t.Fatalf("of %s\ngot\n%s\nwant\n%s", story(items), g, w)
			}
			if g, w := got.ledger.Touches(), want.ledger.Touches(); g != w {
				t.Fatalf("touchpoints\n%s\nwant\n%s", g, w)
			}
			for _, s := range got.ledger.sets {
				var weight, value int64
				for _, h := range s.Shares {
					weight, value = weight+h.Weight, value+h.Value
				}
				if weight != event.Whole || value != s.Value {
					t.Fatalf("%s of %s: weights add up to %d, values to %d of %d", s.Model, s.EventID, weight, value, s.Value)
				}
			}
		})
	}
	t.Run("in memory", func(t *testing.T) { check(t, func() state.Keys { return newMemory() }) })
	t.Run("on SQLite", func(t *testing.T) {
		db, err := sqlitedb.Open(t.TempDir() + "/state.db")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		s, err := sqlitestate.New(db)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		n := 0
		check(t, func() state.Keys { n++; return prefixed{s, fmt.Sprint(n, ":")} })
	})
}

// prefixed is a part of a store.
type prefixed struct {
	state.Keys
	prefix string
}

func (p prefixed) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	keys = slices.Clone(keys)
	for i := range keys {
		keys[i] = p.prefix + keys[i]
	}
	return p.Keys.Get(ctx, keys...)
}

func (p prefixed) SwapAll(ctx context.Context, changes ...state.Change) ([][]byte, error) {
	changes = slices.Clone(changes)
	for i := range changes {
		changes[i].Key = p.prefix + changes[i].Key
	}
	return p.Keys.SwapAll(ctx, changes...)
}

func TestABatchThatOthersChangeMeanwhileLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := life.Draw(t, "life")
		want := newAttributed(newMemory())
		if err := want.take(items...); err != nil {
			t.Fatal(err)
		}
		// Two workers: the other takes its part after this one has read and before it writes.
		keys := newMemory()
		one := newAttributed(keys)
		other := &attributed{attributor{keys: keys}, one.ledger}
		n := rapid.IntRange(0, len(items)).Draw(t, "the other's")
		keys.between = func() {
			if err := other.take(items[:n]...); err != nil {
				t.Fatal(err)
			}
		}
		if err := one.take(items[n:]...); err != nil {
			t.Fatal(err)
		}
		if keys.between != nil { // it had nothing to write
			keys.between()
		}
		if g, w := one.ledger.String(), want.ledger.String(); g != w {
			t.Fatalf("got\n%s\nwant\n%s", g, w)
		}
	})
}

func TestABatchOfVisitsCostsOneReadAndOneWrite(t *testing.T) {
	keys := newMemory()
	a := newAttributed(keys)
	var items []*item
	for i := range 256 {
		items = append(items, happened(fmt.Sprint(i), fmt.Sprint("visitor-", i%200), "visit email", begin.Add(time.Duration(i)*time.Hour)))
	}
	if err := a.take(items...); err != nil {
		t.Fatal(err)
	}
	if keys.trips != 2 {
		t.Errorf("it took %d round trips", keys.trips)
	}
	keys.trips = 0
	if err := a.take(happened("x", "v", "scroll", begin)); err != nil || keys.trips != 0 {
		t.Errorf("an event that tells of nothing took %d round trips, %v", keys.trips, err)
	}
	size := 0
	for _, v := range keys.values {
		size += len(v)
	}
	t.Logf("%d bytes a visitor with %.1f touchpoints", size/len(keys.values), 256.0/200)
}

func TestWhoWithdrewIsForgottenWithHisOrders(t *testing.T) {
	keys := newMemory()
	a := newAttributed(keys)
	if err := a.take(happened("1", "v", "visit email", begin), happened("sale", "v", "purchase", begin, order("o", "10"))); err != nil {
		t.Fatal(err)
	}
	if len(keys.values) != 2 {
		t.Fatalf("%d keys", len(keys.values))
	}
	if err := forgetPath(t.Context(), keys, consent.Visitor{PixelID: "px", ID: "v"}); err != nil || len(keys.values) != 0 {
		t.Errorf("%d keys are left, %v", len(keys.values), err)
	}
}

func TestTheWorkerAttributesWhatItStores(t *testing.T) {
	x := setup(t)
	x.start()
	visit := purchase("visit", func(e *event.Event) { e.Name, e.Order = "page_view", event.Order{}; e.Time = e.Time.Add(-time.Hour) })
	sale := purchase("sale", func(e *event.Event) {
		e.Subject.AnonymousID = "visitor-visit"
		e.Context.Page = event.Page{URL: "https://shop.example.com/thanks", Referrer: "https://shop.example.com/cart"}
	})
	x.push(sale, visit)
	x.done()
	page, err := x.store.Credits(t.Context(), analytics.CreditFilter{EventID: "sale"})
	if err != nil || len(page.Credits) != len(attribution.Immediate) {
		t.Fatalf("%d sets of credits, %v", len(page.Credits), err)
	}
	for _, c := range page.Credits {
		if len(c.Shares) != 1 || c.Shares[0].Channel != "paid_search" || c.Shares[0].Weight != event.Whole || c.Value != 99_500_000 || c.Currency != "GBP" {
			t.Errorf("%+v", c)
		}
	}
	paths, err := x.store.Paths(t.Context(), analytics.PathQuery{})
	if err != nil || len(paths) != 1 || paths[0].Conversions != 1 || paths[0].Nulls != 0 {
		t.Errorf("%+v, %v", paths, err)
	}
}
