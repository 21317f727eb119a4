package sdk

import (
	"crypto/sha256"
	_ "embed" // for what is pasted
	"encoding/base64"
	"strings"
)

//go:embed tags/shopify.js
var shopify string

//go:embed tags/woocommerce.php
var wooCommerce string

//go:embed tags/module.js
var moduleTag string

// Shopify is a custom pixel for a shop's customer events. Shopify runs it in a frame
// without an origin, so that the pixel's domains have to be empty; it says itself what
// the visitor allows, for pixels whose consent comes from the site's own banner.
func Shopify(origin, pixelID string) string { return fill(shopify, origin, pixelID) }

// WooCommerce is PHP that puts the tag on a shop's pages, and reports each order once.
func WooCommerce(origin, pixelID string) string {
	return strings.Replace(wooCommerce, "{tag}", Snippet(origin, pixelID), 1)
}

// ESModule is what an app that is bundled imports and calls.
func ESModule(origin, pixelID string) string { return fill(moduleTag, origin, pixelID) }

// CSP are the sources that a Content-Security-Policy has to allow for a Snippet or
// what is Pinned: the collector, and what stands on the page itself by its digest.
func CSP(origin, pixelID string) string {
	origin = strings.TrimRight(origin, "/")
	return "script-src " + origin + " " + inline(Snippet(origin, pixelID)) + " " + inline(Pinned(origin, pixelID)) +
		"; connect-src " + origin + "; img-src " + origin
}

// inline is the digest of the script that a page holds itself.
func inline(page string) string {
	_, script, _ := strings.Cut(page, "<script>")
	script, _, _ = strings.Cut(script, "</script>")
	sum := sha256.Sum256([]byte(script))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
