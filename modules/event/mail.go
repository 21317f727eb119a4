package event

import (
	"regexp"
	"strings"
)

// removedMail stands where an e-mail address was. It is the same in an address
// bar as in a title: none of its characters must be escaped.
const removedMail = "(removed)"

// mail is what looks like an e-mail address, plain or escaped once or more, as
// a newsletter's link or a form sent by GET leaves it in a page's address. Its domain may
// be of other letters than Latin ones, and those escaped.
var mail = regexp.MustCompile(`(?i)[\pL\pN._%+-]+(?:@|%(?:25)*40)(?:(?:[\pL\pN-]|%[89a-f][0-9a-f])+\.)+\pL{2,}`)

// files are ends of names that are no domain's: an image for sharp screens is called
// shoe@2x.png, and a library's file vue@3.4.js.
var files = map[string]bool{
	"png": true, "jpg": true, "jpeg": true, "gif": true, "svg": true, "webp": true, "avif": true, "ico": true,
	"js": true, "mjs": true, "css": true, "json": true, "html": true, "htm": true, "php": true, "aspx": true, "pdf": true,
}

// WithoutMail is a text without the e-mail addresses in it.
func WithoutMail(s string) string { return withoutMail(s) }

// withoutMail is s without the e-mail addresses in it. Whatever a visitor allowed,
// a page's address goes to storage and to partners as it is, and never as a digest.
func withoutMail(s string) string {
	if strings.IndexByte(s, '@') < 0 && (strings.IndexByte(s, '%') < 0 || !strings.Contains(s, "40")) {
		return s // nearly all, without the expression
	}
	return withoutMatches(s)
}

func withoutMatches(s string) string {
	return mail.ReplaceAllStringFunc(s, func(m string) string {
		if files[strings.ToLower(m[strings.LastIndexByte(m, '.')+1:])] {
			return m
		}
		return removedMail
	})
}
