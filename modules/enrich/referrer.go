package enrich

import (
	_ "embed"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"

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
	if u, err := url.Parse(referrer); err == nil && len(referrer) <= 16<<10 {
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

// sameSite reports whether two hosts are of one site, such as pay.example.com
// and shop.example.com.
func sameSite(a, b string) bool {
	return a != "" && b != "" && site(a) == site(b)
}

func within(host string, domains []string) bool {
	for _, d := range domains {
		if host == strings.TrimPrefix(d, "www.") || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}

// site is a host's registrable part: its last two labels, or three below a
// country's second level such as co.uk.
func site(host string) string {
	labels := strings.Split(host, ".")
	n := len(labels)
	if n < 3 {
		return host
	}
	if len(labels[n-1]) == 2 && is(labels[n-2], "co", "com", "org", "net", "gov", "ac", "edu", "or", "ne", "go") {
		return strings.Join(labels[n-3:], ".")
	}
	return strings.Join(labels[n-2:], ".")
}

// known are sites by the end of their host name, which go before the kept list: it
// lacks apps and what is new. A name that ends in a dot stands for any country:
// "google." is google.com and google.co.uk.
var known = [...]struct{ host, kind, name string }{
	{"mail.google.com", mail, "Gmail"},
	{"com.google.android.gm", mail, "Gmail"},
	{"mail.yahoo.com", mail, "Yahoo Mail"},
	{"outlook.live.com", mail, "Outlook"},
	{"outlook.office.com", mail, "Outlook"},
	{"outlook.office365.com", mail, "Outlook"},
	{"mail.proton.me", mail, "Proton Mail"},
	{"mail.aol.com", mail, "AOL Mail"},
	{"navigator.gmx.net", mail, "GMX"},
	{"deref-gmx.net", mail, "GMX"},
	{"deref-web.de", mail, "WEB.DE"},
	{"mail.ru", mail, "Mail.ru"},
	{"com.microsoft.office.outlook", mail, "Outlook"},

	// Advertising servers.
	{"googleads.g.doubleclick.net", paid, "Google Ads"},
	{"ad.doubleclick.net", paid, "Google Ads"},
	{"googlesyndication.com", paid, "Google Ads"},
	{"googleadservices.com", paid, "Google Ads"},
	{"adsrvr.org", paid, "The Trade Desk"},
	{"amazon-adsystem.com", paid, "Amazon Ads"},
	{"criteo.com", paid, "Criteo"},
	{"taboola.com", paid, "Taboola"},
	{"outbrain.com", paid, "Outbrain"},

	{"facebook.com", social, "Facebook"},
	{"fb.com", social, "Facebook"},
	{"com.facebook.katana", social, "Facebook"},
	{"instagram.com", social, "Instagram"},
	{"com.instagram.android", social, "Instagram"},
	{"threads.net", social, "Threads"},
	{"threads.com", social, "Threads"},
	{"t.co", social, "X"},
	{"twitter.com", social, "X"},
	{"x.com", social, "X"},
	{"com.twitter.android", social, "X"},
	{"linkedin.com", social, "LinkedIn"},
	{"lnkd.in", social, "LinkedIn"},
	{"com.linkedin.android", social, "LinkedIn"},
	{"pinterest.", social, "Pinterest"},
	{"pin.it", social, "Pinterest"},
	{"reddit.com", social, "Reddit"},
	{"com.reddit.frontpage", social, "Reddit"},
	{"tiktok.com", social, "TikTok"},
	{"snapchat.com", social, "Snapchat"},
	{"youtube.com", social, "YouTube"},
	{"youtu.be", social, "YouTube"},
	{"whatsapp.com", social, "WhatsApp"},
	{"com.whatsapp", social, "WhatsApp"},
	{"telegram.org", social, "Telegram"},
	{"t.me", social, "Telegram"},
	{"org.telegram.messenger", social, "Telegram"},
	{"messenger.com", social, "Messenger"},
	{"discord.com", social, "Discord"},
	{"tumblr.com", social, "Tumblr"},
	{"vk.com", social, "VK"},
	{"xing.com", social, "XING"},
	{"weibo.com", social, "Weibo"},
	{"quora.com", social, "Quora"},
	{"bsky.app", social, "Bluesky"},
	{"mastodon.social", social, "Mastodon"},
	{"news.ycombinator.com", social, "Hacker News"},

	{"com.google.android.googlequicksearchbox", search, "Google"},
	{"gemini.google.com", search, "Gemini"},
	{"google.", search, "Google"},
	{"bing.com", search, "Bing"},
	{"duckduckgo.com", search, "DuckDuckGo"},
	{"search.yahoo.com", search, "Yahoo"},
	{"yahoo.co.jp", search, "Yahoo Japan"},
	{"yandex.", search, "Yandex"},
	{"ya.ru", search, "Yandex"},
	{"baidu.com", search, "Baidu"},
	{"ecosia.org", search, "Ecosia"},
	{"qwant.com", search, "Qwant"},
	{"search.brave.com", search, "Brave Search"},
	{"startpage.com", search, "Startpage"},
	{"kagi.com", search, "Kagi"},
	{"naver.com", search, "Naver"},
	{"seznam.cz", search, "Seznam"},
	{"sogou.com", search, "Sogou"},
	{"so.com", search, "360 Search"},
	{"search.aol.com", search, "AOL"},
	{"ask.com", search, "Ask"},
	{"chatgpt.com", search, "ChatGPT"},
	{"chat.openai.com", search, "ChatGPT"},
	{"perplexity.ai", search, "Perplexity"},
	{"copilot.microsoft.com", search, "Copilot"},
	{"claude.ai", search, "Claude"},
}

// notSearch are Google's and Yandex' hosts that are no search.
var notSearch = [...]string{"docs.", "drive.", "sites.", "calendar.", "accounts.", "classroom.", "meet.", "groups.", "play.", "support.", "tagassistant.", "pay."}

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
		if country, ok := strings.CutSuffix(k.host, "."); ok {
			s.countries = append(s.countries, national{country, source{k.kind, k.name}})
			continue
		}
		s.own[k.host] = source{k.kind, k.name}
	}
	return s, nil
}

// lookup finds a host, or what it is below; the longest name counts.
func (s *sources) lookup(host string) (kind, name string) {
	if k, ok := find(s.own, host); ok {
		return k.kind, k.shown()
	}
	for _, c := range s.countries {
		if !strings.Contains(host, c.name) || !inAnyCountry(host, c.name) {
			continue
		}
		// The kept list knows what such a site has beside its search.
		if k, ok := s.kept[host]; ok && k.kind != search {
			return k.kind, k.shown()
		}
		for _, n := range notSearch {
			if strings.HasPrefix(host, n) {
				return "", ""
			}
		}
		return c.kind, c.source.name
	}
	k, _ := find(s.kept, host)
	return k.kind, k.shown()
}

func find(hosts map[string]source, host string) (source, bool) {
	for {
		if k, ok := hosts[host]; ok {
			return k, true
		}
		_, parent, ok := strings.Cut(host, ".")
		if !ok || !strings.Contains(parent, ".") {
			return source{}, false
		}
		host = parent
	}
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
