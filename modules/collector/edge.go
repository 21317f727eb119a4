package collector

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/edge"
	"github.com/miq/pixel/modules/event"
)

// edgeClaims is the context's key for what the edge says of a request.
type edgeClaims struct{}

// edged is what a signed edge says of a request; false where none does.
func (c *Collector) edged(r *http.Request) (edge.Claims, bool) {
	if len(c.edgeKeys) == 0 {
		return edge.Claims{}, false
	}
	claims, ok := r.Context().Value(edgeClaims{}).(edge.Claims)
	return claims, ok
}

// behindEdge lets the edge worker in front of us say whose request it is. Its
// word counts under its signature and else not at all: then the request is
// whoever's it looks like, and the header never came.
func (c *Collector) behindEdge(next echo.HandlerFunc) echo.HandlerFunc {
	if len(c.edgeKeys) == 0 {
		return next
	}
	return func(ec *echo.Context) error {
		r := ec.Request()
		if r.Header.Get(edge.Header) == "" {
			return next(ec)
		}
		// The signature covers the body as it was sent, so that is read here, within
		// the bounds that hold for every body, and read again behind.
		// One byte more, so that a body which is too large still is when it gets there;
		// the edge signs none of those.
		var b body
		var err error
		claims, refused := c.edgeKeys.Verify(r, func() ([]byte, error) {
			b, err = c.fill(r.Body, c.cfg.MaxBody+1, nil)
			return b.bytes, err
		}, time.Now(), c.cfg.EdgeWindow)
		defer c.release(&b)
		if err != nil && !errors.Is(err, errTooLarge) {
			return err
		}
		c.metrics.edge.WithLabelValues(edge.Outcome(refused)).Inc()
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(b.bytes), r.Body), r.Body}
		r.Header.Del(edge.Header)
		if refused == nil {
			ec.SetRequest(believed(r, claims))
		}
		return next(ec)
	}
}

// believed is a request as the visitor sent it to the edge.
func believed(r *http.Request, c edge.Claims) *http.Request {
	r = r.WithContext(context.WithValue(r.Context(), edgeClaims{}, c))
	r.RemoteAddr = net.JoinHostPort(c.IP, "0")
	r.Header.Del("X-Forwarded-For")
	// The browser sees the edge's host, and cookies are set for that.
	r.Host = c.Host
	if c.GPC {
		r.Header.Set("Sec-Gpc", "1")
	}
	return r
}

// arrived is when a visitor's request came, by our clock or that of the edge,
// which may have kept it for a while. Only what the client's own clock says is
// measured by it.
func (c *Collector) arrived(r *http.Request, now time.Time) time.Time {
	if claims, ok := c.edged(r); ok && claims.Received > 0 {
		if at := time.UnixMilli(claims.Received).UTC(); at.Before(now) {
			return at
		}
	}
	return now
}

// place is where the edge says that the visitor is.
func (c *Collector) place(r *http.Request) event.Place {
	claims, ok := c.edged(r)
	if !ok {
		return event.Place{}
	}
	clean := func(s string) string { return header(s, 100) }
	return event.Place{
		Country: clean(claims.Country), Region: clean(claims.Region), City: clean(claims.City), PostalCode: clean(claims.PostalCode),
		Timezone: clean(claims.Timezone), ASN: claims.ASN, Network: clean(claims.Network),
	}
}
