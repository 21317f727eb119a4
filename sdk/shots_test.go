package sdk_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestScreenshotsOfTheBanner leaves pictures where CI collects its artefacts, to
// be looked at by people.
func TestScreenshotsOfTheBanner(t *testing.T) {
	dir := os.Getenv("ARTIFACTS")
	if dir == "" {
		t.Skip("SKIPPED: ARTIFACTS names no folder for the pictures")
	}
	p := bannerMode
	p.PrivacyURL = "https://shop.example/privacy"
	for _, language := range []string{"en", "de"} {
		page := `<!doctype html><html lang="` + language + `"><title>Shop</title><meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{margin:0;font:16px/1.6 Georgia,serif;background:light-dark(#fbf8f3,#14120f);color:light-dark(#222,#ddd);color-scheme:light dark}main{max-width:760px;margin:60px auto;padding:0 24px}</style>
<main><h1>Three shoes, every road</h1>` + strings.Repeat("<p>A made-up shop with a real tag. Accept or refuse its banner, buy something, and watch what happens to the event on its way.</p>", 9) + "</main>" + shop()
		s := newSite(t, p, quick, page)
		for _, width := range []int64{1440, 390} {
			for _, scheme := range []string{"light", "dark"} {
				ctx := browse(t)
				do(t, ctx, emulate(width, scheme), chromedp.Navigate(s.Shop.URL))
				asked(t, ctx)
				eval[any](t, ctx, settle+".then(() => 1)")
				shot := func(name string) {
					png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
					if err == nil {
						err = os.WriteFile(filepath.Join(dir, strings.Join([]string{"banner", language, name, scheme, map[int64]string{1440: "1440", 390: "390"}[width]}, "-")+".png"), png, 0o644)
					}
					if err != nil {
						t.Error(err)
					}
				}
				shot("1-question")
				answer(t, ctx, more+1) // the link to the privacy page is on the way
				do(t, ctx, chromedp.KeyEvent(" "))
				eval[any](t, ctx, settle+".then(() => 1)")
				shot("2-settings")
				do(t, ctx, chromedp.KeyEvent(strings.Repeat("\t", 4)+"\r"))
				eval[any](t, ctx, settle+".then(() => 1)")
				shot("3-reopener")
				eval[any](t, ctx, `miq("banner"), `+settle+".then(() => 1)")
				shot("4-again")
			}
		}
	}
}

// emulate is a window of that width, for eyes that like that scheme.
func emulate(width int64, scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
			return err
		}
		return chromedp.Do(ctx, chromedp.EmulateViewport(width, 844))
	})
}
