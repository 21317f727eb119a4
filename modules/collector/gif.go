package collector

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
)

// transparent is the smallest GIF that all mail clients and browsers take: one
// pixel, see-through, 43 bytes.
const transparent = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b"

const (
	// maxPixelProperties bounds the p.{name} parameters.
	maxPixelProperties = 64
	maxReferer         = 8 << 10
)

// gif answers GET /pixel.gif: one event. The answer is always the image, since a
// page must not show a broken one; what was wrong is counted and goes into the
// validation dead letters.
func (c *Collector) gif(ec *echo.Context) error {
	c.take(ec)
	h := ec.Response().Header()
	h.Set("Cache-Control", "no-store, max-age=0")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	return ec.Blob(http.StatusOK, "image/gif", []byte(transparent))
}

// take does the work behind the image.
func (c *Collector) take(ec *echo.Context) {
	defer func() {
		if p := recover(); p != nil {
			c.metrics.rejected(image, "internal")
			c.log.Error("the image pixel failed", "panic", fmt.Sprint(p))
		}
	}()
	if ok, _ := c.rate.Address(ec.RealIP()); !ok {
		c.metrics.rejected(image, rateLimited)
		return
	}
	// What cannot be read of a query is left out, and the rest says what it can.
	q, malformed := url.ParseQuery(ec.Request().URL.RawQuery)
	env, one, fault := fromQuery(q, header(ec.Request().Referer(), maxReferer))
	p, err := c.pixelFor(env.PixelID)
	if err != nil {
		c.metrics.rejected(image, "unknown_pixel")
		return
	}
	if host, ok := c.allowed(ec, &p); !ok {
		c.refuse(ec, p.ID, image, event.Fault{Code: "origin_not_allowed", Message: "came from a site that is not among the pixel's domains: " + clip(host, 100)})
		return
	}
	if malformed != nil && fault.Code == "" {
		fault = event.Fault{Code: "malformed_query", Message: "must be percent-encoded"}
	}
	if fault.Code != "" {
		c.refuse(ec, p.ID, image, fault)
		return
	}
	if c.pace(&p, 1) != nil {
		c.metrics.rejected(image, rateLimited)
		return
	}
	if env.Identity.AnonymousID == "" {
		env.Identity.AnonymousID = cookieID(ec)
	}
	if env.Identity.AnonymousID == "" {
		// A page without script has nobody else to make an id. It is kept only if
		// consent allows.
		env.Identity.AnonymousID = uuid.NewString()
	}
	answer, err := c.accept(ec, &p, &env, []event.Incoming{one}, image)
	if err != nil {
		// There is nobody to try again.
		c.metrics.rejected(image, "not_stored")
		if _, told := errors.AsType[*httpserver.Problem](err); !told {
			c.log.Error("an event of the image pixel was lost", "error", err)
		}
		return
	}
	if answer.verdict.State.Allows(event.Partial) || consent.Stated(answer.verdict, env.Consent) {
		// An image in a page of old says nothing of consent, and takes nothing back.
		c.settle(ec, answer.verdict, env.Identity.AnonymousID)
	}
}

// fromQuery reads the image's parameters as if they were an envelope. The tag's own
// image, its last resort, has a whole envelope with one event as d.
func fromQuery(q url.Values, referer string) (event.Envelope, event.Incoming, event.Fault) {
	var env event.Envelope
	var one event.Incoming
	if d := q.Get("d"); d != "" {
		env, err := event.DecodeEnvelope([]byte(d), 1)
		if err != nil {
			_, f := explain(err)
			return env, one, f
		}
		one.Fault = one.Decode(env.Events[0])
		return env, one, event.Fault{}
	}
	env.PixelID = q.Get("pid")
	for name, values := range q {
		if !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return env, one, event.Fault{Pointer: "/" + clean(name), Code: "invalid_utf8", Message: "must be UTF-8"}
		}
	}
	env.Identity.AnonymousID = q.Get("cid")
	env.Context.Page = event.Page{URL: q.Get("u"), Referrer: q.Get("r")}
	if env.Context.Page.URL == "" {
		env.Context.Page.URL = referer // the page that holds the image
	}
	env.Context.SDK.Name = "image"
	if f := signalsFrom(q, &env.Consent); f.Code != "" {
		return env, one, f
	}
	if err := env.Check(); err != nil {
		_, f := explain(err)
		return env, one, f
	}
	properties, f := propertiesFrom(q)
	if f.Code != "" {
		return env, one, f
	}
	// As JSON, so that there is one reader with one set of limits.
	raw := quote([]byte(`{"name":`), q.Get("e"))
	raw = quote(append(raw, `,"id":`...), q.Get("eid"))
	if properties != nil {
		raw = append(append(raw, `,"properties":`...), properties...)
	}
	one.Fault = one.Decode(append(raw, '}'))
	return env, one, event.Fault{}
}

func signalsFrom(q url.Values, c *event.Consent) event.Fault {
	switch v := q.Get("gdpr"); v {
	case "1", "0":
		applies := v == "1"
		c.GDPRApplies = &applies
	}
	c.TCF = q.Get("gdpr_consent")
	c.AddtlConsent = q.Get("addtl_consent")
	c.GPP = q.Get("gpp")
	c.USPrivacy = q.Get("us_privacy")
	c.GPC = q.Get("gpc") == "1"
	for id := range strings.FieldsFuncSeq(q.Get("gpp_sid"), func(r rune) bool { return r == ',' || r == '_' || r == '.' }) {
		n, err := strconv.Atoi(id)
		if err != nil || len(c.GPPSID) > 100 {
			return event.Fault{Pointer: "/gpp_sid", Code: "invalid_type", Message: "must be numbers, such as 7,8"}
		}
		c.GPPSID = append(c.GPPSID, n)
	}
	if v := q.Get("gcm"); v != "" {
		// The tag writes the same object as in an envelope.
		if err := json.Unmarshal([]byte(v), &c.GCM); err != nil {
			return event.Fault{Pointer: "/gcm", Code: "invalid_type", Message: `must be Consent Mode as JSON, such as {"ad_storage":"granted"}`}
		}
	}
	return event.Fault{}
}

// propertiesFrom makes an object of v, cur, oid and the p.{name} parameters. The
// text of an array or an object stays one, since that is how the tag sends items.
func propertiesFrom(q url.Values) (jsontext.Value, event.Fault) {
	b := []byte{'{'}
	add := func(name, value string) {
		if value == "" {
			return
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = quote(b, name)
		b = append(b, ':')
		if v := jsontext.Value(value); (value[0] == '[' || value[0] == '{') && v.IsValid() {
			b = append(b, value...)
			return
		}
		b = quote(b, value)
	}
	own := map[string]string{"value": q.Get("v"), "currency": q.Get("cur"), "order_id": q.Get("oid")}
	for _, name := range [...]string{"value", "currency", "order_id"} {
		add(name, own[name])
	}
	n := 0
	for key, values := range q {
		name, ok := strings.CutPrefix(key, "p.")
		if !ok || name == "" || own[name] != "" {
			continue
		}
		if n++; n > maxPixelProperties {
			return nil, event.Fault{Pointer: "/p", Code: "invalid_properties", Message: fmt.Sprintf("must be at most %d", maxPixelProperties)}
		}
		add(name, values[0])
	}
	if len(b) == 1 {
		return nil, event.Fault{}
	}
	return append(b, '}'), event.Fault{}
}
