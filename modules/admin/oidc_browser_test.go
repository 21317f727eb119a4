package admin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestSingleSignOnInABrowser goes to a provider on another site and back, under the pages'
// own policy and with cookies as a browser sends them. With -screenshots=DIR it saves
// the sign-in page.
func TestSingleSignOnInABrowser(t *testing.T) {
	ctx := chromium(t)
	p := newProvider(t)
	p.server.URL = strings.Replace(p.server.URL, "127.0.0.1", "localhost", 1)
	p.says = map[string]any{"groups": "cn=admins,dc=example"}
	b := p.console(func(o *Options) { o.Config.PublicURL = "" })
	must(t, b.Start(t.Context()))
	t.Cleanup(func() { _ = b.Stop(t.Context()) })
	axe, err := os.ReadFile("../../sdk/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Log("SKIPPED in part: axe is not installed (npm ci --prefix sdk)")
	}

	for _, size := range []struct{ w, h int64 }{{1440, 900}, {390, 844}} {
		for _, theme := range []string{"light", "dark"} {
			drive(t, ctx, chromedp.EmulateViewport(size.w, size.h), chromedp.Navigate(b.URL()+"/pixels"))
			eval[bool](t, ctx, fmt.Sprintf(`document.cookie = "pixel_theme=%s; path=/", true`, theme))
			drive(t, ctx, chromedp.Navigate(b.URL()+"/pixels"))
			until(t, ctx, `document.readyState == "complete" && document.querySelector("a[href^='/login/sso']")`)
			if len(axe) > 0 {
				eval[bool](t, ctx, string(axe)+"; true")
				for _, f := range findings(t, ctx, axeRules) {
					t.Errorf("%d %s: %s", size.w, theme, f)
				}
			}
			if *screenshots != "" {
				png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
				must(t, err)
				must(t, os.WriteFile(filepath.Join(*screenshots, fmt.Sprintf("login-sso-%d-%s.png", size.w, theme)), png, 0o644))
			}
		}
	}
	press(t, ctx, `a[href^="/login/sso"]`)
	until(t, ctx, `location.pathname == "/pixels" && document.readyState == "complete" && document.querySelector("main h1")`)
	healthy(t, ctx, "after the sign-in")
	if at := eval[string](t, ctx, `location.href`); at != b.URL()+"/pixels" {
		t.Errorf("ended at %s", at)
	}
	for _, page := range []string{"/account", "/people"} {
		drive(t, ctx, chromedp.Navigate(b.URL()+page))
		until(t, ctx, `document.readyState == "complete"`)
		healthy(t, ctx, page)
		if over := eval[int](t, ctx, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			t.Errorf("%s is %d px wider than a narrow screen", page, over)
		}
		if *screenshots != "" {
			png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(*screenshots, "sso"+strings.ReplaceAll(page, "/", "-")+".png"), png, 0o644))
		}
	}
}
