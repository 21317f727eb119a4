package sdk

import (
	_ "embed" // for the template
	"encoding/json"
	"net/url"
	"strings"
)

//go:embed gtm/template.tpl
var tagManager string

// TagManagerTemplate is a Google Tag Manager template for a pixel whose collector
// is at origin. It is made for that one address: the permission that it asks for
// is to load the tag from there and from nowhere else.
func TagManagerTemplate(origin, pixelID string) []byte {
	origin = strings.TrimRight(origin, "/")
	host := origin
	if u, err := url.Parse(origin); err == nil && u.Host != "" {
		host = u.Host
	}
	return []byte(strings.NewReplacer(
		"{script}", inner(origin+"/sdk.js"),
		"{origin}", inner(origin),
		"{host}", inner(host),
		"{pixel}", inner(pixelID),
	).Replace(tagManager))
}

// inner is what stands between the quotes of a string literal, of JSON and of
// JavaScript, in single quotes too.
func inner(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // no string fails to encode
	}
	return strings.ReplaceAll(string(b[1:len(b)-1]), "'", `\u0027`)
}
