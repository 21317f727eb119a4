package backfill

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/enrich"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/geo"
	"github.com/miq/pixel/modules/geo/geotest"
	"github.com/miq/pixel/modules/settings"
)

// Stored is only the network of an address. A neighbour of a data centre is in the same
// one, and a list may have learned of it since.
func TestARehearsalKeepsWhatTheWholeAddressSaid(t *testing.T) {
	dir := t.TempDir()
	list, city, asn := filepath.Join(dir, "hosts.csv"), filepath.Join(dir, "city.mmdb"), filepath.Join(dir, "asn.mmdb")
	if err := os.WriteFile(list, []byte("192.0.2.0,192.0.2.255,Rack\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	geotest.Write(t, city, 4, geotest.Rows{"192.0.2.0/24": geotest.City("GB", "ENG", "London", "SW1", "Europe/London")})
	geotest.Write(t, asn, 4, geotest.Rows{"192.0.2.0/24": geotest.Network(64500, "Rack & Sons")})
	files, err := geo.Open(config.Geo{Datacenters: list, CityDB: city, ASNDB: asn}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := enrich.New(enrich.Options{Geo: files})
	if err != nil {
		t.Fatal(err)
	}
	const (
		chrome  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
		rack    = "network: data centre (Rack)"
		other   = "network: data centre (Other)"
		crawler = "user agent: crawler"
	)
	paris := event.Place{Country: "FR", City: "Paris", ASN: 3215, Network: "Orange"}
	for name, c := range map[string]struct {
		stored        event.Enrichment
		ua            string
		was, will     []string // switched off
		bot           string
		country, city string
		asn           int
	}{
		"a person among racks stays one":                {event.Enrichment{Place: paris}, chrome, nil, []string{"campaign"}, "", "FR", "Paris", 3215},
		"who came out of a data centre still does":      {event.Enrichment{Bot: other, Automated: true, Place: paris}, chrome, nil, []string{"campaign"}, other, "FR", "Paris", 3215},
		"but not where nobody is to ask":                {event.Enrichment{Bot: other, Automated: true, Place: paris}, chrome, nil, []string{"datacenter"}, "", "FR", "Paris", 3215},
		"what was not asked is judged by what is left":  {event.Enrichment{Place: paris}, chrome, []string{"datacenter"}, nil, rack, "FR", "Paris", 3215},
		"so is a crawler who is not to be one":          {event.Enrichment{Bot: crawler, Place: paris}, "Googlebot/2.1", nil, []string{"bot"}, rack, "FR", "Paris", 3215},
		"a crawler is one by its own word":              {event.Enrichment{Bot: crawler, Place: paris}, "Googlebot/2.1", nil, []string{"campaign"}, crawler, "FR", "Paris", 3215},
		"a place that was not asked for is that left":   {event.Enrichment{}, chrome, []string{"geo"}, nil, "", "GB", "London", 0},
		"a network that was not asked for is that left": {event.Enrichment{Place: event.Place{Country: "FR"}}, chrome, []string{"network"}, nil, "", "FR", "", 64500},
		"and one that is not to be is not there":        {event.Enrichment{Place: paris}, chrome, nil, []string{"network"}, "", "FR", "Paris", 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := rehearsing{r: &Runner{d: Deps{Enricher: n}}, was: settings.Pixel{Processing: settings.Processing{Off: c.was}}, will: settings.Pixel{Processing: settings.Processing{Off: c.will}}}
			e := event.Event{Source: "web", Verdict: event.Verdict{State: event.Full}, Enrichment: c.stored, Context: event.Context{IP: "192.0.2.0", UserAgent: c.ua}}
			h.enriched(&e, h.will)
			x := e.Enrichment
			if x.Bot != c.bot || x.Automated != (c.bot == rack || c.bot == other) || x.Place.Country != c.country || x.Place.City != c.city || x.Place.ASN != c.asn {
				t.Errorf("%q (automated %t), %+v", x.Bot, x.Automated, x.Place)
			}
		})
	}
}
