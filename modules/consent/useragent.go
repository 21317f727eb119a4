package consent

import (
	"slices"
	"strings"
)

// products are the words of a User-Agent that may stay: what tells a browser's
// family and class, and the commonest clients that are no browsers.
var products = []string{
	"Mozilla", "AppleWebKit", "Gecko", "Version", "Mobile", "Safari", "Chrome", "HeadlessChrome", "CriOS",
	"Firefox", "FxiOS", "Edg", "EdgA", "EdgiOS", "OPR", "SamsungBrowser",
	"curl", "Wget", "python-requests", "Go-http-client", "okhttp", "axios", "node-fetch", "PostmanRuntime",
}

// ReduceUserAgent keeps of a User-Agent the families of browser and system, their
// major versions and the class of device, in the form in which browsers reduce it
// themselves. It copies nothing but known words and short numbers, so that
// nothing else that a header held can pass.
func ReduceUserAgent(ua string) string {
	l := strings.ToLower(ua)
	for _, word := range [...]string{"bot", "crawl", "spider"} {
		if strings.Contains(l, word) {
			return "Mozilla/5.0 (compatible; bot)"
		}
	}
	var out []string
	system := systemOf(ua)
	for word := range strings.FieldsSeq(withoutComments(ua)) {
		name, version, _ := strings.Cut(word, "/")
		if !slices.Contains(products, name) {
			continue
		}
		if v := major(version); v != "" {
			name += "/" + v + ".0"
		}
		out = append(out, name)
		if len(out) == 1 && system != "" {
			out = append(out, "("+system+")")
		}
		// No browser has more.
		if len(out) == 12 {
			break
		}
	}
	return strings.Join(out, " ")
}

// withoutComments drops what stands in parentheses.
func withoutComments(ua string) string {
	out, depth := make([]byte, 0, len(ua)), 0
	for i := range len(ua) {
		switch c := ua[i]; {
		case c == '(':
			depth++
			out = append(out, ' ')
		case c == ')':
			depth = max(depth-1, 0)
			out = append(out, ' ')
		case depth == 0:
			out = append(out, c)
		}
	}
	return string(out)
}

// systemOf writes the system's family and major version; phones and tablets are
// told apart by their name, or by the word Mobile.
func systemOf(ua string) string {
	switch {
	case strings.Contains(ua, "iPhone"):
		return "iPhone; CPU iPhone OS " + after(ua, " OS ") + "_0 like Mac OS X"
	case strings.Contains(ua, "iPad"):
		return "iPad; CPU OS " + after(ua, " OS ") + "_0 like Mac OS X"
	case strings.Contains(ua, "Android"):
		return "Linux; Android " + after(ua, "Android ") + "; K"
	case strings.Contains(ua, "Windows NT"):
		// 6.1, 6.2 and 6.3 are systems with names of their own: there the minor
		// version is the family.
		for _, v := range [...]string{"6.1", "6.2", "6.3"} {
			if strings.Contains(ua, "Windows NT "+v) {
				return "Windows NT " + v
			}
		}
		return "Windows NT 10.0"
	case strings.Contains(ua, "Macintosh"):
		return "Macintosh; Intel Mac OS X 10_15_7"
	case strings.Contains(ua, "CrOS"):
		return "X11; CrOS x86_64 0.0"
	case strings.Contains(ua, "Linux"):
		return "X11; Linux x86_64"
	}
	return ""
}

// after is the major version behind a word, 0 where there is none.
func after(ua, word string) string {
	_, v, _ := strings.Cut(ua, word)
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
