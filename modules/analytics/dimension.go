package analytics

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/miq/pixel/modules/event"
)

// Value returns what an event has in one of the EventDimensions; empty where it
// has nothing, or where there is no such dimension.
func Value(e *event.Event, dimension string) string {
	x := &e.Enrichment
	switch dimension {
	case "pixel_id":
		return e.PixelID
	case "name":
		return e.Name
	case "source":
		return e.Source
	case "consent":
		return string(e.Verdict.State)
	case "country":
		return cmp.Or(x.Place.Country, e.Subject.Country)
	case "region":
		if x.Place.Region == "" {
			return ""
		}
		return x.Place.Country + "-" + x.Place.Region
	case "city":
		return x.Place.City
	case "network":
		return x.Place.Network
	case "currency":
		return e.Order.Currency
	case "device":
		return x.Device.Class
	case "browser":
		return x.Device.Browser
	case "os":
		return x.Device.OS
	case "referrer_kind":
		return x.Referrer.Kind
	case "referrer_host":
		return x.Referrer.Host
	case "utm_source":
		return x.Campaign.Source
	case "utm_medium":
		return x.Campaign.Medium
	case "utm_campaign":
		return x.Campaign.Name
	case "page_path":
		return pagePath(e.Context.Page.URL)
	}
	return ""
}

// pagePath is an address's path alone: a query may hold anything.
func pagePath(address string) string {
	if path, ok := plainPath(address); ok {
		return path
	}
	return parsedPath(address)
}

// plainPath reads an address in which nothing is to be decoded, as nearly all are.
func plainPath(address string) (path string, ok bool) {
	rest, ok := strings.CutPrefix(address, "https://")
	if !ok {
		if rest, ok = strings.CutPrefix(address, "http://"); !ok {
			return "", false
		}
	}
	host := 0
	for host < len(rest) && plainHost[rest[host]] {
		host++
	}
	path = rest[host:]
	if host == 0 || path != "" && path[0] != '/' && path[0] != '?' {
		return "", false
	}
	end := len(path)
	for i := range len(path) {
		switch c := path[i]; {
		case c < ' ' || c == 0x7F || c == '#':
			return "", false
		case i >= end:
		case c == '?':
			end = i
		case c <= ' ' || c == '%' || c >= 0x80:
			return "", false
		}
	}
	if end == 0 {
		return "/", true
	}
	return path[:end], true
}

// plainHost are the bytes of a host's name.
var plainHost = func() (t [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") {
		t[c] = true
	}
	return t
}()

func parsedPath(address string) string {
	u, err := url.Parse(address)
	if err != nil || address == "" {
		return ""
	}
	if u.Path == "" && u.Host != "" {
		return "/"
	}
	return u.Path
}
