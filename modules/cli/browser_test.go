package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// browser is one tab, and what it sent.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	requests []string
}

func browse(t *testing.T, chromium string) *browser {
	t.Helper()
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1440, 900),
	)...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok && e.Request != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.requests = append(b.requests, e.Request.Method+" "+e.Request.URL)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

// sent lists the requests that carry events or consent.
func (b *browser) sent() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, r := range b.requests {
		if strings.Contains(r, "/collect") || strings.Contains(r, "/pixel.gif") || strings.Contains(r, "/consent") {
			out = append(out, r)
		}
	}
	return out
}

// do takes steps, none of which needs to wait long.
func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		where, _ := chromedp.Run(b.ctx, chromedp.Location())
		t.Fatalf("on %s: %v", where, err)
	}
}

func (b *browser) open(t *testing.T, url string) {
	t.Helper()
	b.do(t, chromedp.Navigate(url), chromedp.WaitReady(chromedp.CSS("body")))
}

func (b *browser) click(t *testing.T, css string) {
	t.Helper()
	b.do(t, chromedp.Click(chromedp.CSS(css)))
}

// press types keys, as somebody without a mouse does.
func (b *browser) press(t *testing.T, keys ...string) {
	t.Helper()
	for _, k := range keys {
		b.do(t, chromedp.KeyEvent(k))
	}
}

func (b *browser) waitForBanner(t *testing.T) {
	t.Helper()
	b.do(t, chromedp.WaitReady(chromedp.CSS("miq-consent")))
}

// buy fills in the check-out and returns the order's number.
func (b *browser) buy(t *testing.T, email string) string {
	t.Helper()
	b.do(t, chromedp.SendKeys(chromedp.CSS("#email"), email))
	b.click(t, "#buy button")
	b.do(t, chromedp.WaitVisible(chromedp.CSS("#order")))
	order, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("#order")))
	if err != nil || !strings.HasPrefix(order, "FF-") {
		t.Fatalf("the shop shows the order %q (%v)", order, err)
	}
	return order
}

func (b *browser) text(t *testing.T) string {
	t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *browser) title(t *testing.T) string {
	t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.Title())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *browser) nothingStored(t *testing.T) {
	t.Helper()
	left, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.cookie + Object.keys(localStorage) + Object.keys(sessionStorage)`))
	if err != nil || left != "" {
		t.Errorf("the browser stores %q (%v)", left, err)
	}
}

// cookiesAndIDs checks that the browser keeps an id of ours, or none.
func (b *browser) cookiesAndIDs(t *testing.T, want bool) {
	t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.cookie + ";" + Object.keys(localStorage)`))
	if err != nil {
		t.Fatal(err)
	}
	if has := strings.Contains(got, "_miq"); has != want {
		t.Errorf("the browser keeps %q, want an id of ours: %v", got, want)
	}
}

// fresh makes the browser a new visitor.
func (b *browser) fresh(t *testing.T) {
	t.Helper()
	b.do(t, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		return chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`localStorage.clear(); sessionStorage.clear()`))
	}))
	b.mu.Lock()
	b.requests = nil
	b.mu.Unlock()
}

// shot keeps a picture of the page where CI collects its artefacts.
func (b *browser) shot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("ARTIFACTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "demo-"+name+".png"), png, 0o644)
	}
	if err != nil {
		t.Errorf("screenshot %s: %v", name, err)
	}
}
