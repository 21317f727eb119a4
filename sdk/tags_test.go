package sdk_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/sdk"
)

// The policy that the console offers, on a page that allows nothing else.
func TestThePolicyThatIsOfferedLetsTheTagWork(t *testing.T) {
	for name, tag := range map[string]func(origin, id string) string{"as it is": sdk.Snippet, "pinned": sdk.Pinned} {
		t.Run(name, func(t *testing.T) {
			ctx := browse(t)
			s := newSite(t, impliedMode, quick, "")
			s.page["/"] = `<!doctype html><title>Shop</title><meta http-equiv="Content-Security-Policy" content="default-src 'none'; ` + sdk.CSP(s.Collector.URL, "px_demo") + `">` + tag(s.Collector.URL, "px_demo")
			do(t, ctx, chromedp.Navigate(s.Shop.URL+"/"))
			if a := s.next(t); a.names() != "page_view" {
				t.Errorf("came %s", a.names())
			}
		})
	}
}

// shopify does what Shopify's sandbox does: a frame without an origin that is given
// init, api and analytics.
const shopify = `
	const heard = {}, asked = [];
	const init = {customerPrivacy: {analyticsProcessingAllowed: false, marketingAllowed: false, preferencesProcessingAllowed: false, saleOfDataAllowed: true}};
	const api = {customerPrivacy: {subscribe: (name, f) => { if (name == "visitorConsentCollected") asked.push(f); }}};
	const analytics = {subscribe: (name, f) => { (heard[name] = heard[name] || []).push(f); }};
	window.happens = (name, data) => heard[name].forEach((f) => f({name, data, context: {document: {location: {href: "https://shop.example.com/thanks"}}}}));
	window.agrees = () => asked.forEach((f) => f({customerPrivacy: {analyticsProcessingAllowed: true, marketingAllowed: true, preferencesProcessingAllowed: true, saleOfDataAllowed: true}}));
`

func TestTheShopifyPixelReportsWhatTheCheckoutSays(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, gcmMode, quick, `<!doctype html><title>Shop</title><iframe sandbox="allow-scripts allow-forms" src="/pixel"></iframe>`)
	variant := `{"id": "11", "sku": "SKU1", "title": "42", "price": {"amount": 49.75, "currencyCode": "GBP"}, "product": {"title": "Shoe"}}`
	s.page["/pixel"] = "<!doctype html><body><script>" + shopify + sdk.Shopify(s.Collector.URL, "px_demo") + `
		happens("page_viewed", {});
		happens("product_viewed", {productVariant: ` + variant + `});
		happens("product_added_to_cart", {cartLine: {merchandise: ` + variant + `, quantity: 2, cost: {totalAmount: {amount: 99.5, currencyCode: "GBP"}}}});
		setTimeout(() => {
			agrees();
			happens("checkout_completed", {checkout: {email: "me@example.com", phone: null, order: {id: "A-1"}, totalPrice: {amount: 99.5}, currencyCode: "GBP", lineItems: [{quantity: 2, variant: ` + variant + `}]}});
		}, 500);
	</script>`
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/"))
	var names []string
	var bought map[string]any
	for bought == nil {
		a := s.next(t)
		names = append(names, a.names())
		for _, e := range a.events() {
			if e["name"] == "purchase" {
				bought = e["properties"].(map[string]any)
			}
		}
		if a.Header.Get("Origin") != "null" {
			t.Errorf("came from %s, where Shopify's frames have none", a.Header.Get("Origin"))
		}
	}
	if bought["order_id"] != "A-1" || bought["value"] != 99.5 || len(bought["items"].([]any)) != 1 {
		t.Errorf("the purchase says %v", bought)
	}
	if got := strings.Join(names, ","); !strings.Contains(got, "view_item") || !strings.Contains(got, "add_to_cart") {
		t.Errorf("what was seen before the answer is lost: %s", got)
	}
}

func TestWhatIsPastedNamesThePixelAndTheCollector(t *testing.T) {
	for name, text := range map[string]string{
		"Shopify":     sdk.Shopify("https://px.example.com/", "px_1"),
		"WooCommerce": sdk.WooCommerce("https://px.example.com/", "px_1"),
		"ES module":   sdk.ESModule("https://px.example.com/", "px_1"),
	} {
		if !strings.Contains(text, "px_1") || !strings.Contains(text, "https://px.example.com/sdk.") || strings.Contains(text, "{id}") || strings.Contains(text, "{src}") || strings.Contains(text, "{tag}") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
