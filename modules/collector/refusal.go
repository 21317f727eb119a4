package collector

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

// refused is a line in the validation dead letters. It says what was wrong and
// where, for whoever maintains the tag, and holds no personal data: neither
// identity nor address nor browser, and of the event only its name and the shape
// of its properties, with the values of e-commerce fields alone.
type refused struct {
	PixelID    string    `json:"pixel_id"`
	ReceivedAt time.Time `json:"received_at"`
	Source     string    `json:"source"`
	Code       string    `json:"code"`
	Pointer    string    `json:"pointer,omitempty"`
	Message    string    `json:"message"`
	Event      *remains  `json:"event,omitempty"`
}

// remains is what may be kept of a refused event.
type remains struct {
	Name       string         `json:"name,omitempty"`
	Bytes      int            `json:"bytes"`
	Properties jsontext.Value `json:"properties,omitempty"`
}

// refusal makes a line for the dead letters. The event itself is only in it where
// consent allows to keep events.
func (c *Collector) refusal(pixel, source string, now time.Time, f event.Fault, in *event.Incoming, keep bool) (queue.Item, bool) {
	if !c.pressure.Writes() || !c.refusals.AllowN(now, 1) {
		c.metrics.lostRefusals.Inc()
		return queue.Item{}, false
	}
	line := refused{PixelID: pixel, ReceivedAt: now, Source: source, Code: f.Code, Pointer: clean(f.Pointer), Message: clip(f.Message, 300)}
	if in != nil && keep {
		line.Event = &remains{Name: clean(in.Name), Bytes: len(in.Raw), Properties: shape(in.Properties)}
	}
	body, err := json.Marshal(&line)
	if err != nil {
		c.log.Error("a refusal could not be encoded", "code", f.Code, "error", err)
		return queue.Item{}, false
	}
	// It is counted under no pixel: to the pixel's books it is rejected, and done.
	return queue.Item{Queue: queue.Validation, Body: body, Account: queue.AccountOf("", now), Reason: f.Code + ": " + clip(strings.TrimSpace(clean(f.Pointer)+" "+f.Message), 300)}, true
}

// refuse writes one line about a request of which nothing is kept.
func (c *Collector) refuse(ec *echo.Context, pixel, source string, f event.Fault) {
	c.metrics.rejected(source, f.Code)
	item, ok := c.refusal(pixel, source, time.Now().UTC().Truncate(time.Microsecond), f, nil, false)
	if !ok {
		return
	}
	// An error is counted in push, and changes nothing for the client.
	_ = c.push(ec.Request().Context(), []queue.Item{item}, false)
}

// refuseBody does so for a body that could not be read, if it names a pixel that
// we know.
func (c *Collector) refuseBody(ec *echo.Context, body []byte, source string, f event.Fault) {
	if p, ok := c.pixels.Pixel(event.PeekPixel(body)); ok {
		c.refuse(ec, p.ID, source, f)
		return
	}
	c.metrics.rejected(source, f.Code)
}

// clean makes a hostile name or pointer fit to be kept: short, and without what
// could be an address or a number of a person.
func clean(s string) string {
	const most = 80
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '@':
			return "[removed]"
		}
	}
	if digits > 6 {
		return "[removed]"
	}
	return strings.ToValidUTF8(clip(s, most), "�")
}

// open are the properties whose values are kept: they say what was sold, not to
// whom.
var open = map[string]bool{
	"value": true, "currency": true, "price": true, "quantity": true, "tax": true, "shipping": true,
	"discount": true, "index": true, "coupon": true, "affiliation": true, "item_id": true, "item_name": true,
	"item_brand": true, "item_category": true, "item_variant": true, "payment_type": true, "method": true,
}

const (
	maxShape      = 2 << 10 // bytes
	maxShapeDepth = 3
)

var errShape = errors.New("large enough")

// shape keeps the names and the kinds of properties: "email" becomes
// "[string]", whatever it says. It returns nothing where there is too much.
func shape(properties jsontext.Value) jsontext.Value {
	if len(properties) == 0 {
		return nil
	}
	var out limited
	d, e := jsontext.NewDecoder(strings.NewReader(string(properties))), jsontext.NewEncoder(&out)
	if err := shapeValue(d, e, "", 0); err != nil {
		return nil
	}
	v := jsontext.Value(out.b)
	if v.Compact() != nil {
		return nil
	}
	return v
}

// limited is a buffer that ends.
type limited struct{ b []byte }

func (l *limited) Write(p []byte) (int, error) {
	if len(l.b)+len(p) > maxShape {
		return 0, errShape
	}
	l.b = append(l.b, p...)
	return len(p), nil
}

func shapeValue(d *jsontext.Decoder, e *jsontext.Encoder, name string, depth int) error {
	switch kind := d.PeekKind(); kind {
	case '{', '[':
		if depth == maxShapeDepth {
			if err := d.SkipValue(); err != nil {
				return err
			}
			if kind == '{' {
				return e.WriteToken(jsontext.String("[object]"))
			}
			return e.WriteToken(jsontext.String("[array]"))
		}
		return shapeInside(d, e, kind, name, depth+1)
	case '"', '0':
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		if open[name] && len(t.String()) <= 64 && clean(t.String()) == t.String() {
			return e.WriteToken(t)
		}
		if kind == '"' {
			return e.WriteToken(jsontext.String("[string]"))
		}
		return e.WriteToken(jsontext.String("[number]"))
	case 0:
		return io.ErrUnexpectedEOF
	}
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	return e.WriteToken(t)
}

func shapeInside(d *jsontext.Decoder, e *jsontext.Encoder, kind jsontext.Kind, name string, depth int) error {
	start, err := d.ReadToken()
	if err != nil {
		return err
	}
	if err := e.WriteToken(start); err != nil {
		return err
	}
	for k := d.PeekKind(); k != '}' && k != ']'; k = d.PeekKind() {
		if kind == '{' {
			t, err := d.ReadToken()
			if err != nil {
				return err
			}
			name = t.String()
			// Two names may be the same once they are cleaned: then nothing is kept.
			if err := e.WriteToken(jsontext.String(clean(name))); err != nil {
				return err
			}
		}
		if err := shapeValue(d, e, name, depth); err != nil {
			return err
		}
	}
	end, err := d.ReadToken()
	if err != nil {
		return err
	}
	return e.WriteToken(end)
}
