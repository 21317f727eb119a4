package event

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var update = flag.Bool("update", false, "write the golden files anew")

func read[T any](t *testing.T, path string) T {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(b, &v, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

func TestAnEnvelopeIsReadWhole(t *testing.T) {
	body, err := os.ReadFile("testdata/full.json")
	if err != nil {
		t.Fatal(err)
	}
	env, err := DecodeEnvelope(body, 10)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(struct {
		PixelID  string           `json:"pixel_id"`
		SentAt   time.Time        `json:"sent_at"`
		Consent  Consent          `json:"consent"`
		Identity Identity         `json:"identity"`
		Context  Context          `json:"context"`
		Events   []jsontext.Value `json:"events"`
	}{env.PixelID, env.SentAt, env.Consent, env.Identity, env.Context, env.Events}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/full.golden.json", append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/full.golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if c := env.Context; c.IP != "" || c.UserAgent != "" || c.ClientHints != nil {
		t.Errorf("a client told us its own address, browser or hints: %+v", c)
	}
}

func TestEnvelopesThatAreRefused(t *testing.T) {
	cases := read[[]struct {
		Name    string         `json:"name"`
		Body    jsontext.Value `json:"body"`
		Pointer string         `json:"pointer"`
		Code    string         `json:"code"`
	}](t, "testdata/envelopes.json")
	for _, tt := range cases {
		t.Run(tt.Name, func(t *testing.T) {
			_, err := DecodeEnvelope(tt.Body, 3)
			f, ok := errors.AsType[Fault](err)
			if !ok || f.Pointer != tt.Pointer || f.Code != tt.Code || f.Message == "" {
				t.Errorf("got %#v (%v), want %s at %q", f, err, tt.Code, tt.Pointer)
			}
		})
	}
}

func TestWhatIsTooLongToBelieveIsRefusedAndWhatIsMerelyLongIsCut(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n/2) }
	env := Envelope{Context: Context{
		Page:   Page{URL: long(9 << 10), Title: long(3000)},
		Locale: long(200), Screen: Screen{Width: -5, Height: 1 << 20},
	}}
	if err := env.Check(); err != nil {
		t.Fatal(err)
	}
	if c := env.Context; len(c.Page.URL) != 8<<10 || len(c.Page.Title) != 1<<10 || len(c.Locale) != 128 || c.Screen.Width != 0 || c.Screen.Height != 1<<16 {
		t.Errorf("lengths %d %d %d, screen %v", len(c.Page.URL), len(c.Page.Title), len(c.Locale), c.Screen)
	}
	odd := Envelope{Context: Context{Locale: "a" + long(200)}}
	if err := odd.Check(); err != nil || len(odd.Context.Locale) != 127 {
		t.Errorf("a character was cut in two: %d bytes, %v", len(odd.Context.Locale), err)
	}
	for name, env := range map[string]Envelope{
		"/consent/tcf":           {Consent: Consent{TCF: long(17 << 10)}},
		"/consent/gpp":           {Consent: Consent{GPP: long(17 << 10)}},
		"/consent/addtl_consent": {Consent: Consent{AddtlConsent: long(17 << 10)}},
		"/consent/gpp_sid":       {Consent: Consent{GPPSID: make([]int, 65)}},
		"/identity/user_id":      {Identity: Identity{UserID: long(200)}},
	} {
		if f, ok := errors.AsType[Fault](env.Check()); !ok || f.Pointer != name {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestClickIDsThatCannotBeAnyAreDropped(t *testing.T) {
	env := Envelope{Identity: Identity{
		ClickIDs:   map[string]string{"gclid": "abc", "bad name": "x", "long": strings.Repeat("x", 2000), "script": "<a b>", "none": ""},
		PartnerIDs: map[string]string{},
	}}
	for i := range 40 {
		env.Identity.PartnerIDs["p"+strings.Repeat("x", i)] = "v"
	}
	if err := env.Check(); err != nil {
		t.Fatal(err)
	}
	if got := env.Identity.ClickIDs; len(got) != 1 || got["gclid"] != "abc" {
		t.Errorf("click ids %v", got)
	}
	if env.Identity.PartnerIDs != nil {
		t.Errorf("%d partner ids", len(env.Identity.PartnerIDs))
	}
}

func TestAMillionEventsCostNoMemoryBeyondTheLimit(t *testing.T) {
	body := []byte(`{"pixel_id":"px_demo","events":[` + strings.Repeat("1,", 1_000_000) + `1]}`)
	var err error
	allocated := testing.AllocsPerRun(1, func() { _, err = DecodeEnvelope(body, 500) })
	if f, ok := errors.AsType[Fault](err); !ok || f.Code != "too_many_events" {
		t.Errorf("got %v", err)
	}
	if allocated > 100 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestPeekPixelGuesses(t *testing.T) {
	for body, want := range map[string]string{
		`{"pixel_id":"px_demo","events":`:             "px_demo",
		"{\"events\":[],\n\"pixel_id\" : \"px_demo\"": "px_demo",
		`{"pixel_id":5}`:                              "",
		`{"pixel_id":"px`:                             "",
		`{"pixel_id"`:                                 "",
		`{}`:                                          "",
		`{"pixel_id":"` + strings.Repeat("x", 100) + `"}`: "",
	} {
		if got := PeekPixel([]byte(body)); got != want {
			t.Errorf("%.40s: %q, want %q", body, got, want)
		}
	}
}
