package enrich

import (
	"fmt"
	"net/url"
	"os"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
)

func read[T any](t testing.TB, path string) []T {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []T
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

type agentRow struct {
	Name, UA, Class, Browser, Version, OS, Bot string            `json:",case:ignore"`
	OSVersion                                  string            `json:"os_version"`
	Hints                                      map[string]string `json:"hints"`
}

func (r *agentRow) fields(d event.Device, bot string) (want, got []string) {
	want, got = []string{r.Class, r.Bot}, []string{d.Class, bot}
	for _, f := range [][2]string{{r.Browser, d.Browser}, {r.Version, d.BrowserVersion}, {r.OS, d.OS}, {r.OSVersion, d.OSVersion}} {
		if f[0] != "" {
			want, got = append(want, f[0]), append(got, f[1])
		}
	}
	return want, got
}

// The table says what people would, not what the code once did: a wrong row is
// a fault of the code.
func TestDevicesOfRealUserAgents(t *testing.T) {
	rows := read[agentRow](t, "testdata/agents.json")
	n := enricher(t)
	right := 0
	for _, r := range rows {
		t.Run(r.Name, func(t *testing.T) {
			e := event.Event{Context: event.Context{UserAgent: r.UA, ClientHints: r.Hints}}
			n.Enrich(&e, Site{})
			want, got := r.fields(e.Enrichment.Device, e.Enrichment.Bot)
			if !reflect.DeepEqual(want, got) {
				t.Errorf("want %q\ngot  %q", want, got)
				return
			}
			right++
		})
	}
	t.Logf("user agents: %d of %d right", right, len(rows))
}

func TestKindsOfRealReferrers(t *testing.T) {
	type row struct {
		Name, Referrer, Page, Kind, Site string `json:",case:ignore"`
	}
	rows := read[row](t, "testdata/referrers.json")
	n := enricher(t)
	right := 0
	for _, r := range rows {
		t.Run(r.Name, func(t *testing.T) {
			e := event.Event{Context: event.Context{Page: event.Page{URL: r.Page, Referrer: r.Referrer}}}
			n.Enrich(&e, Site{})
			got := e.Enrichment.Referrer
			if got.Kind != r.Kind || got.Name != r.Site {
				t.Errorf("want %s %q, got %s %q (host %s)", r.Kind, r.Site, got.Kind, got.Name, got.Host)
				return
			}
			right++
		})
	}
	// To the output, not the log: it is to be seen in CI.
	fmt.Printf("accuracy of referrers: %d of %d\n", right, len(rows))
}

func TestClickIDsAreKeptOnlyWithFullConsent(t *testing.T) {
	const page = "https://shop.example.com/?gclid=EAI&aref=abc.1&ScCid=s&utm_source=google&other=1"
	for _, c := range []struct {
		state event.State
		want  map[string]string
	}{
		{event.Full, map[string]string{"gclid": "EAI", "aref": "abc.1", "sccid": "s"}},
		{event.Partial, nil},
		{event.None, nil},
	} {
		t.Run(string(c.state), func(t *testing.T) {
			e := event.Event{Verdict: event.Verdict{State: c.state}, Context: event.Context{Page: event.Page{URL: page}}}
			enricher(t).Enrich(&e, Site{})
			if !reflect.DeepEqual(e.Subject.ClickIDs, c.want) {
				t.Errorf("want %v, got %v", c.want, e.Subject.ClickIDs)
			}
			if e.Enrichment.Campaign.Source != "google" {
				t.Errorf("campaign: %+v", e.Enrichment.Campaign)
			}
		})
	}
}

func TestTheTagsOwnClickIDOutweighsTheAddress(t *testing.T) {
	e := event.Event{
		Verdict: event.Verdict{State: event.Full},
		Subject: event.Subject{ClickIDs: map[string]string{"gclid": "landing"}},
		Context: event.Context{Page: event.Page{URL: "https://shop.example.com/?gclid=later&dclid=d"}},
	}
	enricher(t).Enrich(&e, Site{})
	if want := (map[string]string{"gclid": "landing", "dclid": "d"}); !reflect.DeepEqual(e.Subject.ClickIDs, want) {
		t.Errorf("want %v, got %v", want, e.Subject.ClickIDs)
	}
}

func TestEnrichingTwiceChangesNothing(t *testing.T) {
	n := enricher(t)
	for _, r := range read[agentRow](t, "testdata/agents.json") {
		e := event.Event{Verdict: event.Verdict{State: event.Full}, Context: event.Context{
			UserAgent: r.UA, ClientHints: r.Hints,
			Page: event.Page{URL: "https://a.example/?utm_source=x&gclid=1", Referrer: "https://t.co/"},
		}}
		n.Enrich(&e, Site{})
		once := e
		n.Enrich(&e, Site{})
		if !reflect.DeepEqual(once, e) {
			t.Errorf("%s: %+v became %+v", r.Name, once, e)
		}
	}
}

func TestProgramsAreToldFromMachinesThatVisitByThemselves(t *testing.T) {
	for ua, want := range map[string]bool{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36": true,
		"curl/8.5.0": true, "Go-http-client/1.1": true,
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": false, "UptimeRobot/2.0": false,
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36": false,
	} {
		e := event.Event{Context: event.Context{UserAgent: ua}}
		if enricher(t).Enrich(&e, Site{}); e.Enrichment.Automated != want {
			t.Errorf("%s: automated = %v (%s)", ua, !want, e.Enrichment.Bot)
		}
	}
}

func TestAServersOwnUserAgentIsNoBot(t *testing.T) {
	for source, bot := range map[string]string{"server": "", "web": byLibrary} {
		e := event.Event{Source: source, Context: event.Context{UserAgent: "Go-http-client/1.1"}}
		enricher(t).Enrich(&e, Site{})
		if e.Enrichment.Bot != bot {
			t.Errorf("%s: %q", source, e.Enrichment.Bot)
		}
	}
}

func TestValuesThatNobodyCouldHaveMeantAreLeftOut(t *testing.T) {
	long := make([]byte, maxValue+1)
	for i := range long {
		long[i] = 'x'
	}
	for name, q := range map[string]url.Values{
		"too long":           {"utm_source": {string(long)}},
		"control characters": {"utm_source": {"a\x00b"}},
		"only white space":   {"utm_source": {"  "}},
	} {
		if c := campaign(q); c != (event.Campaign{}) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestASitesDomainsReferInternally(t *testing.T) {
	for referrer, kind := range map[string]string{
		"https://checkout.example": internal, "https://pay.checkout.example/x": internal, "https://notcheckout.example": referral,
	} {
		// With partial consent the page's address has lost its host.
		e := event.Event{Context: event.Context{Page: event.Page{URL: "/thanks", Referrer: referrer}}}
		enricher(t).Enrich(&e, Site{Domains: []string{"shop.example", "checkout.example"}})
		if e.Enrichment.Referrer.Kind != kind {
			t.Errorf("%s: %s, want %s", referrer, e.Enrichment.Referrer.Kind, kind)
		}
	}
}

// Whatever a stranger sends, enrichment answers, and with little.
func FuzzEnrich(f *testing.F) {
	for _, r := range read[agentRow](f, "testdata/agents.json") {
		f.Add(r.UA, r.Hints["sec-ch-ua"], r.Hints["sec-ch-ua-platform-version"], "https://a.example/?utm_source=x&gclid=%zz", "https://t.co/")
	}
	n := enricher(f)
	f.Fuzz(func(t *testing.T, ua, brands, platform, page, referrer string) {
		e := event.Event{Verdict: event.Verdict{State: event.Full}, Context: event.Context{
			UserAgent: ua, Page: event.Page{URL: page, Referrer: referrer},
			ClientHints: map[string]string{"sec-ch-ua": brands, "sec-ch-ua-platform": `"Windows"`, "sec-ch-ua-platform-version": platform},
		}}
		n.Enrich(&e, Site{})
		if e.Enrichment.Device.Class == "" || e.Enrichment.Referrer.Kind == "" {
			t.Errorf("%+v", e.Enrichment)
		}
		if len(e.Enrichment.Device.Browser) > 64 {
			t.Errorf("a browser's name of %d bytes", len(e.Enrichment.Device.Browser))
		}
	})
}

func BenchmarkEnrich(b *testing.B) {
	rows := read[agentRow](b, "testdata/agents.json")
	n := enricher(b)
	i := 0
	for b.Loop() {
		r := rows[i%len(rows)]
		i++
		e := event.Event{Verdict: event.Verdict{State: event.Full}, Context: event.Context{
			UserAgent: r.UA, ClientHints: r.Hints,
			Page: event.Page{URL: "https://shop.example.com/p/1?utm_source=google&utm_medium=cpc&gclid=EAIaIQ", Referrer: "https://www.google.com/"},
		}}
		n.Enrich(&e, Site{})
	}
}

func enricher(t testing.TB) *Enricher {
	t.Helper()
	n, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
