package sdk_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/sdk"
)

// How sites put the tag into their pages.

func TestAStrictPolicyLetsEveryPartWork(t *testing.T) {
	ctx := browse(t)
	p := gcmMode
	p.Tag = settings.TagOptions{Autotrack: []string{"clicks"}}
	s := newSite(t, p, quick, `<!doctype html><title>Shop</title><button>B</button><script nonce="abc">`+strings.TrimPrefix(strings.Split(sdk.Snippet("{origin}", "px_demo"), "</script>")[0], "<script>")+"</script>",
		"Content-Security-Policy", "default-src 'none'; script-src 'nonce-abc' {origin}; connect-src {origin}; img-src {origin}")
	do(t, ctx, chromedp.Navigate(s.Shop.URL), chromedp.Poll[chromedp.Void](`window.miqParts && miqParts.gcm && miqParts.extras`))
	eval[any](t, ctx, `miq("consent", {state: "full"}), document.querySelector("button").click(), 1`)
	if a := s.next(t); a.names() != "page_view,element_click" {
		t.Errorf("came %s", a.names())
	}
}

func TestWithoutJavaScriptTheImageCounts(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, shop())
	do(t, ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}), chromedp.Navigate(s.Shop.URL))
	if a := s.next(t); a.Path != "/pixel.gif" || a.Method != "GET" {
		t.Errorf("%s %s came", a.Method, a.Path)
	}
	if names, _ := s.stored(t); strings.Join(names, ",") != "page_view" {
		t.Errorf("the collector keeps %v", names)
	}
}

func TestAPinnedTagTakesNothingElse(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, "<!doctype html><title>Shop</title>"+sdk.Pinned("{origin}", "px_demo"))
	s.page["/forged"] = strings.Replace("<!doctype html><title>Shop</title>"+sdk.Pinned("{origin}", "px_demo"), "sha384-", "sha384-A", 1)
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	if a := s.next(t); a.names() != "page_view" {
		t.Errorf("came %s", a.names())
	}
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/forged"))
	eval[any](t, ctx, settle+".then(() => 1)")
	if eval[bool](t, ctx, `!!miq.version`) {
		t.Error("a script of another digest ran")
	}
}

func TestTheTouchThatLedHereGoesAlongOnLaterPages(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?utm_source=news&dclid=d1"))
	s.next(t)
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?utm_source=again&vmcid=v1"))
	s.next(t)
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/checkout"))
	a := s.next(t)
	for want, keys := range map[string][]string{
		"news":  {"context", "touch", "first", "params", "utm_source"},
		"again": {"context", "touch", "last", "params", "utm_source"},
		"d1":    {"identity", "click_ids", "dclid"},
		"v1":    {"identity", "click_ids", "vmcid"},
	} {
		if got := a.at(keys...); got != want {
			t.Errorf("%v is %v, want %v", keys, got, want)
		}
	}
	if a.events()[0]["seq"] != 3.0 {
		t.Errorf("the third event of the tab has the number %v", a.events()[0]["seq"])
	}
}

func TestHooksMayChangeAndDropEvents(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, patient, `<!doctype html><title>Shop</title><script src="{origin}/sdk.js"></script><script>
		miq("use", {name: "mine", setup: ({track}) => window.own = () => track("from_plugin"), beforeSend: e => { if (e.name == "broken") throw 1; }});
		miq("init", "px_demo", {beforeSend: e => { e.page.url = e.page.url.split("?")[0]; return e.name != "dropped"; }});
		miq("page"); miq("track", "dropped"); miq("track", "broken"); own(); miq("track", "purchase", {order_id: "A", value: 1, currency: "GBP"});</script>`)
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?token=secret"))
	if a := s.next(t); a.names() != "page_view,from_plugin,purchase" || strings.Contains(text(a), "secret") {
		t.Errorf("came %s: %s", a.names(), text(a))
	}
}

func TestADataLayerIsReadWhateverShapeItHas(t *testing.T) {
	ctx := browse(t)
	p := impliedMode
	p.Tag.Ecommerce = true
	s := newSite(t, p, quick, `<!doctype html><title>Shop</title><script>
		dataLayer = [{event: "gtm.js"}, {event: "view_item", ecommerce: {currency: "GBP", value: 5, items: [{item_id: "SKU1"}]}}];
		function gtag() { dataLayer.push(arguments) }</script>`+shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL), chromedp.Poll[chromedp.Void](`window.miqParts && miqParts.extras`))
	eval[any](t, ctx, `gtag("event", "Add To Cart", {currency: "GBP", value: 5, items: [{id: "SKU1", name: "Shoe", price: "5"}]}),
		dataLayer.push({ecommerce: {currencyCode: "GBP", purchase: {actionField: {id: 77, revenue: "99.50"}, products: [{id: "SKU1", name: "Shoe", price: "99.50", quantity: 1}]}}}), 1`)
	var got []string
	for len(got) < 4 {
		for _, e := range s.next(t).events() {
			got = append(got, e["name"].(string))
			if e["name"] == "purchase" {
				p := e["properties"].(map[string]any)
				item := p["items"].([]any)[0].(map[string]any)
				if p["order_id"] != "77" || p["value"] != 99.5 || p["currency"] != "GBP" || item["item_id"] != "SKU1" || item["price"] != 99.5 {
					t.Errorf("the purchase is %v", p)
				}
			}
		}
	}
	if strings.Join(got, ",") != "page_view,view_item,add_to_cart,purchase" {
		t.Errorf("came %v", got)
	}
}
