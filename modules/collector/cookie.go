package collector

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"
	"golang.org/x/net/publicsuffix"

	"github.com/miq/pixel/modules/event"
)

const (
	cookieName = "_miq_id"
	// cookieAge is the 13 months that the privacy authorities allow.
	cookieAge = 395 * 24 * time.Hour
)

// cookieID is the visitor id that the browser brought, or "".
func cookieID(ec *echo.Context) string {
	if len(ec.Request().Header["Cookie"]) == 0 {
		return "" // to look for ours costs more
	}
	k, err := ec.Cookie(cookieName)
	if err != nil || !event.ValidID(k.Value) {
		return ""
	}
	return event.HideID(k.Value) // one that another page of the site set may be anything
}

// keepCookie gives the browser its visitor id, where consent allows to keep one.
// A browser that has it already gets nothing: its 13 months count from the first
// visit and are not prolonged.
func (c *Collector) keepCookie(ec *echo.Context, v event.Verdict, id string) {
	if id == "" || !v.State.Allows(event.Partial) || cookieID(ec) == id || strings.ContainsAny(id, `",;\`) {
		return
	}
	k := cookie(ec)
	if k.Domain == "" {
		// By hand, since it is written so often: the id holds nothing to be quoted.
		h := ec.Response().Header()
		h["Set-Cookie"] = append(h["Set-Cookie"], cookieName+"="+id+keptFor)
		return
	}
	k.Value, k.MaxAge = id, int(cookieAge.Seconds())
	ec.SetCookie(k)
}

// keptFor is how cookie is spelt.
var keptFor = "; Path=/; Max-Age=" + strconv.Itoa(int(cookieAge.Seconds())) + "; Secure; SameSite=Lax"

// dropCookie takes the id back from a browser that brought one.
func dropCookie(ec *echo.Context) {
	if _, err := ec.Cookie(cookieName); err != nil {
		return
	}
	k := cookie(ec)
	k.MaxAge = -1
	ec.SetCookie(k)
	if k.Domain != "" {
		// It may have been set for this host alone, from a page on it.
		k.Domain = ""
		ec.SetCookie(k)
	}
}

// cookie has the attributes that setting and deleting must share. It is not
// HttpOnly, because the tag reads it to find its visitor again after the browser
// has cleared the page's own storage; the id is no secret from the page, which
// sends it with every event.
func cookie(ec *echo.Context) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Path: "/", Domain: cookieDomain(ec.Request()),
		Secure: true, SameSite: http.SameSiteLaxMode,
	}
}

// cookieDomain is the site that page and collector have in common, so that
// www.example.com sees what px.example.com sets. Where they have none, or the page
// is on our own host, the cookie is for our host alone.
func cookieDomain(r *http.Request) string {
	from := siteOf(r.Header)
	if from == "" {
		return ""
	}
	page, ours := hostOf(from), r.Host
	if page == "" {
		return ""
	}
	if h, _, err := net.SplitHostPort(ours); err == nil {
		ours = h
	}
	if page == ours || net.ParseIP(ours) != nil {
		return ""
	}
	a, err := publicsuffix.EffectiveTLDPlusOne(page)
	if err != nil {
		return ""
	}
	if b, err := publicsuffix.EffectiveTLDPlusOne(ours); err != nil || a != b {
		return ""
	}
	return a
}
