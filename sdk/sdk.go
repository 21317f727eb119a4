// Package sdk holds the browser tag: its sources in TypeScript and, embedded,
// what they are bundled into. The bundles are committed, so that building the
// binary needs nothing but Go; generating them again gives the same bytes.
package sdk

import (
	"crypto/sha512"
	"embed"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"strings"
)

// Version is the tag's version. It stands in the bundles and in their immutable
// addresses.
const Version = "1.1.0"

//go:generate go run ./build

//go:embed dist/sdk.js
var script []byte

//go:embed dist/sdk.mjs
var module []byte

//go:embed dist/sdk.d.ts
var types []byte

//go:embed dist/cmp.js dist/gcm.js dist/banner.js dist/extras.js dist/cross.js
var parts embed.FS

// Script is the tag that the snippet loads, at /sdk.js and /sdk/{version}.js.
func Script() []byte { return script }

// Module is the same as an ES module, at /sdk.mjs and /sdk/{version}.mjs.
func Module() []byte { return module }

// Types are the TypeScript declarations of the module.
func Types() []byte { return types }

// Parts are what the tag loads from /sdk/{version}/{name}.js where a page needs it:
// one for each source of consent (cmp, gcm, banner), one for what some sites ask
// for besides (extras), and one that loads by that, for visitors across domains (cross). The tag knows their digests and takes no others.
func Parts() map[string][]byte {
	files, err := parts.ReadDir("dist")
	if err != nil {
		panic(err) // they are embedded
	}
	m := make(map[string][]byte, len(files))
	for _, f := range files {
		body, err := parts.ReadFile("dist/" + f.Name())
		if err != nil {
			panic(err)
		}
		m[strings.TrimSuffix(f.Name(), ".js")] = body
	}
	return m
}

// Integrity is what a browser is to find in Script, as the integrity attribute
// of an element that loads /sdk/{version}.js.
func Integrity() string {
	sum := sha512.Sum384(script)
	return "sha384-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Snippet is the HTML that puts a pixel on a page whose collector is at origin,
// such as "https://px.example.com". Both are escaped for where they stand.
func Snippet(origin, pixelID string) string {
	return fill(snippet, origin, pixelID)
}

// Pinned is a Snippet that takes exactly this version: the browser refuses any
// other script, and the script any other part.
func Pinned(origin, pixelID string) string {
	return fill(pinned, origin, pixelID)
}

func fill(page, origin, pixelID string) string {
	origin = strings.TrimRight(origin, "/")
	image := origin + "/pixel.gif?" + "pid=" + url.QueryEscape(pixelID) + "&e=page_view"
	return strings.NewReplacer(
		"{src}", quote(origin+"/sdk.js"),
		"{mjs}", quote(origin+"/sdk.mjs"),
		"{origin}", quote(origin),
		"{version}", html.EscapeString(origin+"/sdk/"+Version+".js"),
		"{integrity}", Integrity(),
		"{id}", quote(pixelID),
		"{img}", html.EscapeString(image),
	).Replace(page)
}

const snippet = `<script>
!function(w,d,u){w.miq=w.miq||function(){(w.miq.q=w.miq.q||[]).push(arguments)};
var s=d.createElement("script");s.async=1;s.src=u;d.head.appendChild(s)}(window,document,{src});
miq("init",{id});miq("page");
</script>
<noscript><img src="{img}" width="1" height="1" alt=""></noscript>
`

const pinned = `<script>
!function(w){w.miq=w.miq||function(){(w.miq.q=w.miq.q||[]).push(arguments)}}(window);
miq("init",{id});miq("page");
</script>
<script async src="{version}" integrity="{integrity}" crossorigin="anonymous"></script>
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
