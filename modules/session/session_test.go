package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

// memory is the state's keys in memory.
type memory struct {
	m             map[string][]byte
	expiries      []time.Duration // as they were written
	reads, writes int
	err           error
}

func (s *memory) Get(_ context.Context, keys ...string) ([][]byte, error) {
	s.reads++
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = s.m[k]
	}
	return out, s.err
}

func (s *memory) Set(_ context.Context, entries ...state.Entry) error {
	s.writes++
	for _, e := range entries {
		s.expiries = append(s.expiries, e.TTL)
		if _, there := s.m[e.Key]; there || e.TTL != state.Kept {
			s.m[e.Key] = e.Value
		}
	}
	return s.err
}

func store() *memory { return &memory{m: map[string][]byte{}} }

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// at makes an event some minutes after noon, of a campaign.
func at(minutes float64, campaign string, change ...func(*event.Event)) *event.Event {
	e := &event.Event{
		ID: fmt.Sprintf("e%v%s", minutes, campaign), PixelID: "px", Source: "web", Time: noon.Add(time.Duration(minutes * float64(time.Minute))),
		Subject: event.Subject{VisitorID: "v"}, Context: event.Context{Page: event.Page{URL: fmt.Sprintf("https://shop.example/p%v?email=x", minutes)}},
	}
	e.Enrichment.Campaign.Source = campaign
	for _, c := range change {
		c(e)
	}
	return e
}

func assign(t testing.TB, s *memory, site Site, events ...*event.Event) {
	t.Helper()
	list := make([]Of, len(events))
	for i, e := range events {
		list[i] = Of{e, site}
	}
	if err := Assign(t.Context(), s, list...); err != nil {
		t.Fatal(err)
	}
}

// shape names sessions a, b, c in the order in which they are met.
func shape(events []*event.Event) string {
	var b strings.Builder
	names := map[string]byte{}
	for _, e := range events {
		id := e.Enrichment.Session.ID
		if id == "" {
			b.WriteByte('-')
			continue
		}
		if names[id] == 0 {
			names[id] = byte('a' + len(names))
		}
		b.WriteByte(names[id])
	}
	return b.String()
}

func TestSessions(t *testing.T) {
	server := func(e *event.Event) { e.Source = "server" }
	nobody := func(e *event.Event) { e.Subject.VisitorID = "" }
	crawler := func(e *event.Event) { e.Enrichment.Bot = "user agent: crawler" }
	program := func(e *event.Event) { e.Enrichment.Bot, e.Enrichment.Automated = "user agent: headless browser", true }
	other := func(e *event.Event) { e.Subject.VisitorID = "w" }
	paid := func(e *event.Event) { e.Enrichment.Referrer.Kind = "paid" }
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		site   Site
		events []*event.Event // in the order in which they come
		want   string
	}{
		"what goes on is one":                         {Site{}, []*event.Event{at(0, ""), at(29, ""), at(58, "")}, "aaa"},
		"half an hour of nothing ends it":             {Site{}, []*event.Event{at(0, ""), at(30, ""), at(61, "")}, "aab"},
		"another campaign begins one":                 {Site{}, []*event.Event{at(0, "mail"), at(1, ""), at(2, "ads"), at(3, ""), at(4, "ads")}, "aabbb"},
		"the same campaign again does not":            {Site{}, []*event.Event{at(0, "mail"), at(5, "mail")}, "aa"},
		"a paid click does, campaign or not":          {Site{}, []*event.Event{at(0, ""), at(5, "", paid)}, "ab"},
		"a campaign ends what began without":          {Site{}, []*event.Event{at(0, ""), at(5, "mail")}, "ab"},
		"visitors do not mix":                         {Site{}, []*event.Event{at(0, ""), at(1, "", other), at(2, "")}, "aba"},
		"nobody has none":                             {Site{}, []*event.Event{at(0, "", nobody)}, "-"},
		"a crawler has none":                          {Site{}, []*event.Event{at(0, "", crawler)}, "-"},
		"a program has one":                           {Site{}, []*event.Event{at(0, "", program)}, "a"},
		"a server joins one":                          {Site{}, []*event.Event{at(0, ""), at(5, "", server), at(31, "")}, "aab"},
		"and opens none":                              {Site{}, []*event.Event{at(0, "", server), at(60, ""), at(100, "", server)}, "-a-"},
		"one that comes late is put where it belongs": {Site{}, []*event.Event{at(0, ""), at(60, ""), at(10, "")}, "aba"},
		"one before the first is part of it":          {Site{}, []*event.Event{at(20, ""), at(0, "")}, "aa"},
		"but not half an hour before":                 {Site{}, []*event.Event{at(40, ""), at(0, "")}, "ab"},
		"nor before a campaign":                       {Site{}, []*event.Event{at(10, "mail"), at(0, "")}, "ab"},
		"two campaigns in one moment":                 {Site{}, []*event.Event{at(0, "mail"), at(0, "ads"), at(0, "mail"), at(1, "")}, "abab"},
		"midnight does not end one":                   {Site{}, []*event.Event{at(12*60-5, ""), at(12*60+5, "")}, "aa"},
		"unless the site wants it":                    {Site{Midnight: true}, []*event.Event{at(12*60-5, ""), at(12*60+5, "")}, "ab"},
		"in its own zone":                             {Site{true, berlin}, []*event.Event{at(11*60-5, ""), at(11*60+5, ""), at(11*60+30, "")}, "abb"},
	} {
		t.Run(name, func(t *testing.T) {
			one := store()
			for _, e := range c.events {
				assign(t, one, c.site, e)
			}
			if got := shape(c.events); got != c.want {
				t.Errorf("one by one: %s, want %s", got, c.want)
			}
			// Again, as after a crash: the same.
			before := shape(c.events)
			ids := map[string]string{}
			for i, e := range c.events {
				ids[fmt.Sprint(i)] = e.Enrichment.Session.ID
			}
			assign(t, one, c.site, c.events...)
			for i, e := range c.events {
				if ids[fmt.Sprint(i)] != e.Enrichment.Session.ID {
					t.Errorf("again, event %d has another session: %s, was %s", i, shape(c.events), before)
				}
			}
		})
	}
}

