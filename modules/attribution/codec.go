package attribution

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/miq/pixel/modules/event"
)

// A history is kept as bytes: a version, the texts that occur, each once, then the
// touchpoints and the conversions, which name texts by their number. A touchpoint
// takes about 30 bytes.
const codecVersion = 1

var errHistory = errors.New("the visitor's history cannot be read")

var kinds = [...]event.TouchKind{event.AdClick, event.Impression, event.CampaignVisit, event.OrganicVisit, event.DirectVisit, event.NoTouch}

type writer struct {
	b     []byte
	texts []string
	at    map[string]uint64
}

func (w *writer) text(s string) {
	n, ok := w.at[s]
	if !ok {
		n = uint64(len(w.texts))
		w.at[s] = n
		w.texts = append(w.texts, s)
	}
	w.b = binary.AppendUvarint(w.b, n)
}

func (w *writer) number(n int64) { w.b = binary.AppendVarint(w.b, n) }

func (w *writer) touches(list []Touch) {
	w.b = binary.AppendUvarint(w.b, uint64(len(list)))
	var last int64
	for i := range list {
		t := &list[i]
		at := t.At.UnixMilli()
		w.number(at - last)
		last = at
		flags := byte(0)
		for k := range kinds {
			if kinds[k] == t.Kind {
				flags = byte(k)
			}
		}
		if t.Own {
			flags |= 1 << 7
		}
		w.b = append(w.b, flags)
		var id [10]byte
		hex.Decode(id[:], []byte(t.ID))
		w.b = append(w.b, id[:]...)
		for _, s := range [...]string{t.VisitorID, t.EventID, t.Channel, t.Source, t.Campaign, t.Partner} {
			w.text(s)
		}
	}
}

// Encode returns a history as bytes.
func (h *History) Encode() []byte {
	w := writer{b: make([]byte, 0, 64+30*len(h.Touches)), at: make(map[string]uint64, 16)}
	w.touches(h.Touches)
	w.b = binary.AppendUvarint(w.b, uint64(len(h.Conversions)))
	for i := range h.Conversions {
		c := &h.Conversions[i]
		for _, s := range [...]string{c.EventID, c.Name, c.OrderID, c.Currency} {
			w.text(s)
		}
		own := int64(0)
		if c.Own {
			own = 1
		}
		for _, n := range [...]int64{c.At.UnixMilli(), c.ReceivedAt.UnixMicro(), c.Value, own, c.Version} {
			w.number(n)
		}
		w.b = binary.LittleEndian.AppendUint64(w.b, c.Digest)
		w.b = binary.AppendUvarint(w.b, uint64(len(c.Refunds)))
		for _, r := range c.Refunds {
			w.text(r.EventID)
			w.number(r.Amount)
		}
		if c.Path == nil {
			w.b = append(w.b, 0)
		} else {
			w.b = append(w.b, 1)
			w.touches(c.Path)
		}
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(h.Linked)))
	for _, v := range h.Linked {
		w.text(v)
	}
	out := append(make([]byte, 0, len(w.b)+64), codecVersion)
	out = binary.AppendUvarint(out, uint64(len(w.texts)))
	for _, s := range w.texts {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	return append(out, w.b...)
}

type reader struct {
	b     []byte
	texts []string
	bad   bool
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) number() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) text() string {
	if n := r.uint(); n < uint64(len(r.texts)) {
		return r.texts[n]
	}
	r.bad = true
	return ""
}

// list bounds a count by what can be there.
func (r *reader) list() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) touches(pixelID string) []Touch {
	n := r.list()
	out := make([]Touch, 0, min(n, 2*maxTouches))
	var at int64
	for range n {
		if r.bad {
			return nil
		}
		at += r.number()
		flags := r.bytes(1)
		id := r.bytes(10)
		if r.bad || int(flags[0]&0x7f) >= len(kinds) {
			r.bad = true
			return nil
		}
		t := Touch{Own: flags[0]&(1<<7) != 0}
		t.PixelID, t.At, t.Kind, t.ID = pixelID, time.UnixMilli(at).UTC(), kinds[flags[0]&0x7f], hex.EncodeToString(id)
		for _, s := range [...]*string{&t.VisitorID, &t.EventID, &t.Channel, &t.Source, &t.Campaign, &t.Partner} {
			*s = r.text()
		}
		out = append(out, t)
	}
	return out
}

// Decode reads a history of a pixel's visitor; of nothing it is empty.
func Decode(pixelID string, b []byte) (*History, error) {
	h := &History{}
	if len(b) == 0 {
		return h, nil
	}
	if b[0] != codecVersion {
		return nil, errHistory
	}
	r := reader{b: b[1:]}
	for range r.list() {
		r.texts = append(r.texts, string(r.bytes(r.uint())))
	}
	h.Touches = r.touches(pixelID)
	for range r.list() {
		if r.bad {
			break
		}
		var c Conversion
		for _, s := range [...]*string{&c.EventID, &c.Name, &c.OrderID, &c.Currency} {
			*s = r.text()
		}
		c.At, c.ReceivedAt, c.Value, c.Own, c.Version = time.UnixMilli(r.number()).UTC(), time.UnixMicro(r.number()).UTC(), r.number(), r.number() == 1, r.number()
		if d := r.bytes(8); d != nil {
			c.Digest = binary.LittleEndian.Uint64(d)
		}
		for range r.list() {
			c.Refunds = append(c.Refunds, Refund{r.text(), r.number()})
		}
		if frozen := r.bytes(1); frozen != nil && frozen[0] == 1 {
			c.Path = r.touches(pixelID)
		}
		h.Conversions = append(h.Conversions, c)
	}
	for range r.list() {
		h.Linked = append(h.Linked, r.text())
	}
	if r.bad {
		return nil, errHistory
	}
	return h, nil
}
