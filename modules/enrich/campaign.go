package enrich

import (
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/miq/pixel/modules/event"
)

// maxValue bounds what is kept of one value of a query, in bytes.
const maxValue = 512

// clickKeys are the query keys, in lower case, in which advertising networks tell of
// their click, each with whether it stands for a paid one.
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
	{"sccid", true}, {"epik", false}, // Snap, Pinterest
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
	query url.Values // keys in lower case
}

// maxAddress is how long an address may be to be read.
const maxAddress = 16 << 10

// parse takes a page's address apart. A campaign that is not in its query may be behind
// the #, where it reloads no page.
func parse(s string) address {
	if s == "" || len(s) > maxAddress {
		return address{}
	}
	var a address
	if u := location(s); u != nil {
		a.host = hostname(u)
	}
	s, fragment, _ := strings.Cut(s, "#")
	_, query, _ := strings.Cut(s, "?")
	a.query = parameters(query)
	if strings.Contains(fragment, "utm_") && a.query.Get("utm_source") == "" {
		_, rest, ok := strings.Cut(fragment, "?")
		if !ok {
			rest = fragment
		}
		for k, v := range parameters(rest) {
			if strings.HasPrefix(k, "utm_") && a.query.Get(k) == "" {
				if a.query == nil {
					a.query = url.Values{}
				}
				a.query[k] = v
			}
		}
	}
	return a
}

// location is an address without its query, nil where it has none. Of one that is broken
// in its path the host is still known.
func location(s string) *url.URL {
	if s == "" || len(s) > maxAddress {
		return nil
	}
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	u, err := url.Parse(s)
	if err == nil {
		return u
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return nil
	}
	host, _, _ := strings.Cut(rest, "/")
	if u, err = url.Parse(scheme + "://" + host); err != nil {
		return nil
	}
	return u
}

// hostname is an address's host as it is compared: without www, in lower case, and as a
// browser writes it where it is not of Latin letters.
func hostname(u *url.URL) string { return plainHost(u.Hostname()) }

func plainHost(host string) string {
	host = strings.TrimPrefix(strings.ToLower(strings.TrimSuffix(host, ".")), "www.")
	for i := range len(host) {
		if host[i] >= 0x80 {
			if ascii, err := idna.Lookup.ToASCII(host); err == nil {
				return ascii
			}
			return host
		}
	}
	return host
}

// parameters reads a query as people write them: keys in capitals, &amp; for &, ; between
// keys, escapes that are none, or all of it escaped once too often. Of a key that is there
// twice the first one with a value comes first.
func parameters(query string) url.Values {
	if query == "" {
		return nil
	}
	if !strings.Contains(query, "=") && strings.Contains(strings.ToLower(query), "%3d") {
		query = unescaped(query)
	}
	q := make(url.Values, 8)
	add := func(part string) {
		key, v, _ := strings.Cut(part, "=")
		if key = strings.ToLower(unescaped(strings.TrimPrefix(key, "amp;"))); key == "" {
			return
		}
		v = unescaped(v)
		if old := q[key]; len(old) == 1 && old[0] == "" {
			old[0] = v
			return
		}
		q[key] = append(q[key], v)
	}
	for part := range strings.SplitSeq(query, "&") {
		// What is behind a ; is a key of its own if it has a value, and else the rest of
		// the value before.
		part = strings.TrimPrefix(part, "amp;")
		for {
			i := strings.IndexByte(part, ';')
			if i < 0 || strings.IndexByte(part[i:], '=') < 0 {
				break
			}
			add(part[:i])
			part = part[i+1:]
		}
		if part != "" {
			add(part)
		}
	}
	return q
}

// unescaped is a text of a query in clear. Escapes that are none stay as they are.
func unescaped(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	if clear, err := url.QueryUnescape(s); err == nil {
		return clear
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			b = append(b, byte(n))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// paid reports whether the address holds a paid click's id, or Google's word that there
// was one, which is what is left where it may set none.
func (a address) paid() bool {
	for _, c := range clickKeys {
		if c.paid && a.query.Get(c.key) != "" {
			return true
		}
	}
	return a.query.Get("gad_source") != ""
}

// campaign reads the utm_ keys of a page's query.
func campaign(q url.Values) event.Campaign {
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
		if v == "" || e.Subject.ClickIDs[c.key] != "" {
			continue
		}
		if e.Subject.ClickIDs == nil {
			e.Subject.ClickIDs = map[string]string{}
		}
		e.Subject.ClickIDs[c.key] = v
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
