package enrich

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/event"
)

// The corpora are user agents of others' collections, with what those say of them:
// see testdata/README.md. Nobody is right about all of them, so the test prints how
// often we agree, and fails where that falls.

// floors are the least shares of agreement.
var floors = map[string]float64{
	"class": 0.97, "browser": 0.97, "version": 0.97, "system": 0.97, "people": 0.995, "machines": 0.99, "name": 0.97,
	"nothing": 0.99, "mail": 0.99, "phone": 0.97, "let in": 0.97, "read": 0.97, "campaign": 0.99, "click ids": 0.99,
}

type tally struct{ right, all int }

func (t *tally) add(right bool) {
	t.all++
	if right {
		t.right++
	}
}

func TestTheCorpusOfUserAgents(t *testing.T) {
	f, err := os.Open("testdata/corpus_agents.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := enricher(t)
	tallies := map[string]*tally{}
	at := func(name string) *tally {
		if tallies[name] == nil {
			tallies[name] = &tally{}
		}
		return tallies[name]
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		row := strings.Split(lines.Text(), "\t")
		if strings.HasPrefix(row[0], "#") || len(row) != 6 {
			continue
		}
		e := event.Event{Context: event.Context{UserAgent: row[5]}}
		n.Enrich(&e, Site{})
		d := e.Enrichment.Device
		major, _, _ := strings.Cut(d.BrowserVersion, ".")
		for _, c := range []struct{ field, want, got string }{
			{"class", row[1], d.Class}, {"browser", row[2], d.Browser}, {"version", row[3], major}, {"system", row[4], d.OS},
		} {
			if c.want == "" {
				continue
			}
			at(c.field).add(c.want == c.got)
			if c.want != c.got {
				t.Logf("%s: want %s, got %s: %s (%s)", c.field, c.want, c.got, row[5], row[0])
			}
		}
		if row[1] != "bot" {
			at("people").add(e.Enrichment.Bot == "")
			if e.Enrichment.Bot != "" {
				t.Logf("a person is taken for a machine (%s): %s", e.Enrichment.Bot, row[5])
			}
		}
	}
	for _, ua := range read[string](t, "testdata/crawlers.json") {
		e := event.Event{Context: event.Context{UserAgent: ua}}
		n.Enrich(&e, Site{})
		at("machines").add(e.Enrichment.Bot != "")
		if e.Enrichment.Bot == "" {
			t.Logf("a machine is taken for a person: %s", ua)
		}
	}
	report(t, "user agents", tallies)
}

func report(t *testing.T, of string, tallies map[string]*tally) {
	t.Helper()
	for name, x := range tallies {
		share := float64(x.right) / float64(x.all)
		// To the output, not the log: it is to be seen in CI.
		fmt.Printf("accuracy of %s: %s %.1f %% (%d of %d)\n", of, name, 100*share, x.right, x.all)
		if share < floors[name] {
			t.Errorf("%s: %.3f is less than %.3f", name, share, floors[name])
		}
	}
}
