package consent

import "strings"

// browsers are the tokens that tell a family, the more particular ones first:
// nearly every browser also calls itself Chrome and Safari.
var browsers = [...]struct{ token, write string }{
	{"Edg/", "Edg/"},
	{"EdgA/", "EdgA/"},
	{"EdgiOS/", "EdgiOS/"},
	{"OPR/", "OPR/"},
	{"SamsungBrowser/", "SamsungBrowser/"},
	{"FxiOS/", "FxiOS/"},
	{"CriOS/", "CriOS/"},
	{"Firefox/", "Firefox/"},
	{"HeadlessChrome/", "HeadlessChrome/"},
	{"Chrome/", "Chrome/"},
	{"Version/", "Version/"}, // Safari's own place for it
}

// tools are clients without a browser that are worth telling from people.
var tools = [...]string{"curl/", "Wget/", "python-requests/", "Go-http-client/", "okhttp/", "axios/", "node-fetch/", "PostmanRuntime/"}

// ReduceUserAgent keeps of a User-Agent the families of browser and system, the
// major version and the class of device, as browsers that reduce it themselves
// do. The answer is built from our own words and digits only, so that nothing
// else that stood in the header can pass. What is not recognised becomes "".
func ReduceUserAgent(ua string) string {
	if ua == "" {
		return ""
	}
	l := strings.ToLower(ua)
	for _, word := range [...]string{"bot", "crawl", "spider"} {
		if strings.Contains(l, word) {
			return "Mozilla/5.0 (compatible; bot)"
		}
	}
	for _, t := range tools {
		if v, ok := strings.CutPrefix(ua, t); ok {
			return t + major(v)
		}
	}
	system, mobile := systemOf(ua)
	browser := ""
	for _, b := range browsers {
		if _, v, ok := strings.Cut(ua, b.token); ok && major(v) != "" {
			browser = b.write + major(v) + ".0"
			break
		}
	}
	if system == "" && browser == "" {
		return ""
	}
	out := "Mozilla/5.0"
	if system != "" {
		out += " (" + system + ")"
	}
	if browser == "" {
		return out
	}
	if strings.HasPrefix(browser, "Firefox/") {
		return out + " Gecko/20100101 " + browser
	}
	// Parsers tell these by what they are built on and by Mobile.
	out += " AppleWebKit/537.36"
	chromium := !strings.Contains(browser, "iOS/") && !strings.HasPrefix(browser, "Version/")
	if chromium && !strings.HasPrefix(browser, "Chrome/") && !strings.HasPrefix(browser, "HeadlessChrome/") {
		out += " Chrome/0.0"
		if _, v, ok := strings.Cut(ua, "Chrome/"); ok && major(v) != "" {
			out = strings.TrimSuffix(out, "0.0") + major(v) + ".0"
		}
	}
	// Chromium browsers of the family Edge and Opera put their own token last.
	last := strings.HasPrefix(browser, "Edg") && chromium || strings.HasPrefix(browser, "OPR/")
	if !last {
		out += " " + browser
	}
	if mobile {
		out += " Mobile"
	}
	out += " Safari/537.36"
	if last {
		out += " " + browser
	}
	return out
}

// systemOf writes the system's family and major version, and tells phones from
// tablets.
func systemOf(ua string) (system string, mobile bool) {
	mobile = strings.Contains(ua, "Mobile")
	switch {
	case strings.Contains(ua, "iPhone"):
		return "iPhone; CPU iPhone OS " + version(ua, "OS ") + "_0 like Mac OS X", true
	case strings.Contains(ua, "iPad"):
		return "iPad; CPU OS " + version(ua, "OS ") + "_0 like Mac OS X", mobile
	case strings.Contains(ua, "Android"):
		return "Linux; Android " + version(ua, "Android ") + "; K", mobile
	case strings.Contains(ua, "Windows NT"):
		// 6.1, 6.2 and 6.3 are three systems with three names: here the minor
		// version is the family.
		_, v, _ := strings.Cut(ua, "Windows NT ")
		for _, known := range [...]string{"6.1", "6.2", "6.3"} {
			if strings.HasPrefix(v, known) {
				return "Windows NT " + known, false
			}
		}
		return "Windows NT 10.0; Win64; x64", false
	case strings.Contains(ua, "Macintosh"):
		return "Macintosh; Intel Mac OS X 10_15_7", false
	case strings.Contains(ua, "CrOS"):
		return "X11; CrOS x86_64 14541.0.0", false
	case strings.Contains(ua, "Linux"):
		return "X11; Linux x86_64", false
	}
	return "", false
}

func version(ua, after string) string {
	_, v, _ := strings.Cut(ua, after)
	if v = major(v); v != "" {
		return v
	}
	return "0"
}

// major is the digits that a version begins with, at most four.
func major(v string) string {
	n := 0
	for n < len(v) && n < 4 && v[n] >= '0' && v[n] <= '9' {
		n++
	}
	return v[:n]
}
