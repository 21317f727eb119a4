// Package consent decides what may be done with an event: whether it is kept,
// what of it is kept, and which partner may have it. It reads the signals that
// the page sent (IAB TCF and GPP, US privacy, Global Privacy Control, Google Consent
// Mode) and applies one decision table, whose row numbers it puts in every
// verdict: R for which law applies, G for GDPR, C for Consent Mode, U for the US,
// D where no law is known to apply, "claim" where the page itself claimed less.
//
// It promises that missing, malformed and unreadable signals never allow more
// than present ones; that of several regimes or sources the strictest counts;
// and that the page's own conclusion is never exceeded. It does no I/O, but for
// Book, which remembers each visitor's newest consent and proves its changes.
package consent

import (
	"time"

	"github.com/miq/pixel/modules/event"
)

// Mode says where a site's consent comes from.
type Mode string

// The modes. One that is none of them is taken for CMP, the strictest.
const (
	CMP     Mode = "cmp"     // IAB TCF, GPP, US privacy
	GCM     Mode = "gcm"     // Google Consent Mode
	Banner  Mode = "banner"  // our own banner, which answers in Consent Mode's terms and with a state
	Implied Mode = "implied" // the site vouches that no opt-in law applies
)

// Site is what the operator of a site chose. The zero value is the most careful
// reading. It is this package's own, so that what people edit (modules/settings)
// may change without changing what is decided.
type Site struct {
	Mode                 Mode
	TrustGDPR0           bool        // believe gdpr=0 from an EEA address
	IgnoreGPCInGDPR      bool        // consent by TCF outweighs GPC
	PartialWithoutSignal bool        // US without any signal: partial instead of full
	LimitedUse           bool        // US partial: partners with a limited-use flag get the event
	Default              event.State // where no regime applies; empty: none, but full for Implied
	// PartnersWithoutVendor are partners outside the IAB's list that the site
	// allowed in writing.
	PartnersWithoutVendor []string
	// PurposeOneFree are countries of publishers (ISO 3166-1 alpha-2) that need
	// no consent to purpose 1 where the CMP did not ask for it.
	PurposeOneFree []string
	// MaxMonths is how old a TC string may be; 0: 13 months.
	MaxMonths int
}

func (s *Site) consentMode() bool { return s.Mode == GCM || s.Mode == Banner }

// Request is what is known when an event comes in.
type Request struct {
	Signals event.Consent
	// HeaderGPC is the request's own Sec-GPC: 1. Whoever stores the signals sets
	// Signals.GPC too, since later decisions have nothing else.
	HeaderGPC bool
	// Country is where the edge or our own look-up places the visitor, ISO 3166-1
	// alpha-2; "" if unknown.
	Country string
	Now     time.Time
}

// Options are the operator's own.
type Options struct {
	// VendorID is the operator's id in the IAB's list; 0: 101.
	VendorID int
	// Vendors replace the built-in declarations of the same ids, and add to them.
	Vendors []Vendor
	// AllowLI believes what vendors declare about legitimate interests. Without
	// it every purpose takes consent, which no outdated declaration can make wrong.
	AllowLI bool
	// CacheBytes bounds the memory for decoded strings; 0: 64 MiB, which is
	// enough for some fourteen thousand TC strings at any time.
	CacheBytes int
}

// Decider applies the decision table. It is safe for concurrent use.
type Decider struct {
	own     Vendor
	vendors map[int]Vendor
	allowLI bool
	tcs     *cache[*TCString]
	gpps    *cache[*GPP]
}

// New makes a Decider.
func New(o Options) *Decider {
	if o.VendorID == 0 {
		o.VendorID = defaultVendor
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	d := &Decider{vendors: map[int]Vendor{}, allowLI: o.AllowLI}
	d.tcs, d.gpps = newCache(o.CacheBytes/2, d.parse), newCache(o.CacheBytes/2, d.parseGPP)
	for _, v := range append(known(), o.Vendors...) {
		if !o.AllowLI {
			v = v.ConsentOnly()
		}
		d.vendors[v.ID] = v
	}
	var listed bool
	if d.own, listed = d.vendors[o.VendorID]; !listed {
		d.own = Vendor{ID: o.VendorID, Name: "us", Consent: ownFull}
	}
	return d
}

// parse decodes a TC string, and finds what it says of ourselves: that is asked with each
// event, and follows from the string.
func (d *Decider) parse(s string) (*TCString, error) {
	tc, err := Parse(s)
	if err == nil {
		tc.own = d.ours(tc, false)
	}
	return tc, err
}

// parseGPP does the same for the TC string in a GPP string.
func (d *Decider) parseGPP(s string) (*GPP, error) {
	g, err := ParseGPP(s)
	if err == nil && g.TCF != nil {
		g.TCF.own = d.ours(g.TCF, false)
	}
	return g, err
}

// vendor is a partner's declarations. One that nobody declared needs consent to
// everything.
func (d *Decider) vendor(id int, name string) Vendor {
	if v, ok := d.vendors[id]; ok {
		return v
	}
	return Vendor{ID: id, Name: name, Consent: every}
}
