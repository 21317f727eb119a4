package geo_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/geo"
	"github.com/miq/pixel/modules/geo/geotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

func place(f *geo.Files, ip string) event.Place { return f.Place(netip.MustParseAddr(ip)) }

func TestFilesOfBothShapesAreRead(t *testing.T) {
	dir := t.TempDir()
	maxmind, four, six, asn := filepath.Join(dir, "city.mmdb"), filepath.Join(dir, "v4.mmdb"), filepath.Join(dir, "v6.mmdb"), filepath.Join(dir, "asn.mmdb")
	geotest.Write(t, maxmind, 6, geotest.Rows{
		"81.2.69.0/24": geotest.City("GB", "ENG", "London", "SW1", "Europe/London"),
		"2a02::/32":    geotest.City("CH", "ZH", "Zürich", "8001", "Europe/Zurich"),
	})
	geotest.Write(t, four, 4, geotest.Rows{"81.2.69.0/24": geotest.Flat("GB", "England", "London")})
	geotest.Write(t, six, 6, geotest.Rows{"2a02::/32": geotest.Flat("CH", "Zurich", "Zürich")})
	geotest.Write(t, asn, 6, geotest.Rows{"81.2.69.0/24": geotest.Network(20712, "Andrews & Arnold")})
	london := event.Place{Country: "GB", Region: "ENG", City: "London", PostalCode: "SW1", Timezone: "Europe/London"}

	f, err := geo.Open(config.Geo{CityDB: maxmind, ASNDB: asn}, discard, nil)
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]event.Place{
		"81.2.69.142": london, "81.2.69.0": london, // cut off, it is the same
		"2a02::1": {Country: "CH", Region: "ZH", City: "Zürich", PostalCode: "8001", Timezone: "Europe/Zurich"},
		"8.8.8.8": {}, "2001:db8::1": {},
	} {
		if got := place(f, ip); got != want {
			t.Errorf("%s: %+v, want %+v", ip, got, want)
		}
	}
	if asn, who := f.Network(netip.MustParseAddr("81.2.69.142")); asn != 20712 || who != "Andrews & Arnold" {
		t.Errorf("network %d %q", asn, who)
	}

	f, err = geo.Open(config.Geo{CityDB: four + ", " + six}, discard, nil)
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]event.Place{
		"81.2.69.142": {Country: "GB", Region: "England", City: "London"}, "2a02::1": {Country: "CH", Region: "Zurich", City: "Zürich"}, "8.8.8.8": {},
	} {
		if got := place(f, ip); got != want {
			t.Errorf("%s: %+v, want %+v", ip, got, want)
		}
	}
}

func TestNothingConfiguredKnowsNothing(t *testing.T) {
	var none *geo.Files
	f, err := geo.Open(config.Geo{}, discard, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*geo.Files{none, f} {
		if p := place(f, "81.2.69.142"); p != (event.Place{}) {
			t.Error(p)
		}
		if asn, _ := f.Network(netip.MustParseAddr("81.2.69.142")); asn != 0 {
			t.Error(asn)
		}
		f.Start()
		f.Stop()
	}
}

func TestAFileThatCannotBeReadAtTheStartIsAnErrorWithItsKey(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.mmdb")
	if err := os.WriteFile(bad, []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := geo.Open(config.Geo{CityDB: bad, ASNDB: "/nowhere.mmdb"}, discard, nil)
	if err == nil || !strings.Contains(err.Error(), "geo.city_db: "+bad) || !strings.Contains(err.Error(), "geo.asn_db") {
		t.Error(err)
	}
}

func TestAFileThatChangesIsReadAgainAndABrokenOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	at := time.Now().Add(-time.Hour)
	put := func(write func()) { // each change is one whatever the clock's precision
		write()
		at = at.Add(time.Minute)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	put(func() {
		geotest.Write(t, path, 6, geotest.Rows{"81.2.69.0/24": geotest.City("GB", "", "London", "", "")})
	})
	var said bytes.Buffer
	reg := prometheus.NewRegistry()
	f, err := geo.Open(config.Geo{CityDB: path}, slog.New(slog.NewTextHandler(&said, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	city := func(want string) {
		t.Helper()
		f.Refresh()
		if got := place(f, "81.2.69.142").City; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	city("London")
	put(func() {
		geotest.Write(t, path, 6, geotest.Rows{"81.2.69.0/24": geotest.City("GB", "", "Leeds", "", "")})
	})
	city("Leeds")

	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// As a copy over the file leaves it half way, and what no database is.
	for _, broken := range [][]byte{whole[:len(whole)/2], nil, []byte("gone"), append(bytes.Clone(whole[:len(whole)/3]), bytes.Repeat([]byte{0xff}, len(whole))...)} {
		put(func() {
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
		})
		said.Reset()
		city("Leeds")
		if !strings.Contains(said.String(), "the old one stays in force") {
			t.Errorf("the log says %q", said.String())
		}
		said.Reset()
		if city("Leeds"); said.Len() > 0 {
			t.Errorf("it says so twice: %s", &said)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	city("Leeds")
	put(func() {
		geotest.Write(t, path, 6, geotest.Rows{"81.2.69.0/24": geotest.City("GB", "", "York", "", "")})
	})
	city("York")

	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "outcome" {
				counts[l.GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if counts["ok"] != 2 || counts["failed"] != 5 {
		t.Error(counts)
	}
}

func TestReadersDoNotNoticeAReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	write := func(city string) {
		geotest.Write(t, path, 6, geotest.Rows{"81.2.69.0/24": geotest.City("GB", "", city, "", "")})
	}
	write("A")
	f, err := geo.Open(config.Geo{CityDB: path}, discard, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Start()
	defer f.Stop()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c := place(f, "81.2.69.142").City; len(c) == 0 || strings.Trim(c, "AB") != "" {
					t.Errorf("city %q", c)
					return
				}
			}
		})
	}
	for i := range 50 {
		write(strings.Repeat([]string{"A", "B"}[i%2], i+1))
		f.Refresh()
	}
	close(stop)
	readers.Wait()
}
