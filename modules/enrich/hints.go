package enrich

import (
	"strings"

	"github.com/miq/pixel/modules/event"
)

// hinted prefers the client hints to the user agent, which browsers that send
// hints have frozen: it says Windows 10 and Android 10 for whatever came later.
func hinted(d event.Device, bot string, hints map[string]string) (event.Device, string) {
	if len(hints) == 0 {
		return d, bot
	}
	list := hints["sec-ch-ua-full-version-list"]
	if list == "" {
		list = hints["sec-ch-ua"]
	}
	if name, v := brand(list); name != "" && !inApp(d.Browser) {
		d.Browser, d.BrowserVersion = name, version(v)
		if strings.Contains(list, "HeadlessChrome") && bot == "" {
			bot = byHints
		}
	}
	if os := unquote(hints["sec-ch-ua-platform"]); os != "" && os != "Unknown" {
		if os == "Chrome OS" || os == "Chromium OS" {
			os = "ChromeOS"
		}
		if os != d.OS {
			d.OS, d.OSVersion = os, ""
		}
		if v := unquote(hints["sec-ch-ua-platform-version"]); v != "" {
			d.OSVersion = platformVersion(os, v)
		}
	}
	switch {
	case bot != "":
		d.Class = machine
	case hints["sec-ch-ua-mobile"] == "?1":
		d.Class = mobile
	case hints["sec-ch-ua-mobile"] == "?0" && d.OS == "Android" && d.Class == mobile:
		d.Class = tablet
	}
	return d, bot
}

// inApp reports browsers inside an app, which the hints call by their engine.
func inApp(name string) bool {
	switch name {
	case "Facebook", "Instagram", "TikTok", "Snapchat", "Pinterest", "LinkedIn", "Google App":
		return true
	}
	return false
}

// platformVersion translates Windows' version, which is that of an API contract:
// 13 and more is Windows 11, less but not 0 is Windows 10.
func platformVersion(os, v string) string {
	v = version(v)
	if os != "Windows" {
		return v
	}
	major, _, _ := strings.Cut(v, ".")
	switch {
	case len(major) > 1 && major >= "13":
		return "11"
	case major != "" && major != "0":
		return "10"
	}
	return ""
}

// brand picks the browser out of a Sec-CH-UA list such as
// "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99": the most
// particular name, leaving out the nonsense one and the engine.
func brand(list string) (name, v string) {
	engine := ""
	for len(list) > 0 {
		var n, ver string
		n, list = quoted(list)
		if n == "" {
			break
		}
		// The version belongs to this brand only if it comes before the next comma.
		rest, after, _ := strings.Cut(list, ",")
		if i := strings.Index(rest, "v="); i >= 0 {
			ver, _ = quoted(rest[i:])
		}
		list = after
		switch {
		case strings.Contains(n, "Not") && strings.Contains(n, "Brand"):
		case n == "Chromium":
			engine = ver
		case name == "":
			name, v = n, ver
		}
	}
	if name == "" && engine != "" {
		return "Chrome", engine
	}
	switch name {
	case "Google Chrome", "HeadlessChrome", "Android WebView":
		name = "Chrome"
	case "Microsoft Edge":
		name = "Edge"
	case "Samsung Internet":
		name = "Samsung Browser"
	case "YaBrowser", "Yandex":
		name = "Yandex Browser"
	}
	if len(name) > 64 {
		return "", ""
	}
	return name, v
}

// quoted returns the first quoted string, and what follows it.
func quoted(s string) (in, rest string) {
	_, s, ok := strings.Cut(s, `"`)
	if !ok {
		return "", ""
	}
	in, rest, ok = strings.Cut(s, `"`)
	if !ok {
		return "", ""
	}
	return in, rest
}

func unquote(s string) string { return strings.Trim(s, `" `) }
