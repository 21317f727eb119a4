package collector

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/crossing"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

// crossingAnswer is what the tag puts behind a link to another of the pixel's domains.
type crossingAnswer struct {
	Token string `json:"token,omitempty"`
	// Reason says why there is none.
	Reason string `json:"reason,omitempty"`
}

// makeCrossing answers POST /crossing: a token for a visitor who is about to go to
// another of the pixel's domains, which its body names as POST /consent does. There is
// one under full consent alone, as the signals in the body give it.
func (c *Collector) makeCrossing(ec *echo.Context) error {
	cors(ec)
	b, err := c.readBody(ec, maxConsentBody)
	defer c.release(&b)
	if errors.Is(err, errTooLarge) {
		return httpserver.NewProblem(http.StatusRequestEntityTooLarge, "too_large", "a crossing must be at most 64 KiB")
	}
	if p, _ := c.beyond(ec, err); p != nil {
		return p
	}
	if err != nil {
		return err
	}
	var in consentChange
	if err := json.Unmarshal(b.bytes, &in); err != nil {
		p, _ := explain(err)
		return p
	}
	p, err := c.pixelFor(in.PixelID)
	if err != nil {
		return err
	}
	if _, ok := c.allowed(ec, &p); !ok {
		deny(ec)
		return httpserver.NewProblem(http.StatusForbidden, "origin_not_allowed", "this pixel may not be used on that site")
	}
	if !p.Tag.CrossDomain {
		return httpserver.NewProblem(http.StatusNotFound, "not_cross_domain", "this pixel does not follow visitors from one of its domains to another; tag.cross_domain switches it on")
	}
	if f := in.check(); f.Code != "" {
		p, _ := explain(f)
		return p
	}
	r := ec.Request()
	now := time.Now()
	gpc := in.Consent.GPC || r.Header.Get("Sec-Gpc") == "1"
	verdict := c.consent.Decide(consent.Request{Signals: in.Consent, HeaderGPC: gpc, Country: c.country(r), Now: now}, p.Site())
	ec.Response().Header().Set("Cache-Control", "no-store")
	if verdict.State != event.Full {
		c.metrics.crossings.WithLabelValues("made", "consent").Inc()
		return ec.JSON(http.StatusOK, crossingAnswer{Reason: verdict.Reason})
	}
	token, err := crossing.Seal(c.salt(p.ID), p.ID, in.AnonymousID, now)
	if err != nil {
		c.metrics.crossings.WithLabelValues("made", "error").Inc()
		return ec.JSON(http.StatusOK, crossingAnswer{Reason: err.Error()})
	}
	c.metrics.crossings.WithLabelValues("made", "ok").Inc()
	return ec.JSON(http.StatusOK, crossingAnswer{Token: token})
}

// cross takes a cross-domain token out of a page's addresses, wherever it stands and
// whatever the pixel makes of it, and notes who the visitor was where he came from: under
// full consent, and where the page before was on another of the pixel's domains. Who
// opened an address that was sent to him came from none of them.
func (c *Collector) cross(e *event.Event, p *settings.Pixel) {
	page := &e.Context.Page
	var token string
	page.URL, token = crossing.Cut(page.URL)
	page.Referrer, _ = crossing.Cut(page.Referrer)
	if token == "" || !p.Tag.CrossDomain || e.Verdict.State != event.Full || e.Subject.AnonymousID == "" {
		return
	}
	result := "ok"
	if from := hostOf(page.Referrer); from == "" || from == hostOf(page.URL) || !p.Allows(from) {
		result = "referrer"
	} else {
		t, err := crossing.Open(c.salt(p.ID), p.ID, token, e.ReceivedAt)
		switch {
		case errors.Is(err, crossing.ErrExpired):
			result = "expired"
		case err != nil:
			result = "forged"
		case event.HideID(t.Visitor) == t.Visitor && event.ValidID(t.Visitor):
			e.Crossing = event.Crossing{Visitor: t.Visitor, Use: t.Use}
		}
	}
	c.metrics.crossings.WithLabelValues("brought", result).Inc()
}
