package collector

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

// collect answers POST /collect: one envelope.
func (c *Collector) collect(ec *echo.Context) error {
	cors(ec)
	b, err := c.readBody(ec, c.cfg.MaxBody)
	defer c.release(&b)
	if p, f := c.beyond(ec, err); p != nil {
		c.refuseBody(ec, b.bytes, web, f)
		return p
	}
	if err != nil {
		return err
	}
	v, _ := c.intakes.Get().(*intake)
	if v == nil {
		v = &intake{}
	}
	defer c.leave(v)
	env := &v.env
	events, err := v.reader.Read(b.bytes, c.cfg.MaxEvents, env)
	if err != nil {
		p, f := explain(err)
		c.refuseBody(ec, b.bytes, web, f)
		return p
	}
	p, err := c.pixelFor(env.PixelID)
	if err != nil {
		return err
	}
	if host, ok := c.allowed(ec, &p); !ok {
		deny(ec)
		f := event.Fault{Code: "origin_not_allowed", Message: "came from a site that is not among the pixel's domains: " + clip(host, 100)}
		c.refuse(ec, p.ID, web, f)
		return httpserver.NewProblem(http.StatusForbidden, f.Code, "this pixel may not be used on that site")
	}
	if err := c.pace(&p, len(events)); err != nil {
		return err
	}
	if env.Identity.AnonymousID == "" {
		// The browser may have lost what its storage held, and still have this.
		env.Identity.AnonymousID = cookieID(ec)
	}
	answer, err := c.accept(ec, &p, env, events, web)
	if err != nil {
		return err
	}
	c.begun(ec.Request(), p.ID, &answer)
	c.settle(ec, answer.verdict, env.Identity.AnonymousID)
	if answer.accepted == 0 && answer.suppressed == 0 {
		v.answer = answer.appendJSON(v.answer[:0], true)
		return send(ec, http.StatusBadRequest, problemJSON, v.answer)
	}
	v.answer = answer.appendJSON(v.answer[:0], false)
	return send(ec, http.StatusAccepted, plainJSON, v.answer)
}

// intake is the memory that one envelope needs, and that is used again.
type intake struct {
	reader event.Reader
	env    event.Envelope
	answer []byte
}

func (c *Collector) leave(v *intake) {
	v.reader.Forget()
	v.env = event.Envelope{}
	if cap(v.answer) <= keptRead {
		c.intakes.Put(v)
	}
}

// The kinds of answers, as net/http has them in a header.
var (
	plainJSON   = []string{"application/json"}
	problemJSON = []string{"application/problem+json"}
)

// send answers without the copies that echo makes.
func send(ec *echo.Context, status int, kind []string, body []byte) error {
	w := ec.Response()
	w.Header()["Content-Type"] = kind
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

// pixelFor finds an enabled pixel.
func (c *Collector) pixelFor(id string) (settings.Pixel, error) {
	p, ok := c.pixels.Pixel(id)
	if !ok || !p.Enabled {
		return p, httpserver.NewProblem(http.StatusNotFound, "unknown_pixel", "there is no pixel of this id, or it is switched off")
	}
	return p, nil
}

// explain turns what was wrong with an envelope into an answer and a line for
// the dead letters.
func explain(err error) (*httpserver.Problem, event.Fault) {
	if f, ok := errors.AsType[event.Fault](err); ok {
		if f.Pointer == "" {
			f.Pointer = "/events" // the only field that faults from inside the decoder
		}
		p := httpserver.NewProblem(http.StatusBadRequest, f.Code, f.Error())
		p.Errors = []httpserver.FieldError{{Pointer: f.Pointer, Code: f.Code, Detail: f.Message}}
		return p, f
	}
	p := httpserver.BadJSON(err)
	f := event.Fault{Code: p.Code, Message: p.Detail}
	if len(p.Errors) > 0 {
		f.Pointer, f.Message = p.Errors[0].Pointer, p.Errors[0].Detail
	}
	return p, f
}

// answer is what became of the events of a request.
type answer struct {
	accepted, rejected, suppressed int
	priorities                     [len(event.Priorities)]int // of the accepted, by rank
	turned                         int                        // of the rejected, those that may come again
	results                        []result
	verdict                        event.Verdict
	first                          time.Time // when the first of the accepted happened
}

type result struct {
	id     string
	status string
	fault  event.Fault // of a rejected one
}

// The statuses of an event.
const (
	accepted   = "accepted"
	rejected   = "rejected"
	suppressed = "suppressed"
)

// appendJSON writes the answer by hand, since it is written for every request.
// As a problem it has a problem's members beside the usual ones.
func (a *answer) appendJSON(dst []byte, problem bool) []byte {
	dst = append(dst, '{')
	if problem {
		dst = append(dst, `"title":"Bad Request","status":400,"code":"all_rejected","detail":"none of the events can be accepted",`...)
	}
	dst = append(dst, `"accepted":`...)
	dst = strconv.AppendInt(dst, int64(a.accepted), 10)
	dst = append(dst, `,"rejected":`...)
	dst = strconv.AppendInt(dst, int64(a.rejected), 10)
	dst = append(dst, `,"results":[`...)
	for i := range a.results {
		r := &a.results[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(dst, `,"id":`...)
		dst = quote(dst, r.id)
		dst = append(dst, `,"status":"`...)
		dst = append(dst, r.status...)
		dst = append(dst, '"')
		if r.fault.Code != "" {
			dst = append(dst, `,"code":`...)
			dst = quote(dst, r.fault.Code)
			dst = append(dst, `,"message":`...)
			dst = quote(dst, r.fault.Error())
		}
		dst = append(dst, '}')
	}
	return append(dst, ']', '}')
}

func quote(dst []byte, s string) []byte {
	// The error is about invalid UTF-8, which it has replaced by then.
	out, _ := jsontext.AppendQuote(dst, s)
	return out
}

// clip shortens a text to about n bytes, and never inside a character.
func clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