func TestWhatASessionSaysOfItself(t *testing.T) {
	s := store()
	a, b, c := at(0, ""), at(10, ""), at(100, "mail")
	assign(t, s, Site{}, a, b, c)
	if x := b.Enrichment.Session; x.N != 1 || !x.Start.Equal(noon) || x.Entry != "/p0" || len(x.ID) != 16 {
		t.Errorf("%+v", x)
	}
	if x := c.Enrichment.Session; x.N != 2 || x.Entry != "/p100" {
		t.Errorf("%+v", x)
	}
	if s.reads != 1 || s.writes != 1 {
		t.Errorf("%d reads and %d writes for one batch", s.reads, s.writes)
	}
	if n := len(s.m[Key("px", "v")]); n > 80 {
		t.Errorf("two sessions take %d bytes", n)
	}
	assign(t, s, Site{}, b)
	if s.writes != 1 {
		t.Error("an event that changes nothing is written")
	}
}

func TestAnOutageIsAnErrorAndLeavesNoHalf(t *testing.T) {
	down := errors.New("down")
	if err := Assign(t.Context(), &memory{err: down}, Of{Event: at(0, "")}); !errors.Is(err, down) {
		t.Error(err)
	}
}

// Whatever came before, and however often: an event that is given again has the
// session that it had, and no value grows without bound.
func TestTheSameEventAgainHasTheSameSession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, most).Draw(t, "events") // as many sessions as are remembered
		events := make([]*event.Event, n)
		for i := range events {
			events[i] = at(rapid.Float64Range(0, 170).Draw(t, "minute"), rapid.SampledFrom([]string{"", "", "mail", "ads"}).Draw(t, "campaign"))
			events[i].ID = fmt.Sprint(i)
		}
		s := &memory{m: map[string][]byte{}}
		put := func(list ...*event.Event) {
			all := make([]Of, len(list))
			for i, e := range list {
				all[i] = Of{Event: e}
			}
			if err := Assign(context.Background(), s, all...); err != nil {
				t.Fatal(err)
			}
		}
		for i := 0; i < n; {
			k := rapid.IntRange(1, n-i).Draw(t, "batch")
			put(events[i : i+k]...)
			before := maps.Clone(s.m)
			ids := make([]string, k)
			for j, e := range events[i : i+k] {
				ids[j] = e.Enrichment.Session.ID
			}
			put(events[i : i+k]...) // the crash came after the write
			for j, e := range events[i : i+k] {
				if e.Enrichment.Session.ID != ids[j] {
					t.Fatalf("event %s moved", e.ID)
				}
			}
			if string(before[Key("px", "v")]) != string(s.m[Key("px", "v")]) {
				t.Fatal("what is remembered changed")
			}
			i += k
		}
		if got := decode(s.m[Key("px", "v")]); len(got.list) > most {
			t.Fatalf("%d sessions are remembered", len(got.list))
		}
	})
}

func FuzzDecode(f *testing.F) {
	s := store()
	e := at(0, "mail")
	if err := Assign(context.Background(), s, Of{Event: e}, Of{Event: at(100, "")}); err != nil {
		f.Fatal(err)
	}
	f.Add(s.m[Key("px", "v")])
	f.Fuzz(func(t *testing.T, b []byte) {
		v := decode(b)
		if again := decode(v.encode()); len(again.list) != len(v.list) {
			t.Errorf("%d sessions became %d", len(v.list), len(again.list))
		}
	})
}

func BenchmarkAssign(b *testing.B) {
	s := store()
	list := make([]Of, 256)
	for i := range list {
		e := at(float64(i%20), "")
		e.Subject.VisitorID = fmt.Sprint(i / 4)
		list[i] = Of{Event: e}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Assign(b.Context(), s, list...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/event")
}

func TestSessionsAreRememberedFromWhereTheLastBegan(t *testing.T) {
	s := store()
	var want []time.Duration
	for _, c := range []struct {
		minutes float64
		ttl     time.Duration
	}{
		{0, keep}, {5, state.Kept}, {20, state.Kept}, // a visit
		{-10, state.Kept}, // a late event is where it begins
		{60, keep},        // another
	} {
		assign(t, s, Site{}, at(c.minutes, ""))
		want = append(want, c.ttl)
	}
	// One that goes on for a day is remembered from its last event on.
	for m := 80.0; m <= 60+24*60; m += 20 {
		assign(t, s, Site{}, at(m, ""))
		want = append(want, state.Kept)
	}
	for _, m := range []float64{10, 20} {
		assign(t, s, Site{}, at(60+24*60+m, ""))
		want = append(want, keep)
	}
	if !slices.Equal(s.expiries, want) {
		t.Errorf("%v\n%v", s.expiries, want)
	}
	// Who was forgotten while an event was on its way stays so.
	forgets := &forgetful{memory: s}
	if err := Assign(t.Context(), forgets, Of{at(30, "", func(e *event.Event) { e.ID = "late" }), Site{}}); err != nil || len(s.m) != 0 {
		t.Errorf("%d are remembered, %v", len(s.m), err)
	}
}

// forgetful is a state in which everybody is forgotten between a read and a write.
type forgetful struct{ *memory }

func (f *forgetful) Set(ctx context.Context, entries ...state.Entry) error {
	clear(f.m)
	return f.memory.Set(ctx, entries...)
}
