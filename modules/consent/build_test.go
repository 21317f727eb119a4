package consent

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tc is a TC string to write: what a case does not say is as a current CMP would
// have it, with nothing allowed.
type tc struct {
	made         time.Time
	policy       int
	global       bool // not service specific
	consents     Purposes
	li           Purposes
	oneTreatment bool
	cc           string
	vendors      []int // with consent
	liVendors    []int
	undisclosed  bool // without the disclosed vendors segment
	disclosed    []int
	restrictions []limit

	// Instead of vendors, as ranges.
	max    int
	ranges []span
}

type limit struct {
	purpose, kind int
	ranges        []span
}

// writer is the plainest encoder there is: a string of 0 and 1.
type writer struct{ strings.Builder }

func (w *writer) put(n int, v int64) {
	for i := n - 1; i >= 0; i-- {
		w.WriteByte('0' + byte(v>>i&1))
	}
}

func (w *writer) purposes(p Purposes) {
	for i := 1; i <= 24; i++ {
		w.put(1, int64(p>>i&1))
	}
}

func (w *writer) ranges(ranges []span) {
	w.put(12, int64(len(ranges)))
	for _, r := range ranges {
		if r.from == r.to {
			w.put(17, int64(r.from))
			continue
		}
		w.put(1, 1)
		w.put(16, int64(r.from))
		w.put(16, int64(r.to))
	}
}

func (w *writer) vendors(ids []int) {
	last := 0
	in := map[int]bool{}
	for _, id := range ids {
		last, in[id] = max(last, id), true
	}
	w.put(16, int64(last))
	w.put(1, 0)
	for id := 1; id <= last; id++ {
		if in[id] {
			w.put(1, 1)
		} else {
			w.put(1, 0)
		}
	}
}

func (w *writer) segment() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	s := w.String()
	for len(s)%6 != 0 {
		s += "0"
	}
	var out strings.Builder
	for ; s != ""; s = s[6:] {
		v := 0
		for i := range 6 {
			v = v<<1 | int(s[i]-'0')
		}
		out.WriteByte(alphabet[v])
	}
	return out.String()
}

var partners = []int{21, 25, 101, 755, 793}

func build(x tc) string {
	if x.made.IsZero() {
		x.made = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	}
	if x.policy == 0 {
		x.policy = 5
	}
	if x.cc == "" {
		x.cc = "DE"
	}
	if x.disclosed == nil {
		x.disclosed = partners
	}
	ds := x.made.UnixMilli() / 100
	var w writer
	w.put(6, 2)
	w.put(36, ds)
	w.put(36, ds)
	w.put(12, 123)
	w.put(12, 1)
	w.put(6, 1)
	w.put(6, 'E'-'A')
	w.put(6, 'N'-'A')
	w.put(12, 150)
	w.put(6, int64(x.policy))
	if x.global {
		w.put(1, 0)
	} else {
		w.put(1, 1)
	}
	w.put(1, 0)
	w.put(12, 0)
	w.purposes(x.consents)
	w.purposes(x.li)
	if x.oneTreatment {
		w.put(1, 1)
	} else {
		w.put(1, 0)
	}
	w.put(6, int64(x.cc[0]-'A'))
	w.put(6, int64(x.cc[1]-'A'))
	if x.ranges != nil {
		w.put(16, int64(x.max))
		w.put(1, 1)
		w.ranges(x.ranges)
	} else {
		w.vendors(x.vendors)
	}
	w.vendors(x.liVendors)
	w.put(12, int64(len(x.restrictions)))
	for _, l := range x.restrictions {
		w.put(6, int64(l.purpose))
		w.put(2, int64(l.kind))
		w.ranges(l.ranges)
	}
	s := w.segment()
	if !x.undisclosed {
		var d writer
		d.put(3, 1)
		d.vendors(x.disclosed)
		s += "." + d.segment()
	}
	return s
}

func mustParse(t *testing.T, x tc) *TCString {
	t.Helper()
	s, err := Parse(build(x))
	require.NoError(t, err)
	return s
}
