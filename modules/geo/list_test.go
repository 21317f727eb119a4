package geo_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/geo"
)

// lists opens lists of the given names and contents, which are written in dir.
func lists(t *testing.T, dir string, nameAndText ...string) (*geo.Files, error) {
	t.Helper()
	var paths []string
	for i := 0; i < len(nameAndText); i += 2 {
		path := filepath.Join(dir, nameAndText[i])
		if err := os.WriteFile(path, []byte(nameAndText[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return geo.Open(config.Geo{Datacenters: strings.Join(paths, ", ")}, discard, nil)
}

func TestListsOfDataCentresAreReadInTheShapesThatKeptOnesHave(t *testing.T) {
	f, err := lists(t, t.TempDir(),
		"lines.txt", "\ufeff# kept by nobody\r\n\r\n192.0.2.0/24\r\n  198.51.100.7 # one, alone\r\n2001:db8:1::/48\n2001:db8:2::9\n::ffff:203.0.113.0/120\n10.1.2.3/16",
		"ranges.csv", "# first,last,name,url\n3.0.0.0,3.1.255.255,Rack & Sons,https://rack.example/#about\n5.0.0.9 , 5.0.0.10 , \"Sheds, Ltd\"\n6.0.0.0,6.0.0.255\n2001:db8:3::,2001:db8:3::ff,Six,\n7.7.0.0/16,NL,NL-NH,Amsterdam,\n",
		"cloud.json", `{"syncToken": "1", "prefixes": [{"ip_prefix": "52.0.0.0/13", "region": "a/b"}, {"ipv4Prefix": "34.1.208.0/20"}], "values": [{"properties": {"addressPrefixes": ["2603:1000::/25", "13.64.0.0/16"]}}]}`,
		"empty-yet.txt", "# IPv6 networks\n# made by a program\n",
	)
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]string{
		"192.0.2.0": "lines.txt", "192.0.2.255": "lines.txt", "::ffff:192.0.2.9": "lines.txt", "192.0.3.1": "",
		"198.51.100.7": "lines.txt", "198.51.100.8": "",
		"2001:db8:1:ffff::1": "lines.txt", "2001:db8:2::9": "lines.txt", "2001:db8:2::a": "",
		"203.0.113.200": "lines.txt", "10.1.255.255": "lines.txt", "10.2.0.1": "",
		"3.0.0.1": "Rack & Sons", "3.1.255.255": "Rack & Sons", "3.2.0.1": "",
		"5.0.0.8": "", "5.0.0.9": "Sheds, Ltd", "5.0.0.10": "Sheds, Ltd", "5.0.0.11": "",
		"6.0.0.6": "ranges.csv", "2001:db8:3::ff": "Six", "2001:db8:3::100": "", "7.7.7.7": "ranges.csv",
		"52.7.255.1": "cloud.json", "34.1.223.1": "cloud.json", "2603:1000:1::1": "cloud.json", "13.64.1.1": "cloud.json", "13.65.1.1": "",
	} {
		if got := f.Datacenter(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %q, want %q", ip, got, want)
		}
	}
	if got := f.Datacenter(netip.Addr{}); got != "" {
		t.Errorf("no address: %q", got)
	}
}

func TestOfNetworksWithinOneAnotherTheNarrowestCountsAndTheFirstListGoesBefore(t *testing.T) {
	dir := t.TempDir()
	f, err := lists(t, dir,
		"first.csv", "20.0.0.0/10\n20.1.0.0,20.1.255.255,Inner\n20.1.2.0,20.1.2.255,Innermost\n",
		"second.csv", "20.1.2.3,20.1.2.3,Second\n21.0.0.1,21.0.0.1,Second\n",
	)
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]string{"20.2.0.1": "first.csv", "20.1.9.9": "Inner", "20.1.2.3": "Innermost", "21.0.0.1": "Second"} {
		if got := f.Datacenter(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %q, want %q", ip, got, want)
		}
	}
}

// What is left of an address stands for 256 of them, or more of IPv6; that one of them
// is a server's says nothing of the visitor.
func TestAnAddressThatWasCutOffIsOfADataCentreOnlyAsAWhole(t *testing.T) {
	f, err := lists(t, t.TempDir(), "l.txt", "192.0.2.0/25\n198.51.100.0/24\n203.0.113.0\n2001:db8:1::/56\n2001:db8:2::/48\n")
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]string{
		"192.0.2.1": "l.txt", "192.0.2.0": "", "198.51.100.0": "l.txt", "203.0.113.0": "",
		"2001:db8:1::1": "l.txt", "2001:db8:1::": "", "2001:db8:2::": "l.txt",
	} {
		if got := f.Datacenter(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %q, want %q", ip, got, want)
		}
	}
}

func TestABadLineOfAListIsAnErrorWithItsFileAndLine(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no network":             {"192.0.2.0/24\n# fine\nexample.com\n", `line 3: "example.com" is no network and no address`},
		"too long a mask":        {"192.0.2.0/33\n", `line 1: "192.0.2.0/33" is no network`},
		"half a line":            {"192.0.2.0/24\n198.51.", `line 2: "198.51." is no network`},
		"everybody":              {"\n0.0.0.0/0\n", "line 2: 0.0.0.0/0 is too wide"},
		"all of IPv6":            {"2000::/3\n", "line 1: 2000::/3 is too wide"},
		"everybody as a range":   {"0.0.0.0,255.255.255.255,All,\n", "line 1: 0.0.0.0/0 is too wide"},
		"an interface":           {"fe80::1%eth0\n", "is no network"},
		"a head":                 {"start,end,name,url\n", `line 1: "start" must be a range's first address`},
		"no end":                 {"192.0.2.0,,Name,\n", `line 1: "" must be a range's last address`},
		"the wrong way round":    {"192.0.2.9,192.0.2.1,Name,\n", "line 1: 192.0.2.9 to 192.0.2.1 is no range"},
		"of two kinds":           {"192.0.2.9,2001:db8::1,Name,\n", "is no range"},
		"a quote left open":      {"192.0.2.0,192.0.2.9,\"Name\n", "line 1: no CSV"},
		"a name that is none":    {"192.0.2.0,192.0.2.9,a\x00b,\n", `line 1: the name "a\x00b" must be text`},
		"a name without an end":  {"192.0.2.0,192.0.2.9," + strings.Repeat("n", 101) + ",\n", "line 1: the name"},
		"nothing":                {" \n", "there is nothing in it"},
		"half of JSON":           {"{\n\"prefixes\": [\n\"192.0.2.0/24\",", "line 3: unexpected end of JSON input"},
		"JSON without a network": {`{"prefixes": ["192.0.2.0"]}`, "no text in its JSON is a network"},
		"JSON with everybody":    {"[\n\"0.0.0.0/0\"]", "line 2: 0.0.0.0/0 is too wide"},
		"a page":                 {"<!DOCTYPE html>\n<title>404</title>", `line 1: "<!DOCTYPE html>" is no network`},
		"what is no text at all": {"\xff\xfe\x00\x01", "line 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := lists(t, dir, "bad.txt", c.text)
			if err == nil || !strings.Contains(err.Error(), "geo.datacenters: "+filepath.Join(dir, "bad.txt")+": ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestAListThatChangesIsReadAgainAndABrokenOneIsNot(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kept.txt")
	at := time.Now().Add(-time.Hour)
	put := func(text string) { // each change is one whatever the clock's precision
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Minute)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	put("192.0.2.0/24\n")
	var said bytes.Buffer
	f, err := geo.Open(config.Geo{Datacenters: path}, slog.New(slog.NewTextHandler(&said, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	known := func(first, second string) {
		t.Helper()
		f.Refresh()
		if a, b := f.Datacenter(netip.MustParseAddr("192.0.2.1")), f.Datacenter(netip.MustParseAddr("198.51.100.1")); a != first || b != second {
			t.Errorf("%q and %q, want %q and %q", a, b, first, second)
		}
	}
	known("kept.txt", "")
	put("198.51.100.0/24\n")
	known("", "kept.txt")
	put("192.0.2.0/24\n0.0.0.0/1")
	known("", "kept.txt")
	if s := said.String(); !strings.Contains(s, "the old one stays in force") || !strings.Contains(s, "kept.txt: line 2: ") {
		t.Error(s)
	}
	put("192.0.2.0/24\n0.0.0.0/16")
	known("kept.txt", "")
}
