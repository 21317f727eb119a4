package analytics

import (
	"cmp"
	"net/url"

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
	u, err := url.Parse(address)
	if err != nil || address == "" {
		return ""
	}
	if u.Path == "" && u.Host != "" {
		return "/"
	}
	return u.Path
}
