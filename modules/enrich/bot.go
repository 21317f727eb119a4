package enrich

import (
	"strings"

	"github.com/mileusna/useragent"
)

// Reasons that the rest of the package must know.
const (
	byLibrary  = "user agent: program library"
	byCommand  = "user agent: command line client"
	byHeadless = "user agent: headless browser"
	byDriver   = "user agent: automated browser"
	byHints    = "client hints name HeadlessChrome"
)

// automated reports whether the reason names a program that a person or a server
// may stand behind, rather than a machine that visits by itself.
func automated(reason string) bool {
	switch reason {
	case byLibrary, byCommand, byHeadless, byDriver, byHints:
		return true
	}
	return false
}

// tools are programs, by a piece of their user agent in lower case, and what we
// say of them.
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
	{"pingdom", "user agent: monitoring"},
	{"uptimerobot", "user agent: monitoring"},
	{"statuscake", "user agent: monitoring"},
	{"datadog", "user agent: monitoring"},
	{"curl/", byCommand},
	{"wget/", byCommand},
	{"python-requests", byLibrary},
	{"python-urllib", byLibrary},
	{"aiohttp", byLibrary},
	{"httpx/", byLibrary},
	{"go-http-client", byLibrary},
	{"java/", byLibrary},
	{"okhttp", byLibrary},
	{"apache-httpclient", byLibrary},
	{"axios/", byLibrary},
	{"node-fetch", byLibrary},
	{"undici", byLibrary},
	{"libwww-perl", byLibrary},
	{"scrapy", byLibrary},
	{"faraday", byLibrary},
	{"guzzlehttp", byLibrary},
	{"postmanruntime", byLibrary},
	{"facebookexternalhit", "user agent: link preview"},
	{"facebookcatalog", "user agent: link preview"},
	{"whatsapp/", "user agent: link preview"},
	{"skypeuripreview", "user agent: link preview"},
	{"mediapartners-google", "user agent: crawler"},
	{"bingpreview", "user agent: crawler"},
	{"ia_archiver", "user agent: crawler"},
	{"baiduspider", "user agent: crawler"},
	{"chatgpt-user", "user agent: crawler"},
	{"crawler", "user agent: crawler"},
	{"spider", "user agent: crawler"},
	{"scraper", "user agent: crawler"},
}

// botReason says why a user agent is a machine's, or "".
func botReason(ua string, p useragent.UserAgent) string {
	s := strings.ToLower(ua)
	for _, t := range tools {
		if strings.Contains(s, t.piece) {
			return t.reason
		}
	}
	if namesBot(s) || p.Bot {
		return "user agent: crawler"
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
