package enrich

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/geo"
	"github.com/miq/pixel/modules/geo/geotest"
)

func located(t testing.TB) *Enricher {
	t.Helper()
	dir := t.TempDir()
	city, asn := filepath.Join(dir, "city.mmdb"), filepath.Join(dir, "asn.mmdb")
	geotest.Write(t, city, 6, geotest.Rows{"81.2.69.0/24": geotest.City("GB", "ENG", "London", "SW1", "Europe/London"), "52.0.0.0/8": geotest.City("US", "VA", "Ashburn", "20149", "America/New_York")})
	geotest.Write(t, asn, 6, geotest.Rows{"81.2.69.0/24": geotest.Network(20712, "Andrews & Arnold"), "52.0.0.0/8": geotest.Network(14618, "AMAZON-AES")})
	files, err := geo.Open(config.Geo{CityDB: city, ASNDB: asn}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Options{Geo: files, Currency: config.Currency{Base: "EUR", Rates: []string{"2026-11-01 GBP 1.1398", "2026-11-20 GBP 1.2", "2026-11-01 JPY 0.0056"}}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestHowPreciseAPlaceIsGoesByConsent(t *testing.T) {
	n := located(t)
	full, partial := event.Verdict{State: event.Full}, event.Verdict{State: event.Partial}
	london := event.Place{Country: "GB", Region: "ENG", City: "London", PostalCode: "SW1", Timezone: "Europe/London", ASN: 20712, Network: "Andrews & Arnold"}
	edge := event.Place{Country: "CH", Region: "ZH", City: "Zürich", ASN: 3303, Network: "Swisscom"}
	for name, c := range map[string]struct {
		verdict event.Verdict
		ip      string
		edge    event.Place
		off     []string
		want    event.Place
	}{
		"all with full consent":                 {full, "81.2.69.142", event.Place{}, nil, london},
		"as an IPv6 address":                    {full, "::ffff:81.2.69.142", event.Place{}, nil, london},
		"the country with partial":              {partial, "81.2.69.0", event.Place{}, nil, event.Place{Country: "GB"}},
		"nothing of what is no address":         {full, "unknown", event.Place{}, nil, event.Place{}},
		"the edge's word goes before":           {full, "81.2.69.142", edge, nil, edge},
		"and its country alone with partial":    {partial, "81.2.69.0", event.Place{Country: "CH", Region: "ZH"}, nil, event.Place{Country: "CH"}},
		"an edge that knows no network":         {full, "81.2.69.142", event.Place{Country: "CH"}, nil, event.Place{Country: "CH", ASN: 20712, Network: "Andrews & Arnold"}},
		"no place where it is switched off":     {full, "81.2.69.142", event.Place{}, []string{"geo"}, event.Place{ASN: 20712, Network: "Andrews & Arnold"}},
		"no network where that is switched off": {full, "81.2.69.142", event.Place{}, []string{"network"}, event.Place{Country: "GB", Region: "ENG", City: "London", PostalCode: "SW1", Timezone: "Europe/London"}},
		"neither, the edge's word included":     {full, "81.2.69.142", edge, []string{"network", "geo"}, event.Place{}},
	} {
		t.Run(name, func(t *testing.T) {
			e := event.Event{Verdict: c.verdict, Context: event.Context{IP: c.ip, Place: c.edge}}
			n.Enrich(&e, Site{Off: c.off})
			if e.Enrichment.Place != c.want {
				t.Errorf("%+v, want %+v", e.Enrichment.Place, c.want)
			}
		})
	}
}

func TestWhoComesOutOfADataCentreIsMarked(t *testing.T) {
	const chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	n := located(t)
	for name, c := range map[string]struct {
		ip, ua, source string
		off            []string
		bot            string
	}{
		"a server's address":                 {"52.1.2.3", chrome, "web", nil, "network: data centre (Amazon)"},
		"cut off, it is still one":           {"52.1.2.0", chrome, "web", nil, "network: data centre (Amazon)"},
		"a home's is not":                    {"81.2.69.142", chrome, "web", nil, ""},
		"switched off":                       {"52.1.2.3", chrome, "web", []string{"datacenter"}, ""},
		"a crawler is a crawler first":       {"52.1.2.3", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "web", nil, "user agent: crawler"},
		"a server that tells no address":     {"", "Go-http-client/1.1", "server", nil, ""},
		"without machines nothing is marked": {"52.1.2.3", "curl/8.1", "web", []string{"datacenter", "bot"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := event.Event{Source: c.source, Context: event.Context{IP: c.ip, UserAgent: c.ua}}
			n.Enrich(&e, Site{Off: c.off})
			if e.Enrichment.Bot != c.bot {
				t.Errorf("%q, want %q", e.Enrichment.Bot, c.bot)
			}
		})
	}
}

func TestAKeptListNamesWhoRunsADataCentre(t *testing.T) {
	const chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	path := filepath.Join(t.TempDir(), "hosts.csv")
	if err := os.WriteFile(path, []byte("192.0.2.0,192.0.2.255,Rack & Sons,https://rack.example\n198.51.100.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := geo.Open(config.Geo{Datacenters: path}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Options{Geo: files})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ip   string
		edge event.Place
		off  []string
		bot  string
	}{
		"by the name that it gives":                    {"192.0.2.77", event.Place{}, nil, "network: data centre (Rack & Sons)"},
		"by the list's where it gives none":            {"198.51.100.1", event.Place{}, nil, "network: data centre (hosts.csv)"},
		"of an edge's visitors too":                    {"192.0.2.77", event.Place{Country: "CH", ASN: 3303}, nil, "network: data centre (Rack & Sons)"},
		"before the network's number":                  {"192.0.2.77", event.Place{ASN: 14618}, nil, "network: data centre (Rack & Sons)"},
		"by the network's number where no list does":   {"203.0.113.1", event.Place{ASN: 14618}, nil, "network: data centre (Amazon)"},
		"nobody else":                                  {"203.0.113.1", event.Place{ASN: 3303}, nil, ""},
		"nobody where it is switched off for the site": {"192.0.2.77", event.Place{}, []string{"datacenter"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := event.Event{Source: "web", Context: event.Context{IP: c.ip, UserAgent: chrome, Place: c.edge}}
			n.Enrich(&e, Site{Off: c.off})
			if x := e.Enrichment; x.Bot != c.bot || x.Automated != (c.bot != "") {
				t.Errorf("%q (automated %t), want %q", x.Bot, x.Automated, c.bot)
			}
		})
	}
}

func TestOrdersAreWorthWhatTheRateOfTheirDaySays(t *testing.T) {
	n := located(t)
	at := func(day string) time.Time {
		d, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		return d.Add(12 * time.Hour)
	}
	for name, c := range map[string]struct {
		order event.Order
		day   string
		want  event.Value
	}{
		"by the first rate":            {event.Order{Value: "100", Currency: "GBP"}, "2026-11-02", event.Value{Amount: "113.98", Currency: "EUR", Date: "2026-11-01"}},
		"by the newer one, on its day": {event.Order{Value: "99.99", Currency: "GBP"}, "2026-11-20", event.Value{Amount: "119.99", Currency: "EUR", Date: "2026-11-20"}},
		"a currency without decimals":  {event.Order{Value: "15000", Currency: "JPY"}, "2026-11-20", event.Value{Amount: "84.00", Currency: "EUR", Date: "2026-11-01"}},
		"in the base already":          {event.Order{Value: "10.5", Currency: "EUR"}, "2020-01-01", event.Value{Amount: "10.5", Currency: "EUR"}},
		"no rate":                      {event.Order{Value: "1", Currency: "SEK"}, "2026-11-20", event.Value{Missing: noRate}},
		"none at that time":            {event.Order{Value: "1", Currency: "GBP"}, "2026-10-31", event.Value{Missing: noRateYet}},
		"no currency":                  {event.Order{Value: "1"}, "2026-11-20", event.Value{Missing: noCurrency}},
		"no value":                     {event.Order{ID: "1"}, "2026-11-20", event.Value{}},
	} {
		t.Run(name, func(t *testing.T) {
			e := event.Event{Time: at(c.day), Order: c.order}
			n.Enrich(&e, Site{})
			if e.Enrichment.Value != c.want {
				t.Errorf("%+v, want %+v", e.Enrichment.Value, c.want)
			}
		})
	}
}

func TestWhatIsSwitchedOffIsNotThere(t *testing.T) {
	n := located(t)
	e := event.Event{
		Verdict: event.Verdict{State: event.Full}, Time: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Order: event.Order{Value: "1", Currency: "GBP"},
		Context: event.Context{IP: "52.1.2.3", UserAgent: "curl/8.1", Page: event.Page{URL: "https://a.example/?gclid=x&utm_source=y", Referrer: "https://www.google.com/"}},
	}
	n.Enrich(&e, Site{Off: []string{"device", "bot", "datacenter", "geo", "network", "referrer", "campaign", "click_ids", "currency"}})
	if e.Enrichment != (event.Enrichment{}) || e.Subject.ClickIDs != nil {
		t.Errorf("%+v %v", e.Enrichment, e.Subject.ClickIDs)
	}
}
