package event

import (
	"regexp"
	"strings"
)

// removedMail stands where an e-mail address was. It is the same in an address
// bar as in a title: none of its characters must be escaped.
const removedMail = "(removed)"

// mail is what looks like an e-mail address, plain or escaped once or more, as
// a newsletter's link or a form sent by GET leaves it in a page's address.
var mail = regexp.MustCompile(`(?i)[\pL\pN._%+-]+(?:@|%(?:25)*40)(?:[\pL\pN-]+\.)+\pL{2,}`)

// WithoutMail is a text without the e-mail addresses in it.
func WithoutMail(s string) string { return withoutMail(s) }

// withoutMail is s without the e-mail addresses in it. Whatever a visitor allowed,
// a page's address goes to storage and to partners as it is, and never as a digest.
func withoutMail(s string) string {
	if !strings.ContainsRune(s, '@') && !strings.Contains(s, "40") {
		return s // nearly all, without the expression
	}
	return mail.ReplaceAllLiteralString(s, removedMail)
}
