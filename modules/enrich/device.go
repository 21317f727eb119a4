package enrich

import (
	"strings"

	"github.com/mileusna/useragent"

	"github.com/miq/pixel/modules/event"
)

// The classes of a Device.
const (
	desktop = "desktop"
	mobile  = "mobile"
	tablet  = "tablet"
	machine = "bot"
	other   = "other"
)

// maxAgent is how much of a user agent is read.
const maxAgent = 1024

func cutAgent(ua string) string { return ua[:min(len(ua), maxAgent)] }

// readDevice reads a user agent, as a person's.
func readDevice(ua string) (event.Device, useragent.UserAgent) {
	ua = cutAgent(ua)
	if ua == "" {
		return event.Device{Class: other}, useragent.UserAgent{}
	}
	p := useragent.Parse(ua)
	d := event.Device{
		Browser:        browser(p.Name, ua),
		BrowserVersion: version(p.Version),
		OS:             p.OS,
		OSVersion:      version(p.OSVersion),
	}
	// An unknown agent comes back whole as its own name.
	if len(d.Browser) > 64 || d.Browser == ua && strings.ContainsAny(ua, " ;(") {
		d.Browser = ""
	}
	correct(&d, ua)
	d.Class = class(ua, p)
	return d, p
}

// correct mends what the library reads wrongly.
func correct(d *event.Device, ua string) {
	after := func(token string) (string, bool) {
		_, v, ok := strings.Cut(ua, token)
		return version(v), ok && version(v) != ""
	}
	if v, ok := after("Trident/7.0; rv:"); ok {
		d.BrowserVersion = v
	}
	if v, ok := after("Version/"); ok && strings.HasPrefix(ua, "Opera/") {
		d.BrowserVersion = v // 9.80 stands for all that came after it
	}
	for _, token := range [...]string{"Silk/", "YaBrowser/", "HuaweiBrowser/"} {
		if v, ok := after(token); ok {
			d.BrowserVersion = v
		}
	}
	switch {
	case strings.Contains(ua, "CrOS") && d.OS == "Linux":
		d.OS = "ChromeOS"
	case strings.Contains(ua, "SamsungBrowser/") && strings.Contains(ua, "(X11; Linux"):
		d.OS = useragent.Linux // as its desktop mode says
	case strings.Contains(ua, "OpenBSD"):
		d.OS = "OpenBSD"
	case strings.Contains(ua, "Phone; OpenHarmony"):
		d.OS = "HarmonyOS"
	}
	// A view inside an app that does not name itself is the system's browser.
	if strings.Contains(ua, "AppleWebKit/") && !strings.Contains(ua, "Chrome/") &&
		(d.Browser == "" || d.Browser == "iPhone" || d.Browser == "iPad" || strings.HasPrefix(d.Browser, "Intel Mac OS X")) {
		d.Browser, d.BrowserVersion = useragent.Safari, ""
	}
}

func class(ua string, p useragent.UserAgent) string {
	switch {
	case isTV(ua):
		return other
	case strings.Contains(ua, "(X11; "):
		return desktop
	case p.OS == useragent.Android:
		// Android's convention: phones say Mobile, tablets do not.
		if p.Tablet || !strings.Contains(ua, "Mobile") {
			return tablet
		}
		return mobile
	case p.Tablet:
		return tablet
	case p.Mobile:
		return mobile
	case p.Desktop:
		return desktop
	}
	return other
}

// isTV reports televisions, their sticks and games consoles.
func isTV(ua string) bool {
	for _, s := range [...]string{"SmartTV", "SMART-TV", "Smart-TV", "AppleTV", "Android TV", "BRAVIA", "AFTT", "AFTM", "AFTS", "AFTKA", "GoogleTV", "CrKey", "Web0S", "HbbTV", "Roku", "PlayStation", "Nintendo", "Xbox"} {
		if strings.Contains(ua, s) {
			return true
		}
	}
	return false
}

// browsers are names that the library misses, or writes as nobody else does, by
// the token that gives them away; the first that is found counts.
var browsers = [...]struct{ token, name string }{
	{"FBAN/", "Facebook"}, {"FBAV/", "Facebook"}, {"FB_IAB", "Facebook"},
	{"Instagram", "Instagram"},
	{"BytedanceWebview", "TikTok"}, {"musical_ly", "TikTok"}, {"trill_", "TikTok"},
	{"Snapchat", "Snapchat"}, {"Pinterest/", "Pinterest"},
	{"LinkedInApp", "LinkedIn"}, {"GSA/", "Google App"},
	{"DuckDuckGo/", "DuckDuckGo"}, {"Ddg/", "DuckDuckGo"},
	{"YaBrowser/", "Yandex Browser"}, {"UCBrowser/", "UC Browser"},
	{"Silk/", "Silk"}, {"Whale/", "Whale"},
	{"MiuiBrowser/", "Miui Browser"}, {"HuaweiBrowser/", "Huawei Browser"},
	{"Trident/", "Internet Explorer"},
}

func browser(name, ua string) string {
	for _, b := range browsers {
		if strings.Contains(ua, b.token) {
			return b.name
		}
	}
	switch name {
	case useragent.MobileSafari:
		return useragent.Safari
	case useragent.HeadlessChrome:
		return useragent.Chrome
	case useragent.Msie:
		return useragent.InternetExplorer
	}
	return name
}

// version keeps at most the first two numbers: more tells visitors apart, not
// browsers.
func version(v string) string {
	v = strings.ReplaceAll(v, "_", ".")
	dots := 0
	for i := range len(v) {
		switch c := v[i]; {
		case c >= '0' && c <= '9':
		case c == '.' && i > 0 && dots == 0:
			dots++
		default:
			return strings.TrimSuffix(v[:i], ".")
		}
	}
	return strings.TrimSuffix(v, ".")
}
