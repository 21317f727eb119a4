package sqliteanalytics

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
)

// owedForm begins the body of a conversion: all its models' sets. They have nearly all in
// common, so a text is written once and later named by its number, and so is a
// touchpoint. An older body begins with '[' and is JSON.
const owedForm = 1

var errOwed = errors.New("the stored credits are not whole")

// encodeOwed writes the sets of one conversion.
func encodeOwed(sets []event.Credits) []byte {
	w := owedWriter{b: append(make([]byte, 0, 1024), owedForm), texts: make(map[string]int, 32)}
	w.uint(len(sets))
	var touches []*event.Touchpoint
	for i := range sets {
		c := &sets[i]
		w.text(c.PixelID)
		w.text(c.EventID)
		w.text(c.Model)
		w.int(c.Version)
		w.text(c.Name)
		w.text(c.VisitorID)
		w.time(c.At)
		w.time(c.ReceivedAt)
		w.text(c.Currency)
		w.int(c.Value)
		w.int(c.Refunded)
		w.uint(len(c.Shares))
	shares:
		for j := range c.Shares {
			h := &c.Shares[j]
			w.int(h.Weight)
			w.int(h.Value)
			w.int(h.Refunded)
			for n, t := range touches {
				if *t == h.Touchpoint {
					w.uint(n + 1)
					continue shares
				}
			}
			touches = append(touches, &h.Touchpoint)
			w.uint(0)
			w.text(h.ID)
			w.text(h.PixelID)
			w.text(h.VisitorID)
			w.text(h.EventID)
			w.time(h.At)
			w.text(string(h.Kind))
			w.text(h.Channel)
			w.text(h.Source)
			w.text(h.Campaign)
			w.text(h.Partner)
		}
	}
	return w.b
}

type owedWriter struct {
	b     []byte
	texts map[string]int
	last  int64 // the time that was written last, in nanoseconds
}

func (w *owedWriter) uint(n int)  { w.b = binary.AppendUvarint(w.b, uint64(n)) } //nolint:gosec // lengths
func (w *owedWriter) int(n int64) { w.b = binary.AppendVarint(w.b, n) }

func (w *owedWriter) text(s string) {
	if n := w.texts[s]; n > 0 {
		w.uint(n)
		return
	}
	w.texts[s] = len(w.texts) + 1
	w.uint(0)
	w.uint(len(s))
	w.b = append(w.b, s...)
}

// noTime stands for the zero time, which is no number of nanoseconds.
const noTime = math.MinInt64

func (w *owedWriter) time(t time.Time) {
	if t.IsZero() {
		w.int(noTime)
		return
	}
	n := t.UnixNano()
	w.int(n - w.last)
	w.last = n
}

// decodeOwed reads a body: the sets in the order of their models' names.
func decodeOwed(b []byte) ([]event.Credits, error) {
	if len(b) > 0 && b[0] == '[' {
		var sets []event.Credits
		err := json.Unmarshal(b, &sets, lenient)
		slices.SortFunc(sets, func(a, b event.Credits) int { return cmp.Compare(a.Model, b.Model) })
		return sets, err
	}
	if len(b) == 0 || b[0] != owedForm {
		return nil, errOwed
	}
	r := owedReader{b: b[1:]}
	sets := make([]event.Credits, 0, r.length())
	touches := make([]event.Touchpoint, 0, 8)
	for range cap(sets) {
		var c event.Credits
		c.PixelID, c.EventID, c.Model, c.Version = r.text(), r.text(), r.text(), r.int()
		c.Name, c.VisitorID, c.At, c.ReceivedAt = r.text(), r.text(), r.time(), r.time()
		c.Currency, c.Value, c.Refunded = r.text(), r.int(), r.int()
		c.Shares = make([]event.Share, r.length())
		for j := range c.Shares {
			h := &c.Shares[j]
			h.Weight, h.Value, h.Refunded = r.int(), r.int(), r.int()
			switch n := r.uint(); {
			case n == 0:
				t := &h.Touchpoint
				t.ID, t.PixelID, t.VisitorID, t.EventID, t.At = r.text(), r.text(), r.text(), r.text(), r.time()
				t.Kind, t.Channel, t.Source, t.Campaign, t.Partner = event.TouchKind(r.text()), r.text(), r.text(), r.text(), r.text()
				touches = append(touches, *t)
			case n <= uint64(len(touches)):
				h.Touchpoint = touches[n-1]
			default:
				r.bad = true
			}
			if r.bad {
				return nil, errOwed
			}
		}
		sets = append(sets, c)
	}
	if r.bad || len(r.b) > 0 {
		return nil, errOwed
	}
	return sets, nil
}

type owedReader struct {
	b     []byte
	texts []string
	last  int64
	bad   bool
}

func (r *owedReader) uint() uint64 {
	n, used := binary.Uvarint(r.b)
	if used <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[used:]
	return n
}

func (r *owedReader) int() int64 {
	n, used := binary.Varint(r.b)
	if used <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[used:]
	return n
}

// length is of a list, of which each takes a byte at least.
func (r *owedReader) length() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n) //nolint:gosec // it is at most the body's
}

func (r *owedReader) text() string {
	n := r.uint()
	if n > 0 {
		if n > uint64(len(r.texts)) {
			r.bad = true
			return ""
		}
		return r.texts[n-1]
	}
	size := r.length()
	s := string(r.b[:size])
	r.b = r.b[size:]
	r.texts = append(r.texts, s)
	return s
}

func (r *owedReader) time() time.Time {
	n := r.int()
	if n == noTime {
		return time.Time{}
	}
	r.last += n
	return time.Unix(0, r.last).UTC()
}
