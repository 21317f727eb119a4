package enrich

import (
	"net/url"
	"strings"

	"github.com/miq/pixel/modules/event"
)

// maxValue bounds what is kept of one value of a query, in bytes.
const maxValue = 512

// clickKeys are the query keys in which advertising networks tell of their
// click, each with whether it stands for a paid one.
var clickKeys = [...]struct {
	key  string
	paid bool
}{
	{"gclid", true}, {"gbraid", true}, {"wbraid", true}, {"dclid", true}, // Google
	{"msclkid", true},                // Microsoft
	{"fbclid", false},                // Meta puts it on every link, paid or not
	{"ttclid", true},                 // TikTok
	{"ttd_click", true},              // The Trade Desk
	{"ttdclid", true},                // The Trade Desk
	{"vmcid", true},                  // Yahoo
	{"aref", true},                   // Amazon
	{"maas", true},                   // Amazon Attribution
	{"li_fat_id", false},             // LinkedIn
	{"twclid", true},                 // X
	{"ScCid", true}, {"epik", false}, // Snap, Pinterest
	{"rdt_cid", true},   // Reddit
	{"yclid", true},     // Yandex
	{"irclickid", true}, // impact.com
	{"tblci", true},     // Taboola
	{"dicbo", true},     // Outbrain
	{"obclid", true},    // Outbrain
	{"qclid", true},     // Quora
	{"awc", true},       // Awin
	{"cjevent", true},   // CJ
	{"srsltid", false},  // Google's free listings
	{"ysclid", false},   // Yandex, not paid
}

// address is what we read of a page's address, once.
type address struct {
	host  string
	path  string
	query url.Values
}

func parse(s string) address {
	if s == "" || len(s) > 16<<10 {
		return address{}
	}
	u, err := url.Parse(s)
	if err != nil {
		return address{}
	}
	a := address{host: hostname(u), path: u.EscapedPath()}
	if u.RawQuery != "" {
		// A query that is wrong in one place is still worth the rest.
		a.query, _ = url.ParseQuery(u.RawQuery)
	}
	return a
}

func hostname(u *url.URL) string {
	return strings.TrimPrefix(strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), "www.")
}

// paid reports whether the address holds a paid click's id.
func (a address) paid() bool {
	for _, c := range clickKeys {
		if c.paid && a.query.Get(c.key) != "" {
			return true
		}
	}
	return false
}

// Campaign reads the utm_ keys of a page's query.
func Campaign(q url.Values) event.Campaign {
	if len(q) == 0 {
		return event.Campaign{}
	}
	return event.Campaign{
		Source:  value(q, "utm_source"),
		Medium:  value(q, "utm_medium"),
		Name:    value(q, "utm_campaign"),
		Term:    value(q, "utm_term"),
		Content: value(q, "utm_content"),
		ID:      value(q, "utm_id"),
	}
}

// clickIDs adds the query's click ids to the subject. One that the tag sent
// stays: it may have kept it from the page on which the visitor landed.
func clickIDs(e *event.Event, q url.Values) {
	for _, c := range clickKeys {
		v := value(q, c.key)
		name := strings.ToLower(c.key)
		if v == "" || e.Subject.ClickIDs[name] != "" {
			continue
		}
		if e.Subject.ClickIDs == nil {
			e.Subject.ClickIDs = map[string]string{}
		}
		e.Subject.ClickIDs[name] = v
	}
}

// value is the first of a key, without what cannot be shown; one that is too
// long to be honest counts as absent.
func value(q url.Values, key string) string {
	v := strings.TrimSpace(strings.ToValidUTF8(q.Get(key), ""))
	if len(v) > maxValue || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return v
}
