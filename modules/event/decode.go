package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

var errCut = errors.New("it ends too early")

// Decode reads what an Encoder wrote, or an event as JSON. The event keeps parts
// of body, which must not change any more.
func Decode(body []byte, e *Event) error {
	switch {
	case len(body) == 0:
		return fmt.Errorf("decode an event: %w", errCut)
	case body[0] == '{':
		return json.Unmarshal(body, e)
	case body[0] != version:
		return fmt.Errorf("decode an event: version %d is not known", body[0])
	}
	*e = Event{}
	d := decoder{b: body, s: string(body), i: 1}
	d.own(e)
	d.shared(e)
	d.more(e)
	if d.bad {
		return fmt.Errorf("decode an event: %w", errCut)
	}
	return nil
}

// AsJSON is an event as JSON, for people; what an Encoder did not write stays as
// it is. Of a damaged one nothing is shown: nobody could say what is in it.
func AsJSON(body []byte) []byte {
	if len(body) == 0 || body[0] != version {
		return body
	}
	var e Event
	if Decode(body, &e) == nil {
		if b, err := json.Marshal(&e, json.Deterministic(true)); err == nil {
			return b
		}
	}
	return []byte("null")
}

// decoder reads fields one after the other; once bad, all are zero.
type decoder struct {
	b   []byte
	s   string // the same, so that all texts share one copy
	i   int
	bad bool
}

func (d *decoder) own(e *Event) {
	e.ID = d.text()
	e.Receipt = d.text()
	e.Name = d.text()
	e.Time = d.time()
	e.Priority = Priority(d.text())
	e.Order.ID = d.text()
	e.Order.Value = Amount(d.text())
	e.Order.Currency = d.text()
	if n := d.many(6); n > 0 {
		e.Order.Items = make([]Item, n)
		for i := range e.Order.Items {
			e.Order.Items[i] = Item{d.text(), d.text(), d.text(), d.text(), Amount(d.text()), Amount(d.text())}
		}
	}
	e.Seq = int(d.int())
	if from, to := d.span(); to > from {
		e.Properties = jsontext.Value(d.b[from:to:to])
	}
}

func (d *decoder) shared(e *Event) {
	e.PixelID = d.text()
	e.SentAt = d.time()
	e.ReceivedAt = d.time()
	e.Source = d.text()
	d.consent(&e.Consent)
	e.Verdict = Verdict{State(d.text()), d.text(), d.text(), d.text()}
	s := &e.Subject
	s.VisitorID, s.AnonymousID, s.UserID = d.text(), d.text(), d.text()
	flags := d.uint()
	for i, member := range s.person() {
		if flags&(1<<i) != 0 {
			*member = d.text()
		}
	}
	s.ClickIDs, s.PartnerIDs = d.table(), d.table()
	c := &e.Context
	for _, field := range [...]*string{&c.Page.URL, &c.Page.Referrer, &c.Page.Title, &c.Locale, &c.Timezone, &c.SDK.Name, &c.SDK.Version, &c.IP, &c.UserAgent} {
		*field = d.text()
	}
	c.Screen = Screen{int(d.int()), int(d.int())}
	c.ClientHints = d.table()
	c.Tab = d.text()
	for _, t := range [...]*Touch{&c.Touch.First, &c.Touch.Last} {
		t.Time, t.Referrer, t.Params = d.text(), d.text(), d.table()
	}
	if d.byte() != 0 {
		for _, field := range c.Place.texts() {
			*field = d.text()
		}
		c.Place.ASN = int(d.int())
	}
	if d.byte() != 0 {
		for _, field := range e.Enrichment.texts() {
			*field = d.text()
		}
		e.Enrichment.Automated = d.byte() != 0
	}
	e.Trace = d.text()
}

// more reads what a process of an older version did not write.
func (d *decoder) more(e *Event) {
	if d.i == len(d.b) {
		return
	}
	x, flags := &e.Enrichment, d.byte()
	if flags&morePlace != 0 {
		for _, field := range x.Place.texts() {
			*field = d.text()
		}
		x.Place.ASN = int(d.int())
	}
	if flags&moreSession != 0 {
		x.Session = Session{d.text(), d.time(), d.text(), int(d.int())}
	}
	if flags&moreValue != 0 {
		x.Value = Value{Amount(d.text()), d.text(), d.text(), d.text()}
	}
	if flags&moreSkew != 0 {
		x.Skew = d.int()
	}
	if flags&moreCleaned != 0 {
		x.Cleaned = d.text()
	}
	if flags&moreCrossing != 0 {
		e.Crossing = Crossing{d.text(), d.text()}
	}
}

func (d *decoder) consent(c *Consent) {
	flags := d.byte()
	if flags&consentAsked != 0 {
		applies := flags&consentGDPR != 0
		c.GDPRApplies = &applies
	}
	c.GPC = flags&consentGPC != 0
	c.TCF, c.GPP, c.USPrivacy, c.AddtlConsent, c.State = d.text(), d.text(), d.text(), d.text(), State(d.text())
	if n := d.many(1); n > 0 {
		c.GPPSID = make([]int, n)
		for i := range c.GPPSID {
			c.GPPSID[i] = int(d.int())
		}
	}
	if flags&consentMode != 0 {
		c.GCM = ConsentMode{d.text(), d.text(), d.text(), d.text()}
	}
}

func (d *decoder) fail() {
	d.bad = true
	d.i = len(d.b)
}

func (d *decoder) byte() byte {
	if d.i == len(d.b) {
		d.fail()
		return 0
	}
	d.i++
	return d.b[d.i-1]
}

func (d *decoder) uint() uint64 {
	if d.i < len(d.b) && d.b[d.i] < 0x80 {
		d.i++
		return uint64(d.b[d.i-1])
	}
	n, size := binary.Uvarint(d.b[d.i:])
	if size <= 0 {
		d.fail()
		return 0
	}
	d.i += size
	return n
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.b[d.i:])
	if size <= 0 {
		d.fail()
		return 0
	}
	d.i += size
	return n
}

// many reads how many there are of something that takes at least size bytes.
func (d *decoder) many(size int) int {
	n := d.uint()
	if n > uint64((len(d.b)-d.i)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

// span reads a text that is no UUID, and returns where it is.
func (d *decoder) span() (from, to int) {
	n := d.uint()
	switch {
	case n == noText:
		return d.i, d.i
	case n-1 > uint64(len(d.b)-d.i):
		d.fail()
		return d.i, d.i
	}
	from = d.i
	d.i += int(n - 1)
	return from, d.i
}

func (d *decoder) text() string {
	if d.i < len(d.b) && d.b[d.i] == uuidText {
		if len(d.b)-d.i < 17 {
			d.fail()
			return ""
		}
		d.i += 17
		return uuid.UUID(d.b[d.i-16 : d.i]).String()
	}
	from, to := d.span()
	return d.s[from:to]
}

func (d *decoder) time() time.Time {
	seconds, nanos := d.int(), d.uint()
	if nanos == 0 || nanos > 1e9 {
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos-1)).UTC()
}

func (d *decoder) table() map[string]string {
	n := d.many(2)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := d.text()
		m[k] = d.text()
	}
	return m
}
