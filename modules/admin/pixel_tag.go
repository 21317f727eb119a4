package admin

import (
	"net"
	"net/url"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/sdk"
)

// tag is what goes onto a page.
type tag struct {
	Origin string `json:"origin"`
	HTML   string `json:"html"`
	// Pinned takes one version of the script and no other.
	Pinned    string `json:"pinned"`
	Version   string `json:"version"`
	Integrity string `json:"integrity"`
	Image     string `json:"image"`
	CSP       string `json:"csp"`
	// For shops and apps.
	Shopify     string `json:"shopify"`
	WooCommerce string `json:"woocommerce"`
	Module      string `json:"module"`
}

// tag is made for the collector as browsers reach it: as configured, or else on
// the host that this request came to.
func (a *Admin) tag(c *echo.Context, pixelID string) tag {
	origin := strings.TrimRight(a.o.Collector.PublicURL, "/")
	if origin == "" {
		host := c.Request().Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		origin = c.Scheme() + "://" + host
		if _, port, err := net.SplitHostPort(a.o.Collector.Addr); err == nil {
			origin = c.Scheme() + "://" + net.JoinHostPort(host, port)
		}
	}
	image := origin + "/pixel.gif?pid=" + url.QueryEscape(pixelID) + "&e=page_view"
	return tag{
		Origin: origin, HTML: sdk.Snippet(origin, pixelID),
		Pinned: sdk.Pinned(origin, pixelID), Version: sdk.Version, Integrity: sdk.Integrity(),
		Image:   `<img src="` + strings.ReplaceAll(image, "&", "&amp;") + `" width="1" height="1" alt="">`,
		CSP:     sdk.CSP(origin, pixelID),
		Shopify: sdk.Shopify(origin, pixelID), WooCommerce: sdk.WooCommerce(origin, pixelID), Module: sdk.ESModule(origin, pixelID),
	}
}
