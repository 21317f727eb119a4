package partner

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

func TestPersonalData(t *testing.T) {
	for s, want := range map[string]bool{
		"jane.doe@example.com": true, "order of jane@example.co.uk, thanks": true, "?email=jane%40example.com": true, "JANE@EXAMPLE.COM": true,
		"+44 20 7946 0123": true, "+442079460123": true, "(555) 123-4567": true, "020 7946 0123": true,
		"": false, "A-1": false, "1234567890123": false, "2026-11-22": false, "99.50": false, "@home": false, "size 42": false, "10.0.0.1": false,
	} {
		if Personal(s) != want {
			t.Errorf("Personal(%q) is %t", s, !want)
		}
	}
}

func TestTextIsFitToBeSent(t *testing.T) {
	for in, want := range map[string]string{
		"  A-1 \n": "A-1", "a\x00b\x1bc": "abc", "a\xffb": "ab", "jane@example.com": "", "éééééé": "ééééé", "": "",
	} {
		if got := Text(in, 10); got != want {
			t.Errorf("Text(%q) is %q, want %q", in, got, want)
		}
	}
	for n := range 12 {
		if got := Cut("aé€😀b", n); len(got) > n || !utf8.ValidString(got) {
			t.Errorf("Cut to %d is %q", n, got)
		}
	}
}

func TestPageURLLosesWhatIsNobodysBusiness(t *testing.T) {
	for in, want := range map[string]string{
		"https://shop.example.com/p/1?utm_source=x&a=b":             "https://shop.example.com/p/1?utm_source=x&a=b",
		"https://u:p@shop.example.com/p#top":                        "https://shop.example.com/p",
		"https://shop.example.com/?e=jane%40example.com&a=1":        "https://shop.example.com/?a=1",
		"https://shop.example.com/?e=jane%2540example.com&a=1":      "https://shop.example.com/?a=1",
		"https://shop.example.com/?tel=%2B44%2020%207946%200123":    "https://shop.example.com/",
		"https://shop.example.com/u/jane@example.com/orders":        "https://shop.example.com/",
		"javascript:alert(1)":                                       "",
		"//shop.example.com/p":                                      "",
		"/p/1":                                                      "",
		"":                                                          "",
		"https://shop.example.com/?long=" + strings.Repeat("x", 99): "https://shop.example.com/",
		"https://shop.example.com/" + strings.Repeat("x", 99):       "",
	} {
		if got := PageURL(in, 80); got != want {
			t.Errorf("PageURL(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestIdentifiersAndDigests(t *testing.T) {
	const sum = "6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd"
	for in, want := range map[string]string{sum: sum, strings.ToUpper(sum): sum, sum[1:]: "", "": "", emptyDigest: "", strings.ToUpper(emptyDigest): "", "jane@example.com": ""} {
		if got := Digest(in); got != want {
			t.Errorf("Digest(%q) is %q", in, got)
		}
	}
	const id = "EA7583CD-A667-48BC-B806-42ECB2B48606"
	for in, want := range map[string]string{id: id, "00000000-0000-0000-0000-000000000000": "", "EA7583CDA66748BCB80642ECB2B48606": "", "": ""} {
		if got := GUID(in); got != want {
			t.Errorf("GUID(%q) is %q", in, got)
		}
	}
	for in, want := range map[string]string{"203.0.113.7": "203.0.113.7", "::ffff:203.0.113.7": "203.0.113.7", "2001:DB8::7": "2001:db8::7", "fe80::1%eth0": "", "203.0.113": "", "": ""} {
		if got := IP(in); got != want {
			t.Errorf("IP(%q) is %q", in, got)
		}
	}
}

func TestPropertiesAreReachedByTheirPath(t *testing.T) {
	props := jsontext.Value(` {"a":"text \u00e9","n":99.50,"yes":true,"null":null,"o":{"p":{"q":"deep"}},"items":[{"item_id":"x"},{"item_id":"y"}],"a":"second"}`)
	for name, want := range map[string]string{
		"a": "text é", "n": "99.50", "yes": "true", "null": "", "o": "", "o.p.q": "deep", "items.1.item_id": "y", "items.2.item_id": "", "items": "", "none": "", "": "", "a.b": "",
	} {
		if got := Property(props, name); got != want {
			t.Errorf("Property(%q) is %q, want %q", name, got, want)
		}
	}
	for _, bad := range []string{"", "[", `{"a":`, `{"a" 1}`, strings.Repeat("[", 20000)} {
		if got := Property(jsontext.Value(bad), "a"); got != "" {
			t.Errorf("of %.20q: %q", bad, got)
		}
	}
}

func TestReadSaysWhatIsWrongInOurWords(t *testing.T) {
	type into struct {
		Name string `json:"name"`
		N    int    `json:"n"`
	}
	for in, want := range map[string]string{
		``: "", `{"name":"x"}`: "", `{"surprise":1}`: "/surprise is unknown", `{"n":"x"}`: "/n has the wrong type", `{"name":1}`: "/name has the wrong type",
	} {
		got := ""
		if err := Read(jsontext.Value(in), &into{}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("Read(%s): %q, want %q", in, got, want)
		}
	}
	if Read(jsontext.Value(`{`), &into{}) == nil {
		t.Error("broken JSON is read")
	}
}
