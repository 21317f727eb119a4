package collector

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

// rateLimited is the code of what is answered 429.
const rateLimited = "rate_limited"

// paced turns a request away, before its body is read, whose address sends too many, or sent
// weapons and comes with what may be one more.
// It stands behind the edge's word, so that a visitor is limited and not the edge.
func (c *Collector) paced(next echo.HandlerFunc) echo.HandlerFunc {
	return func(ec *echo.Context) error {
		if ok, wait := c.rate.Address(ec.RealIP()); !ok {
			cors(ec) // or the page could not read when to come again
			return tooMany("this address sends more requests than it may", wait)
		}
		if costly(ec.Request()) {
			if ok, wait := c.rate.Costly(ec.RealIP()); !ok {
				cors(ec)
				goAway(ec)
				return tooMany("large and packed bodies of this address are not read for a while, since it sent some that no client makes", wait)
			}
		}
		return next(ec)
	}
}

// costly is a body that the tag does not send: a packed one, or a large one.
func costly(r *http.Request) bool {
	return r.ContentLength < 0 || r.ContentLength > keptRead || first(r.Header, "Content-Encoding") != ""
}

// offended is told of bodies that no client sends by mistake.
func (c *Collector) offended(ec *echo.Context) {
	c.rate.Offended(ec.RealIP())
	goAway(ec)
}

// goAway closes the connection behind the answer: the rest of the body is not read, and who
// comes again pays for a connection.
func goAway(ec *echo.Context) { ec.Response().Header().Set("Connection", "close") }

// pace turns away what is more than a pixel may send. A request comes in whole or not at
// all, so that what is sent again was not stored in part.
func (c *Collector) pace(p *settings.Pixel, events int) error {
	if ok, wait := c.rate.Pixel(p.ID, events); !ok {
		return tooMany("this pixel sends more events than it may", wait)
	}
	return nil
}

func tooMany(detail string, wait time.Duration) error {
	return &httpserver.Problem{
		Status: http.StatusTooManyRequests, Code: rateLimited, Detail: detail + "; send it again after the time in Retry-After", RetryAfter: max(wait, time.Second),
	}
}
