package identity

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state/redisstate"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

// population makes the events of people who live in households: each with a customer
// id, one or two addresses and some browsers, now and then a telephone of the household
// and a tablet that all of it uses. Libraries have browsers that strangers use, shops
// send placeholders for addresses that they do not know, and some have one customer id
// for all guests.
func population(seed uint64, ids int) []*event.Event {
	r := rand.New(rand.NewPCG(seed, 3))
	var events []*event.Event
	made := 0
	digest := func(kind string, n int) string { made++; return sum(kind + strconv.Itoa(n)) }
	browser := func(n int) string {
		made++
		return fmt.Sprintf("%08x-7c1e-4d5a-9b3f-%012x", uint32(n)*2654435761, n)
	}
	add := func(s event.Subject) {
		e := &event.Event{
			ID: fmt.Sprintf("0193a1b2-c3d4-7e5f-8a9b-%012x", len(events)), PixelID: "px", Source: "web",
			ReceivedAt: time.Unix(1_800_000_000+int64(len(events)), 0), Verdict: event.Verdict{State: event.Full}, Subject: s,
		}
		if s.AnonymousID == "" {
			e.Source = "server"
		}
		events = append(events, e)
	}
	people, browsers := 0, 0
	for household := 0; made < ids; household++ {
		tablet := ""
		if r.IntN(3) == 0 {
			browsers++
			tablet = browser(browsers)
		}
		phone := ""
		if r.IntN(4) == 0 {
			phone = digest("phone", household)
		}
		for range 1 + r.IntN(4) {
			people++
			made++
			user := fmt.Sprintf("customer-%d", people)
			mails := []string{digest("mail", people)}
			if r.IntN(4) == 0 {
				mails = append(mails, digest("other mail", people))
			}
			for range 1 + r.IntN(4) {
				browsers++
				b := browser(browsers)
				add(event.Subject{AnonymousID: b})
				s := event.Subject{AnonymousID: b, UserID: user}
				if r.IntN(2) == 0 {
					s.Email = mails[r.IntN(len(mails))]
				}
				if r.IntN(6) == 0 {
					s.PhoneE164 = phone
				}
				if r.IntN(10) == 0 {
					s.PartnerIDs = map[string]string{"maid": browser(1_000_000_000 + browsers)}
				}
				if r.IntN(5) > 0 { // most say who they are at some time
					add(s)
				}
			}
			if tablet != "" && r.IntN(2) == 0 {
				add(event.Subject{AnonymousID: tablet, UserID: user})
			}
			if r.IntN(3) == 0 {
				add(event.Subject{UserID: user, Email: mails[0]})
			}
			switch r.IntN(60) {
			case 0: // at the library
				add(event.Subject{AnonymousID: browser(2_000_000_000 + r.IntN(ids/2000+1)), UserID: user})
				made--
			case 1: // an address that a shop puts in for all
				add(event.Subject{AnonymousID: browser(browsers), UserID: user, Email: sum("shop" + strconv.Itoa(r.IntN(ids/5000+1)) + "@partner.example")})
				made--
			case 2: // a guest
				add(event.Subject{AnonymousID: browser(browsers), UserID: "guest-checkout-" + strconv.Itoa(r.IntN(ids/5000+1)), Email: mails[0]})
				made--
			case 3: // junk
				add(event.Subject{AnonymousID: browser(browsers), UserID: "undefined", Email: sum("test@test.com"), PartnerIDs: map[string]string{"maid": "00000000-0000-0000-0000-000000000000"}})
				made--
			}
		}
	}
	r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return events
}

// size is how many identifiers the long tests have: `make identity` asks for a million.
func size(t testing.TB, usual int) int {
	if s := os.Getenv("PIXEL_IDENTITY_IDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("PIXEL_IDENTITY_IDS: %v", err)
		}
		return n
	}
	if testing.Short() { // the race detector's run
		return usual / 10
	}
	return usual
}

