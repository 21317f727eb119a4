package enrich

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/event"
)

// sorting counts how things are sorted into classes.
type sorting struct{ hits, wanted, got map[string]int }

func newSorting() *sorting {
	return &sorting{map[string]int{}, map[string]int{}, map[string]int{}}
}

func (s *sorting) add(want, got string) {
	s.wanted[want]++
	s.got[got]++
	if want == got {
		s.hits[want]++
	}
}

// report prints of each class how much of what is said to be it is, and how much of what
// is it is said to be.
func (s *sorting) report(t *testing.T, of string, floor float64) {
	t.Helper()
	classes := []string{}
	for c := range s.wanted {
		classes = append(classes, c)
	}
	slices.Sort(classes)
	for _, c := range classes {
		precision, recall := float64(s.hits[c])/float64(max(1, s.got[c])), float64(s.hits[c])/float64(s.wanted[c])
		fmt.Printf("accuracy of %s: %-9s precision %.1f %%, recall %.1f %% (%d)\n", of, c, 100*precision, 100*recall, s.wanted[c])
		if precision < floor || recall < floor {
			t.Errorf("%s: precision %.3f and recall %.3f, want %.3f", c, precision, recall, floor)
		}
	}
}

func rows(t *testing.T, path string, columns int) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out [][]string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		row := strings.Split(lines.Text(), "\t")
		if len(row) != columns {
			t.Fatalf("%s: %d columns: %q", path, len(row), lines.Text())
		}
		out = append(out, row)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheCorpusOfReferrers(t *testing.T) {
	n := enricher(t)
	kinds := newSorting()
	names := &tally{}
	for _, row := range rows(t, "testdata/corpus_referrers.tsv", 5) {
		e := event.Event{Context: event.Context{Page: event.Page{Referrer: row[1], URL: row[2]}}}
		n.Enrich(&e, Site{})
		got := e.Enrichment.Referrer
		kinds.add(row[3], got.Kind)
		if got.Kind != row[3] {
			t.Logf("want %s, got %s %s: %s on %s (%s)", row[3], got.Kind, got.Name, row[1], row[2], row[0])
		}
		if row[4] != "" {
			names.add(got.Name == row[4])
			if got.Name != row[4] {
				t.Logf("want %s, got %s: %s (%s)", row[4], got.Name, row[1], row[0])
			}
		}
	}
	kinds.report(t, "referrers", 0.95)
	report(t, "referrers", map[string]*tally{"name": names})
}

func TestTheCorpusOfAddresses(t *testing.T) {
	n := enricher(t)
	kept, campaigns, clicks := newSorting(), &tally{}, &tally{}
	classes := map[string]*tally{}
	for _, row := range rows(t, "testdata/corpus_addresses.tsv", 5) {
		want := row[2]
		if want == "=" {
			want = row[1]
		}
		got, found := event.CleanURL(row[1], nil)
		// What is taken out is exactly what should be, or it is not right.
		said := found.String()
		if got != want && said == row[3] {
			said = "wrongly " + said
		}
		kept.add("kept:"+row[3], "kept:"+said)
		if classes[row[0]] == nil {
			classes[row[0]] = &tally{}
		}
		classes[row[0]].add(got == want && said == row[3])
		if got != want || said != row[3] {
			t.Logf("%s: %s\n got %s (%s)\nwant %s (%s)", row[0], row[1], got, said, want, row[3])
		}
		e := event.Event{Verdict: event.Verdict{State: event.Full}, Context: event.Context{Page: event.Page{URL: got}}}
		n.Enrich(&e, Site{})
		campaign, click := readOf(&e)
		wantCampaign, wantClick := parted(row[4])
		campaigns.add(campaign == wantCampaign)
		clicks.add(click == wantClick)
		if campaign != wantCampaign || click != wantClick {
			t.Logf("%s: %s\n got %s %s\nwant %s", row[0], got, campaign, click, row[4])
		}
	}
	kept.report(t, "addresses", 0.97)
	classes["campaign"], classes["click ids"] = campaigns, clicks
	report(t, "addresses", classes)
}

// readOf is what was read, as the corpus has it: campaigns and click ids, each in order.
func readOf(e *event.Event) (campaign, clicks string) {
	c := &e.Enrichment.Campaign
	var out, ids []string
	for _, f := range [...]struct{ key, value string }{
		{"utm_source", c.Source}, {"utm_medium", c.Medium}, {"utm_campaign", c.Name}, {"utm_term", c.Term}, {"utm_content", c.Content}, {"utm_id", c.ID},
	} {
		if f.value != "" {
			out = append(out, f.key+"="+f.value)
		}
	}
	for k, v := range e.Subject.ClickIDs {
		ids = append(ids, k+"="+v)
	}
	slices.Sort(ids)
	return strings.Join(out, " "), strings.Join(ids, " ")
}

// parted parts what the corpus says.
func parted(s string) (campaign, clicks string) {
	var out, ids []string
	for word := range strings.SplitSeq(s, " ") {
		key, _, ok := strings.Cut(word, "=")
		switch {
		case !ok || key == "":
			if n := len(out); n > 0 {
				out[n-1] += " " + word // the rest of a value with a space in it
			}
		case strings.HasPrefix(key, "utm_"):
			out = append(out, word)
		default:
			ids = append(ids, word)
		}
	}
	slices.Sort(ids)
	return strings.Join(out, " "), strings.Join(ids, " ")
}
