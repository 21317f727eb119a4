package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/klauspost/compress/zstd"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/filearchive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/event"
)

// TestTheDemoInARealBrowser is the product's promise as a newcomer meets it: the
// demo shop in Chromium, with the real tag, collector, worker, dispatcher,
// console and imitated partners.
func TestTheDemoInARealBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes too long for -short")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("Chromium is not installed (Debian: apt-get install chromium)")
	}
	dir := t.TempDir()
	shop, partners := "http://"+freeAddr(t), "http://"+freeAddr(t)
	p := start(t, dir, "demo", "--traffic=0", "--shop="+strings.TrimPrefix(shop, "http://"), "--sandbox="+strings.TrimPrefix(partners, "http://"))
	p.eventually("the demo prints where it is", func() error {
		if !strings.Contains(p.out.String(), "Ctrl-C ends the demo") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	shop = addressOf(t, p, "Shop")
	login := addressOf(t, p, "Console")
	console, _, _ := strings.Cut(login, "/welcome")

	b := browse(t, chromium)

	t.Run("nothing is stored or sent before consent", func(t *testing.T) {
		b.open(t, shop+"/product/TRAIL-01")
		b.waitForBanner(t)
		b.nothingStored(t)
		if sent := b.sent(); len(sent) > 0 {
			t.Errorf("sent before consent: %v", sent)
		}
		b.shot(t, "1-banner")
	})

	t.Run("after a refusal there is nothing anywhere", func(t *testing.T) {
		b.press(t, "\t", "\r") // the first button refuses
		b.open(t, shop+"/checkout/TRAIL-01")
		b.buy(t, "refused@example.com")
		b.open(t, shop+"/")
		if sent := b.sent(); len(sent) > 0 {
			t.Errorf("sent after a refusal: %v", sent)
		}
		b.cookiesAndIDs(t, false)
		p.consistently(t, "nothing is stored", func() error {
			if n := len(p.events(t, "")); n > 0 {
				return fmt.Errorf("%d events are stored", n)
			}
			return nil
		})
		if got := received(t, partners); len(got) > 0 {
			t.Errorf("partners received %v", got)
		}
	})

	var first purchase
	t.Run("an accepted purchase is stored, archived and delivered", func(t *testing.T) {
		b.fresh(t) // a new visitor
		b.open(t, shop+"/product/ROAD-02")
		b.waitForBanner(t)
		b.press(t, "\t", "\t", "\r") // the second button accepts
		b.open(t, shop+"/checkout/ROAD-02")
		bought := time.Now()
		order := b.buy(t, "ada@example.com")
		first = p.purchase(t, order, "dv360", "ttd", "yahoo", "amazon")
		took := time.Since(bought)
		t.Logf("FIGURE bought to answered by all partners: %v", took.Round(time.Millisecond))
		for _, s := range first.Syncs {
			if s.Outcome != "accepted" {
				t.Errorf("%s: %s (%s)", s.Partner, s.Outcome, s.Message)
			}
		}
		got := received(t, partners)
		for _, name := range []string{"dv360", "ttd", "yahoo", "amazon"} {
			if !slices.ContainsFunc(got, func(r receipt) bool {
				return r.Partner == name && slices.Contains(r.OrderIDs, order) || r.Partner == name && slices.Contains(r.EventIDs, first.ID)
			}) {
				t.Errorf("%s's sandbox did not receive %s: %+v", name, order, got)
			}
		}
		if n := archived(t, filepath.Join(dir, "archive"), first.ID); n != 1 {
			t.Errorf("the event is %d times in the archive, want once", n)
		}
		b.cookiesAndIDs(t, true)
	})

	t.Run("the address typed at check-out is nowhere in clear", func(t *testing.T) {
		for _, place := range grep(t, dir, "ada@example.com") {
			t.Errorf("%s holds the e-mail address in clear", place)
		}
		if strings.Contains(p.out.String(), "ada@example.com") {
			t.Error("the log holds the e-mail address in clear")
		}
	})

	t.Run("the console shows the purchase, its enrichment, and what the partners answered", func(t *testing.T) {
		b.open(t, login)
		b.open(t, console+"/events/"+first.ID)
		page := b.text(t)
		for _, want := range []string{"purchase", first.Order.ID, "The Trade Desk", "Amazon", "Chrome"} {
			if !strings.Contains(page, want) {
				t.Errorf("the event's page does not say %q:\n%s", want, page)
			}
		}
		b.shot(t, "2-event")
	})

	t.Run("with The Trade Desk switched off in the console, the next purchase says so", func(t *testing.T) {
		b.open(t, console+"/partners/ttd")
		b.shot(t, "3-partner")
		b.click(t, `[name="mode"][value="off"]`)
		b.do(t, chromedp.WaitVisible(chromedp.CSS(`[name="mode"][value="off"][aria-pressed="true"]`)))
		p.eventually("the switch is off", func() error {
			var ttd struct{ Mode string }
			if err := p.tryAPI("GET", "/partners/ttd", nil, &ttd); err != nil {
				return err
			}
			if ttd.Mode != "off" {
				return fmt.Errorf("mode is %s", ttd.Mode)
			}
			return nil
		})
		b.open(t, shop+"/checkout/REST-03")
		order := b.buy(t, "ada@example.com")
		second := p.purchase(t, order, "dv360", "ttd", "yahoo", "amazon")
		b.open(t, console+"/events/"+second.ID)
		if page := b.text(t); !strings.Contains(page, "not sent: partner is off") {
			t.Errorf("the event's page does not say \"not sent: partner is off\":\n%s", page)
		}
		b.shot(t, "4-not-sent")
		if got := received(t, partners); slices.ContainsFunc(got, func(r receipt) bool { return r.Partner == "ttd" && slices.Contains(r.OrderIDs, order) }) {
			t.Error("The Trade Desk received it all the same")
		}
	})

	t.Run("every page of the console opens", func(t *testing.T) {
		for _, path := range []string{"/", "/live", "/events", "/pixels", "/pixels/px_demo", "/partners", "/partners/amazon", "/queues"} {
			b.open(t, console+path)
			if title := b.title(t); title == "" || strings.Contains(title, "rror") {
				t.Errorf("%s has the title %q", path, title)
			}
			b.shot(t, "5-"+strings.Trim(strings.ReplaceAll(path, "/", "-"), "-"))
		}
	})

	if err := p.terminate(); err != nil {
		t.Errorf("SIGTERM ended with %v, want exit 0", err)
	}
}

func addressOf(t *testing.T, p *process, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^\s*` + name + `\s+(http\S+)`).FindStringSubmatch(p.out.String())
	if m == nil {
		t.Fatalf("the demo prints no address of %s:\n%s", name, p.out)
	}
	return m[1]
}

// consistently fails if f returns an error within two seconds.
func (p *process) consistently(t *testing.T, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for range 10 {
		if err := f(); err != nil {
			t.Fatalf("not: %s: %v", what, err)
		}
		<-tick.C
	}
}

type purchase struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Order struct {
		ID string `json:"id"`
	} `json:"order"`
	Syncs []struct{ Partner, Outcome, Message string }
}

func (p *process) events(t *testing.T, query string) []purchase {
	t.Helper()
	var page struct{ Items []purchase }
	p.api("GET", "/events?limit=100&q="+query, nil, &page)
	return page.Items
}

// purchase waits for an order's event, and for a line of the sync log of each partner.
func (p *process) purchase(t *testing.T, order string, partners ...string) purchase {
	t.Helper()
	var found purchase
	p.eventually("order "+order+" is stored and settled", func() error {
		for _, e := range p.events(t, order) {
			if e.Name == "purchase" {
				found = e
			}
		}
		if found.ID == "" {
			return fmt.Errorf("it is not stored")
		}
		var syncs struct {
			Items []struct{ Partner, Outcome, Message string }
		}
		if err := p.tryAPI("GET", "/syncs?event_id="+found.ID, nil, &syncs); err != nil {
			return err
		}
		found.Syncs = syncs.Items
		for _, name := range partners {
			if !slices.ContainsFunc(found.Syncs, func(s struct{ Partner, Outcome, Message string }) bool { return s.Partner == name }) {
				return fmt.Errorf("no sync with %s yet", name)
			}
		}
		return nil
	})
	return found
}

type receipt struct {
	Partner  string   `json:"partner"`
	EventIDs []string `json:"event_ids"`
	OrderIDs []string `json:"order_ids"`
}

func received(t *testing.T, partners string) []receipt {
	t.Helper()
	out, err := get(partners + "/received.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []receipt
	var page struct{ Items []receipt }
	if json.Unmarshal(out, &page) == nil && page.Items != nil {
		list = page.Items
	} else if err := json.Unmarshal(out, &list); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return slices.DeleteFunc(list, func(r receipt) bool { return len(r.EventIDs)+len(r.OrderIDs) == 0 })
}

// archived counts how often an event is in the archive.
func archived(t *testing.T, dir, id string) int {
	t.Helper()
	a, _, err := filearchive.New(dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	n := 0
	for r, err := range a.Read(t.Context(), archive.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Event.ID == id {
			n++
		}
	}
	return n
}

// unpacked is all that is in the archive of a data folder, as JSON.
func unpacked(t *testing.T, dir string) (all []byte) {
	t.Helper()
	a, _, err := filearchive.New(filepath.Join(dir, "archive"), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for r, err := range a.Read(t.Context(), archive.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, event.AsJSON(event.Encode(&r.Event))...)
	}
	return all
}

// grep finds the files under dir that hold text, decompressed where they are
// compressed.
func grep(t *testing.T, dir, text string) []string {
	t.Helper()
	var hits []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".wal") || strings.HasSuffix(path, ".parquet") {
			b = unpacked(t, dir)
		}
		if strings.HasSuffix(path, ".zst") {
			z, err := zstd.NewReader(nil)
			if err != nil {
				return err
			}
			defer z.Close()
			if plain, err := z.DecodeAll(b, nil); err == nil {
				b = plain
			}
		}
		if strings.Contains(string(b), text) {
			hits = append(hits, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hits
}