// The profiles of a whole population are those that a union-find over all its events
// gives, and everything that the limits are for is in it.
func TestAPopulationFallsIntoTheProfilesOfAnOfflineUnionFind(t *testing.T) {
	events := population(1, size(t, 20_000))
	m := newMemory()
	g := New(m, m, Usual, clock())
	run := func(events []*event.Event) (cpu time.Duration, reads, writes int) {
		m.reads, m.writes = 0, 0
		for i := 0; i < len(events); i += 256 {
			seen := see(events[i:min(i+256, len(events))]...)
			before := used()
			if err := g.Resolve(context.Background(), seen...); err != nil {
				t.Fatal(err)
			}
			cpu += used() - before
		}
		return cpu, m.reads, m.writes
	}
	cold, reads, writes := run(events)
	batches := (len(events) + 255) / 256
	t.Logf("%d events in batches of 256: %s of CPU each with the store in memory, %.1f reads and %.1f writes a batch", len(events), cold/time.Duration(len(events)), float64(reads)/float64(batches), float64(writes)/float64(batches))
	written := m.written
	// The same people come again, with other events.
	again := make([]*event.Event, len(events))
	for i, e := range events {
		c := *e
		c.ID = "again-" + e.ID
		again[i] = &c
	}
	warm, reads, _ := run(again)
	t.Logf("who comes again: %s of CPU each, %.1f reads a batch, %d records written", warm/time.Duration(len(events)), float64(reads)/float64(batches), m.written-written)
	if m.written != written || reads != batches {
		t.Errorf("what is known took %d reads for %d batches and wrote %d records", reads, batches, m.written-written)
	}

	r := newReference(Usual)
	r.see(events...)
	labels := r.labels()
	profiles, quiet, visitors, bytes := map[ID]int{}, map[Kind]int{}, 0, 0
	for id, want := range labels {
		if got := m.label("px", id); got != want {
			t.Fatalf("%s %s belongs to %s, want %s", id.Kind(), id, got, want)
		}
		profiles[want]++
		if r.quiet(id) {
			quiet[id.Kind()]++
		}
		if id.Kind() == Visitor {
			visitors++
		}
	}
	for k, v := range m.keys {
		bytes += len(k) + len(v)
	}
	largest := 0
	for _, n := range profiles {
		largest = max(largest, n)
	}
	t.Logf("%d identifiers, %d of them browsers, in %d profiles, the largest of %d; quarantined: %v; %d bytes of keys and records a browser; %d rows of the map",
		len(labels), visitors, len(profiles), largest, quiet, bytes/visitors, len(m.rows))
	for _, k := range []Kind{User, Email, Visitor} {
		if quiet[k] == 0 && len(events) > 10_000 {
			t.Errorf("no %s is quarantined: the population does not test that", k)
		}
	}
}

func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestWhatAVisitorTakes fills both backends with visitors of whom a customer id and an
// address are known, and weighs them.
func TestWhatAVisitorTakes(t *testing.T) {
	n := size(t, 3_000)
	fill := func(keys Keys) {
		t.Helper()
		g := New(keys, newMemory(), Usual, nil)
		batch := make([]*Seen, 0, 256)
		for i := range n {
			e := &event.Event{ID: fmt.Sprintf("0193a1b2-c3d4-7e5f-8a9b-%012x", i), PixelID: "px_demo", Source: "web", ReceivedAt: time.Now(), Verdict: event.Verdict{State: event.Full},
				Subject: event.Subject{AnonymousID: fmt.Sprintf("%08x-7c1e-4d5a-9b3f-%012x", uint32(i)*2654435761, i), UserID: fmt.Sprint("customer-", i), Email: sum(fmt.Sprint("mail", i))}}
			if batch = append(batch, &Seen{Event: e}); len(batch) == cap(batch) || i == n-1 {
				if err := g.Resolve(t.Context(), batch...); err != nil {
					t.Fatal(err)
				}
				batch = batch[:0]
			}
		}
	}
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := sqlitedb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(s)
	if _, err := db.Read.ExecContext(t.Context(), `PRAGMA wal_checkpoint(PASSIVE)`); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	embedded := int(info.Size()) / n
	client := redistest.Start(t).Client(t)
	memory := func() int {
		v, err := client.InfoMap(t.Context(), "memory").Result()
		if err != nil {
			t.Fatal(err)
		}
		m, _ := strconv.Atoi(v["Memory"]["used_memory"])
		return m
	}
	before := memory()
	fill(redisstate.New(client))
	remote := (memory() - before) / n
	t.Logf("of %d visitors with a customer id and an address each takes %d bytes of disk embedded, %d bytes of memory in Redis", n, embedded, remote)
	if embedded > 1500 || remote > 1500 {
		t.Errorf("a visitor takes %d bytes embedded, %d in Redis", embedded, remote)
	}
}
