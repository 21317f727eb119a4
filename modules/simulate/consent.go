package simulate

import (
	"time"

	"github.com/miq/pixel/modules/event"
)

// consentOf is what the visitor said in the shop's banner, as a consent platform tells it.
// Most agree, some to statistics alone, some to nothing; a few send the browser's signal
// instead of clicking. A robot says nothing.
func consentOf(v *visit, s Shop, now time.Time) event.Consent {
	yes, no := true, false
	said := number(v.visitor, 10) % 100
	if s.Country == "US" {
		c := event.Consent{GDPRApplies: &no, USPrivacy: "1YNN"}
		switch {
		case v.robot != "":
		case said < 6:
			c.USPrivacy = "1YYN"
		case said < 10:
			c.GPC = true
		}
		return c
	}
	c := event.Consent{GDPRApplies: &yes}
	if v.robot != "" {
		return c
	}
	// It was asked some weeks ago; a platform keeps the string's time by the day.
	made := now.Truncate(24*time.Hour).AddDate(0, 0, -int(number(v.visitor, 11)%60))
	switch {
	case said < 64:
		c.TCF = TCString(made, 0xffc000)
	case said < 78:
		c.TCF = TCString(made, 1<<23|1<<17) // 1 and 7
	default:
		c.TCF = TCString(made, 0)
	}
	return c
}

// TCString is a string of the Transparency and Consent Framework as platforms make them,
// with some of 24 purposes, the first in the highest bit, for two thirds of 800 vendors
// and all that we send to.
func TCString(made time.Time, purposes uint64) string {
	ds := uint64(made.UnixMilli() / 100)
	var core bits
	core.put(6, 2)
	core.put(36, ds)
	core.put(36, ds)
	core.put(12, 123)
	core.put(12, 1)
	core.put(6, 0)
	core.put(12, 4<<6|13) // EN
	core.put(12, 200)
	core.put(6, 5)
	core.put(2, 2) // specific to the site
	core.put(12, 0)
	core.put(24, purposes)
	core.put(24, 0)
	core.put(1, 0)
	core.put(12, 6<<6|1) // GB
	core.vendors(purposes != 0)
	core.put(17, 0) // nobody by legitimate interest
	core.put(12, 0)
	disclosed := bits{}
	disclosed.put(3, 1)
	disclosed.vendors(true)
	return core.String() + "." + disclosed.String()
}

// bits are written from the left.
type bits struct {
	b []byte
	n int
}

func (w *bits) put(size int, v uint64) {
	for i := size - 1; i >= 0; i-- {
		if w.n%6 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[len(w.b)-1] |= byte(v>>i&1) << (5 - w.n%6)
		w.n++
	}
}

func (w *bits) vendors(any bool) {
	w.put(16, 800)
	w.put(1, 0)
	for id := 1; id <= 800; id++ {
		var in uint64
		switch {
		case !any:
		case id%3 > 0, id == 21, id == 101, id == 755, id == 25, id == 793:
			in = 1
		}
		w.put(1, in)
	}
}

func (w *bits) String() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	out := make([]byte, len(w.b))
	for i, c := range w.b {
		out[i] = alphabet[c]
	}
	return string(out)
}
