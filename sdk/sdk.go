// Package sdk holds the browser tag: its sources in TypeScript and, embedded,
// what they are bundled into. The bundles are committed, so that building the
// binary needs nothing but Go; generating them again gives the same bytes.
package sdk

import (
	_ "embed" // for the bundles
	"encoding/json"
	"html"
	"net/url"
	"strings"
)

// Version is the tag's version. It stands in the bundles and in their immutable
// addresses; the define below carries it there, and a test keeps the two equal.
const Version = "1.1.0"

//go:generate -command bundle go tool esbuild --bundle --minify --charset=utf8 --log-level=warning "--define:VERSION=\"1.0.0\"" --loader:.css=text
//go:generate bundle src/tag.ts --format=iife --target=es2017 --outfile=dist/sdk.js
//go:generate bundle src/banner.ts --format=iife --target=es2017 --outfile=dist/banner.js
//go:generate bundle src/module.ts --format=esm --target=es2020 --outfile=dist/sdk.mjs
//go:generate go tool esbuild src/sdk.d.ts --loader:.ts=copy --log-level=warning --outfile=dist/sdk.d.ts

//go:embed dist/sdk.js
var script []byte

//go:embed dist/sdk.mjs
var module []byte

//go:embed dist/banner.js
var banner []byte

//go:embed dist/sdk.d.ts
var types []byte

// Script is the tag that the snippet loads, at /sdk.js and /sdk/{version}.js.
func Script() []byte { return script }

// Module is the same as an ES module, at /sdk.mjs and /sdk/{version}.mjs.
func Module() []byte { return module }

// Banner is the consent banner, which the tag loads from
// /sdk/{version}/banner.js where it has to ask.
func Banner() []byte { return banner }

// Types are the TypeScript declarations of the module.
func Types() []byte { return types }

// Snippet is the HTML that puts a pixel on a page whose collector is at origin,
// such as "https://px.example.com". Both are escaped for where they stand.
func Snippet(origin, pixelID string) string {
	origin = strings.TrimRight(origin, "/")
	image := origin + "/pixel.gif?" + "pid=" + url.QueryEscape(pixelID) + "&e=page_view"
	return strings.NewReplacer(
		"{src}", quote(origin+"/sdk.js"),
		"{id}", quote(pixelID),
		"{img}", html.EscapeString(image),
	).Replace(snippet)
}

const snippet = `<script>
!function(w,d,u){w.miq=w.miq||function(){(w.miq.q=w.miq.q||[]).push(arguments)};
var s=d.createElement("script");s.async=1;s.src=u;d.head.appendChild(s)}(window,document,{src});
miq("init",{id});miq("page");
</script>
<noscript><img src="{img}" width="1" height="1" alt=""></noscript>
`

// quote writes a string literal that is safe inside a script element:
// encoding/json escapes <, >, & and the two line separators of JavaScript.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // no string fails to encode
	}
	return string(b)
}
