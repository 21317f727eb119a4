package enrich

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/net/publicsuffix"

	"github.com/miq/pixel/modules/event"
)

// The kinds of a Referrer.
const (
	search   = "search"
	social   = "social"
	mail     = "mail"
	paid     = "paid"
	referral = "referral"
	internal = "internal"
	direct   = "direct"
)

// referrer says where a visitor came from: by the paid click in the page's
// address, by utm_medium, and otherwise by the referring host. Host is the
// page's own, and domains are the site's, for telling its own pages from others;
// with partial consent the page's host is not known.
func (s *sources) referrer(referrer, host string, domains []string, c event.Campaign, paidClick bool) event.Referrer {
	r := event.Referrer{Kind: direct}
	if u := location(referrer); u != nil {
		r.Host = hostname(u)
		// An app refers as android-app://com.google.android.gm/.
		if u.Scheme == "android-app" || u.Scheme == "ios-app" {
			r.Host = strings.ToLower(u.Host)
		}
	}
	if r.Host != "" {
		r.Kind = referral
		if sameSite(r.Host, host) || within(r.Host, domains) {
			r.Kind = internal
		} else if k, name := s.lookup(r.Host); k != "" {
			r.Kind, r.Name = k, name
		}
	}
	// What the advertiser says of its own link outweighs where it was clicked,
	// except on its own pages, whose links only carry the query along.
	switch {
	case r.Kind == internal:
	case paidClick || paidMedium(c.Medium):
		r.Kind = paid
	case is(c.Medium, "email", "e-mail", "mail", "newsletter"):
		r.Kind = mail
	case is(c.Medium, "social", "social-network", "social-media", "sm"):
		r.Kind = social
	case is(c.Medium, "organic"):
		r.Kind = search
	case r.Kind == direct && c.Source != "":
		r.Kind = referral
	}
	return r
}

func paidMedium(m string) bool {
	m = strings.ToLower(m)
	return strings.HasPrefix(m, "paid") || is(m, "cpc", "ppc", "cpm", "cpv", "cpa", "display", "banner", "retargeting", "remarketing", "programmatic", "affiliate", "ctv")
}

func is(s string, any ...string) bool {
	for _, a := range any {
		if strings.EqualFold(s, a) {
			return true
		}
	}
	return false
}

// sameSite reports whether two hosts are of one site, such as pay.example.com and
// shop.example.com, but not the shops of two people below myshopify.com: by the public
// suffix list.
func sameSite(a, b string) bool {
	if a == "" || b == "" || a == b {
		return a != "" && a == b
	}
	// What two hosts of one site share is two labels at least, and addresses of machines
	// end in digits and share nothing.
	if end := a[len(a)-1]; lastLabels(a) != lastLabels(b) || end >= '0' && end <= '9' {
		return false
	}
	x, err := publicsuffix.EffectiveTLDPlusOne(a)
	if err != nil {
		return false
	}
	y, err := publicsuffix.EffectiveTLDPlusOne(b)
	return err == nil && x == y
}

func lastLabels(host string) string {
	if i := strings.LastIndexByte(host, '.'); i > 0 {
		return host[strings.LastIndexByte(host[:i], '.')+1:]
	}
	return host
}

func within(host string, domains []string) bool {
	for _, d := range domains {
		d = plainHost(d)
		if host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}

// source is what is known of a host.
type source struct{ kind, name string }

//go:embed lists/referrers.json
var referrerList []byte

// sources are hosts that refer.
type sources struct {
	own, kept map[string]source // the table above, and the kept list
	countries []national
}

// national is a site that has a host in many countries.
type national struct {
	name string
	source
}

func readSources() (*sources, error) {
	var list []struct{ Host, Kind, Name string }
	if err := json.Unmarshal(referrerList, &list, json.MatchCaseInsensitiveNames(true)); err != nil {
		return nil, fmt.Errorf("read the list of referrers: %w", err)
	}
	s := &sources{own: make(map[string]source, len(known)), kept: make(map[string]source, len(list))}
	kinds := map[string]string{"search": search, "social": social, "email": mail, "paid": paid, "referral": referral, "unknown": referral}
	for _, e := range list {
		if kind := kinds[e.Kind]; kind != "" && !strings.Contains(e.Host, "/") {
			s.kept[strings.TrimPrefix(e.Host, "www.")] = source{kind, e.Name}
		}
	}
	for _, k := range known {
		for host := range strings.FieldsSeq(k.hosts) {
			if country, ok := strings.CutSuffix(host, "."); ok {
				s.countries = append(s.countries, national{country, source{k.kind, k.name}})
				continue
			}
			s.own[host] = source{k.kind, k.name}
		}
	}
	return s, nil
}

// lookup finds a host, or what it is below; the longest name counts, and of the same
// one ours. A host of a site that is in many countries is its search, unless the kept
// list knows what else it is.
func (s *sources) lookup(host string) (kind, name string) {
	in := s.national(host)
	for below := host; ; {
		if k, ok := s.own[below]; ok {
			return k.kind, k.shown()
		}
		if k, ok := s.kept[below]; ok && (in == nil || k.kind != search) {
			// What we call the whole of it, for what it is called by others.
			if whole, ok := find(s.own, below); ok && whole.kind == k.kind {
				k = whole
			}
			return k.kind, k.shown()
		}
		_, parent, ok := strings.Cut(below, ".")
		if !ok || !strings.Contains(parent, ".") {
			break
		}
		below = parent
	}
	if kind, name := byLabel(host); kind != "" || in == nil {
		return kind, name
	}
	if in.kind == search {
		for _, n := range notSearch {
			if strings.HasPrefix(host, n) {
				return "", ""
			}
		}
	}
	return in.kind, in.source.name
}

// find is the closest of hosts that one is below.
func find(hosts map[string]source, host string) (source, bool) {
	for {
		_, parent, ok := strings.Cut(host, ".")
		if !ok || !strings.Contains(parent, ".") {
			return source{}, false
		}
		if k, ok := hosts[parent]; ok {
			return k, true
		}
		host = parent
	}
}

// national is the site in many countries that a host is of, or nil.
func (s *sources) national(host string) *national {
	for i := range s.countries {
		if c := &s.countries[i]; strings.Contains(host, c.name) && inAnyCountry(host, c.name) {
			return c
		}
	}
	return nil
}

// shown is a site's name, but none for what is only a referral: the host says it.
func (s source) shown() string {
	if s.kind == referral {
		return ""
	}
	return s.name
}

// inAnyCountry reports whether host is name.com, name.de, name.co.uk or below:
// not name.evil.example.
func inAnyCountry(host, name string) bool {
	i := strings.Index("."+host, "."+name+".")
	if i < 0 {
		return false
	}
	tld := host[i+len(name)+1:]
	switch strings.Count(tld, ".") {
	case 0:
		return tld == "com" || len(tld) == 2
	case 1:
		second, country, _ := strings.Cut(tld, ".")
		return len(country) == 2 && (second == "co" || second == "com")
	}
	return false
}
