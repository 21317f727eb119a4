package collector

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/settings"
)

// share begins events with what all of an envelope have in common.
func (c *Collector) share(ec *echo.Context, e *event.Event, p *settings.Pixel, env *event.Envelope, verdict event.Verdict, source string, now time.Time) {
	r := ec.Request()
	e.PixelID, e.ReceivedAt, e.SentAt, e.Source = p.ID, now, env.SentAt, source
	e.Consent, e.Verdict, e.Context = env.Consent, verdict, env.Context
	e.Trace = c.traceparent(r.Context())
	if keys := p.Processing.Keys; len(keys) > 0 {
		page := &e.Context.Page
		var here, there event.Cleaned
		page.URL, here = event.CleanURL(page.URL, keys)
		page.Referrer, there = event.CleanURL(page.Referrer, keys)
		env.Cleaned |= here | there
	}
	if verdict.State == event.Full {
		e.Subject = identity.Digest(env.Identity, p.Country)
	} else {
		e.Subject.AnonymousID = env.Identity.AnonymousID
	}
	if source == server {
		return // it says itself what the visitor's own request showed
	}
	c.cross(e, p)
	e.Context.IP = ec.RealIP()
	e.Context.UserAgent = event.WithoutMail(header(first(r.Header, "User-Agent"), maxUserAgent))
	e.Context.ClientHints = hints(r.Header)
	e.Context.Place = c.place(r)
}

const (
	maxUserAgent = 1 << 10
	maxHint      = 256
)

// hintHeaders are the client hints that enrichment reads, in Go's spelling.
var hintHeaders = [...][2]string{
	{"Sec-Ch-Ua", "sec-ch-ua"},
	{"Sec-Ch-Ua-Mobile", "sec-ch-ua-mobile"},
	{"Sec-Ch-Ua-Platform", "sec-ch-ua-platform"},
	{"Sec-Ch-Ua-Platform-Version", "sec-ch-ua-platform-version"},
	{"Sec-Ch-Ua-Model", "sec-ch-ua-model"},
	{"Sec-Ch-Ua-Full-Version-List", "sec-ch-ua-full-version-list"},
}

func hints(h http.Header) map[string]string {
	var m map[string]string
	for _, name := range hintHeaders {
		if v := h[name[0]]; len(v) > 0 && v[0] != "" && len(v[0]) <= maxHint {
			if m == nil {
				m = make(map[string]string, len(hintHeaders))
			}
			m[name[1]] = header(v[0], maxHint)
		}
	}
	return m
}

// first is a header's first value, under its name in Go's spelling: Header.Get looks
// first how that is spelt.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// header is a header's value as text: HTTP lets any byte pass.
func header(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	if utf8.ValidString(s) {
		return s // nearly all, in a sixth of the time
	}
	return strings.ToValidUTF8(s, "")
}

// country is where the edge in front of us says the visitor is. Only a proxy
// that we trust may say so; anybody else could talk himself out of the GDPR.
func (c *Collector) country(r *http.Request) string {
	if e, ok := c.edged(r); ok {
		return e.Country
	}
	if len(c.proxies) == 0 {
		return ""
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	for _, p := range c.proxies {
		if !p.Contains(peer.Addr().Unmap()) {
			continue
		}
		for _, name := range [...]string{"Cf-Ipcountry", "Cloudfront-Viewer-Country"} {
			if v := r.Header.Get(name); len(v) == 2 {
				return v
			}
		}
	}
	return ""
}
