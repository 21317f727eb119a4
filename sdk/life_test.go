package sdk_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// ready waits until the tag has its settings and its source of consent.
var ready = chromedp.Poll[chromedp.Void](`window.miqParts && window.miq.version`)

// full waits until a page's implied consent is there.
func full(t *testing.T, ctx context.Context) {
	t.Helper()
	eval[any](t, ctx, `new Promise(done => miq("on", "consent", done)).then(() => 1)`)
}

func text(a arrival) string {
	b, _ := json.Marshal(a.Body)
	return string(b)
}

// down closes the connection, as a network that is not there.
func down(w http.ResponseWriter, _ *http.Request) bool {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
	return true
}

func unavailable(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

// views collects the page views that come: as many as are wanted, and until none comes any
// more. They are sorted: two requests may be under way at once, and either arrive first.
func views(t *testing.T, ctx context.Context, s *site, want string) (pages []string) {
	t.Helper()
	wanted := 0
	if want != "" {
		wanted = len(strings.Split(want, ","))
	}
	end := time.After(20 * time.Second)
	for settled := false; ; {
		select {
		case a := <-s.came:
			for _, e := range a.events() {
				if e["name"] == "page_view" {
					pages = append(pages, strings.TrimPrefix(a.at("context", "page", "url").(string), s.Shop.URL)+" "+a.at("context", "page", "title").(string))
				}
			}
		case <-end:
			wanted = 0
		default:
			if len(pages) < wanted {
				eval[any](t, ctx, `new Promise(done => setTimeout(done, 20)).then(() => 1)`)
			} else if !settled {
				eval[any](t, ctx, settle+".then(() => 1)")
				settled = true
			} else {
				slices.Sort(pages)
				return pages
			}
		}
	}
}

func TestASinglePageAppIsCountedOncePerChangeOfAddress(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/a"))
	full(t, ctx)
	for _, step := range []struct{ name, js, want string }{
		{"the first page", `1`, "/a Shop"},
		{"fifty times the same address", `for (let i = 0; i < 50; i++) history.replaceState({i}, "", location.href)`, ""},
		{"a fragment", `location.hash = "top"`, ""},
		{"a new path", `history.pushState({}, "", "/b"); document.title = "B"`, "/b B"},
		{"a new query, and back within one step", `history.replaceState({}, "", "/b?x=1"); history.replaceState({}, "", "/b")`, "/b B,/b?x=1 B"},
		{"the router's page view and ours", `history.pushState({}, "", "/c"); miq("page"); document.title = "C"`, "/c C"},
		{"back", `history.back()`, "/b C"},
		{"the site's own call later", `setTimeout(() => miq("page"), 1100); new Promise(done => setTimeout(done, 1200)).then(() => 1)`, "/b C"},
	} {
		eval[any](t, ctx, step.js+";1")
		if step.name == "the site's own call later" {
			eval[any](t, ctx, `new Promise(done => setTimeout(done, 1300)).then(() => 1)`)
		}
		if got := strings.Join(views(t, ctx, s, step.want), ","); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

func TestASPAWithItsPagesInTheFragment(t *testing.T) {
	for mode, want := range map[string]string{"hash": "/#a Shop,/#b Shop", "off": "/#a Shop"} {
		ctx := browse(t)
		p := impliedMode
		p.Tag.SPA = mode
		s := newSite(t, p, quick, shop())
		do(t, ctx, chromedp.Navigate(s.Shop.URL+"/#a"))
		full(t, ctx)
		eval[any](t, ctx, `location.hash = "b"; 1`)
		if got := strings.Join(views(t, ctx, s, want), ","); got != want {
			t.Errorf("%s: %q, want %q", mode, got, want)
		}
	}
}

func TestAPageThatComesBackFromTheCacheIsCountedAgain(t *testing.T) {
	ctx := browse(t)
	// The page speaks for itself, since the debugger loses sight of it for a while.
	s := newSite(t, impliedMode, quick, shop()+`<script>addEventListener("pageshow", e => { fetch(e.persisted ? "/restored" : "/loaded"); if (e.persisted) setTimeout(() => miq("track", "after"), 500) })</script>`)
	s.page["/away"] = "<!doctype html><title>Away</title><script>setTimeout(() => history.back(), 500)</script>"
	shown := make(chan string, 10)
	s.visited = func(path string) {
		if path == "/restored" || path == "/loaded" {
			shown <- path
		}
	}
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/a"))
	<-shown
	first := s.next(t)
	eval[any](t, ctx, `setTimeout(() => location.href = "/away"), 1`)
	if how := <-shown; how != "/restored" {
		t.Skip("SKIPPED: this browser keeps no page in its back/forward cache")
	}
	again := s.next(t)
	if again.names() != "page_view" || again.at("identity", "anonymous_id") != first.at("identity", "anonymous_id") {
		t.Errorf("came %s of %v", again.names(), again.at("identity"))
	}
	if again.events()[0]["id"] == first.events()[0]["id"] {
		t.Error("the new view has the old one's id")
	}
	if a := s.next(t); a.names() != "after" {
		t.Errorf("then came %s", a.names())
	}
}

func TestAPrerenderedPageIsSilentUntilItIsSeen(t *testing.T) {
	path, err := chromium()
	if err != nil {
		t.Skip("SKIPPED: no chromium on PATH, so the tag is not tried in a browser")
	}
	s := newSite(t, impliedMode, quick, shop())
	s.page["/"] = `<!doctype html><title>Start</title><a href="/next">Next</a><script type="speculationrules">{"prerender": [{"source": "list", "urls": ["/next"], "eagerness": "immediate"}]}</script>
		<script>const look = () => fetch("/ask.js").then(r => r.text()).then(go => go == "go" ? document.querySelector("a").click() : setTimeout(look, 100)); look()</script>`
	s.page["/next"] = shop() + `<script>fetch(document.prerendering ? "/prerendering" : "/plain")</script>`
	shown := make(chan string, 10)
	s.visited = func(path string) {
		if path == "/prerendering" || path == "/plain" {
			shown <- path
		}
	}
	// Without a debugger, before which a browser prerenders nothing.
	browser := exec.CommandContext(t.Context(), path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir="+t.TempDir(),
		"--disable-features=Prerender2MemoryControls", s.Shop.URL)
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { browser.Process.Kill(); browser.Wait() })
	select {
	case <-shown:
	case <-time.After(20 * time.Second):
		t.Skip("SKIPPED: this browser prerenders nothing")
	}
	for i := 0; i < 20; i++ {
		time.Sleep(100 * time.Millisecond) // in which it could have sent something
	}
	for _, a := range s.arrivals() {
		if a.Path != "/sdk.js" {
			t.Errorf("%s came while nobody saw the page", a.Path)
		}
	}
	s.put("/ask.js", "go")
	if a := s.next(t); a.names() != "page_view" || !strings.HasSuffix(a.at("context", "page", "url").(string), "/next") {
		t.Errorf("came %s of %v", a.names(), a.at("context", "page"))
	}
	select {
	case how := <-shown:
		t.Errorf("the page was loaded again: %s", how)
	default:
	}
}
