package enrich

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/mileusna/useragent"

	"github.com/miq/pixel/modules/event"
)

// Reasons that the rest of the package must know.
const (
	byLibrary  = event.ByProgram + " library"
	byCommand  = event.ByProgram + " on a command line"
	byHeadless = "user agent: headless browser"
	byDriver   = "user agent: automated browser"
	byHints    = "client hints name HeadlessChrome"
	byCrawler  = "user agent: crawler"
	// byNetwork is what the reason begins with for who comes out of a data centre.
	byNetwork = "network: data centre"
)

// OfDatacenter reports whether a reason to take a client for a machine is that it comes
// out of a data centre, and not what it says of itself.
func OfDatacenter(reason string) bool { return strings.HasPrefix(reason, byNetwork) }

// automated reports whether the reason names a program that a person or a server
// may stand behind, rather than a machine that visits by itself.
func automated(reason string) bool {
	switch reason {
	case byLibrary, byCommand, byHeadless, byDriver, byHints:
		return true
	}
	return OfDatacenter(reason)
}

// tools are programs, by a piece of their user agent in lower case, and what we
// say of them. They go before the kept list, which puts some of them elsewhere.
var tools = [...]struct{ piece, reason string }{
	{"headlesschrome", byHeadless},
	{"phantomjs", byHeadless},
	{"puppeteer", byHeadless},
	{"playwright", byHeadless},
	{"selenium", byDriver},
	{"webdriver", byDriver},
	{"cypress/", byDriver},
	{"lighthouse", "user agent: page speed test"},
	{"google page speed", "user agent: page speed test"},
	{"gtmetrix", "user agent: page speed test"},
	{"datadog", "user agent: monitoring"},
	{"curl/", byCommand},
	{"wget/", byCommand},
	{"httpie/", byCommand},
	{"java/", byLibrary},
	{"httpx/", byLibrary},
	{"undici", byLibrary},
	{"scrapy", byLibrary},
	{"guzzlehttp", byLibrary},
	{"postmanruntime", byLibrary},
	{"scraper", byCrawler},
}

// kinds are the kept list's tags, and what we say of what has one.
var kinds = map[string]string{
	"http-library": byLibrary, "browser-automation": byDriver,
	"social-preview": "user agent: link preview", "monitoring": "user agent: monitoring", "scanner": "user agent: scanner", "feed-reader": "user agent: feed reader",
}

// people are patterns of the kept list that people's browsers fit as well: Amazon's
// Silk where it begins with its own name, and Facebook's browser in its app.
var people = map[string]bool{`^Silk\/`: true, `MetaIAB Facebook`: true}

//go:embed lists/crawlers.json
var crawlerList []byte

// crawlers is the kept list: nearly all of its patterns are plain text, which is
// found thirty times as fast as by one large expression.
type crawlers struct {
	plain, prefix []rule
	patterns      []pattern
}

type rule struct{ text, reason string }

type pattern struct {
	*regexp.Regexp

	reason string
}

func readCrawlers() (*crawlers, error) {
	var list []struct{ Pattern, Tag string }
	if err := json.Unmarshal(crawlerList, &list, json.MatchCaseInsensitiveNames(true)); err != nil {
		return nil, fmt.Errorf("read the list of crawlers: %w", err)
	}
	c := &crawlers{}
	for _, e := range list {
		if people[e.Pattern] {
			continue
		}
		reason := kinds[e.Tag]
		if reason == "" {
			reason = byCrawler
		}
		rest, anchored := strings.CutPrefix(e.Pattern, "^")
		if text, ok := literal(rest); ok {
			if anchored {
				c.prefix = append(c.prefix, rule{text, reason})
			} else {
				c.plain = append(c.plain, rule{text, reason})
			}
			continue
		}
		re, err := regexp.Compile(e.Pattern)
		if err != nil {
			return nil, fmt.Errorf("read the list of crawlers: %w", err)
		}
		c.patterns = append(c.patterns, pattern{re, reason})
	}
	return c, nil
}

// literal is the text that a pattern stands for, if it is no more than one.
func literal(p string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\' && i+1 < len(p) && strings.IndexByte(`/.()+?[]{}|*^$\- `, p[i+1]) >= 0:
			i++
			b.WriteByte(p[i])
		case strings.IndexByte(`\.()+?[]{}|*^$`, c) >= 0:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

// find is why a user agent is a crawler's by the list, or "".
func (c *crawlers) find(ua string) string {
	for _, r := range c.plain {
		if strings.Contains(ua, r.text) {
			return r.reason
		}
	}
	for _, r := range c.prefix {
		if strings.HasPrefix(ua, r.text) {
			return r.reason
		}
	}
	for _, p := range c.patterns {
		if p.MatchString(ua) {
			return p.reason
		}
	}
	return ""
}

// botReason says why a user agent is a machine's, or "".
func (c *crawlers) botReason(ua string, p useragent.UserAgent) string {
	s := strings.ToLower(ua)
	for _, t := range tools {
		if strings.Contains(s, t.piece) {
			return t.reason
		}
	}
	if r := c.find(ua); r != "" {
		return r
	}
	if namesBot(s) || p.Bot || strings.Contains(s, "crawler") || strings.Contains(s, "spider") {
		return byCrawler
	}
	return ""
}

// namesBot finds "bot" where a word ends with it, such as in Googlebot/2.1, but
// not in Cubot, which makes telephones.
func namesBot(s string) bool {
	for at := 0; ; {
		i := strings.Index(s[at:], "bot")
		if i < 0 {
			return false
		}
		i += at
		at = i + len("bot")
		if at < len(s) && s[at] >= 'a' && s[at] <= 'z' {
			continue
		}
		if strings.HasSuffix(s[:at], "cubot") {
			continue
		}
		return true
	}
}
