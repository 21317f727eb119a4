package collector

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/settings"
)

// cors lets the page that sent the request read the answer. It names the exact
// origin, since the request carries the visitor's cookie, with which browsers
// take no wildcard.
func cors(ec *echo.Context) {
	h := ec.Response().Header()
	h["Vary"] = varyOrigin
	if origin := ec.Request().Header["Origin"]; len(origin) > 0 && origin[0] != "" {
		h["Access-Control-Allow-Origin"] = origin[:1:1]
		h["Access-Control-Allow-Credentials"] = allowCredentials
		h["Access-Control-Expose-Headers"] = exposeHeaders
	}
}

// What every answer says, in memory of its own no more: whoever adds to one of them
// gets a copy.
var (
	varyOrigin       = []string{"Origin"}
	allowCredentials = []string{"true"}
	exposeHeaders    = []string{"Retry-After"}
)

// deny takes that back, for a site that may not use the pixel.
func deny(ec *echo.Context) {
	h := ec.Response().Header()
	h.Del("Access-Control-Allow-Origin")
	h.Del("Access-Control-Allow-Credentials")
}

// public lets any page read the answer, which is the same for all.
func public(ec *echo.Context) {
	h := ec.Response().Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
}

// preflight answers the question whether a page may send. Which pixel it is
// about is not known before the request itself, so everybody may ask.
func preflight(methods string) echo.HandlerFunc {
	return func(ec *echo.Context) error {
		cors(ec)
		h := ec.Response().Header()
		h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Content-Type, Content-Encoding")
		h.Set("Access-Control-Max-Age", "86400")
		return ec.NoContent(http.StatusNoContent)
	}
}

func preflightPublic(ec *echo.Context) error {
	public(ec)
	h := ec.Response().Header()
	h.Set("Access-Control-Allow-Methods", "GET")
	h.Set("Access-Control-Allow-Headers", "If-None-Match")
	h.Set("Access-Control-Max-Age", "86400")
	return ec.NoContent(http.StatusNoContent)
}

// allowed reports whether the site that sent the request may use the pixel, and
// its host. A request that names no site is not held against the list: browsers
// always name theirs when they post, and a server could name any.
func (c *Collector) allowed(ec *echo.Context, p *settings.Pixel) (string, bool) {
	if len(p.Domains) == 0 {
		return "", true
	}
	from := siteOf(ec.Request().Header)
	if from == "" {
		return "", true
	}
	host := header(hostOf(from), 253)
	return host, host != "" && p.Allows(host)
}

// siteOf is an address on the site that sent a request, "" where it names none.
func siteOf(h http.Header) string {
	return cmp.Or(first(h, "Origin"), first(h, "Referer"))
}

// hostOf is the host name of an address; "" for "null", which is what frames
// without an origin send.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
