package consent

import (
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// Lesser is the permission that allows less; one that is none of the three
// allows nothing.
func Lesser(a, b event.Permission) event.Permission {
	switch min(level(a), level(b)) {
	case 2:
		return event.Allowed
	case 1:
		return event.Measure
	}
	return event.Denied
}

func level(p event.Permission) int {
	switch p {
	case event.Allowed:
		return 2
	case event.Measure:
		return 1
	}
	return 0
}

// Again decides anew from an event's own signals, under what the site says now and
// by the clock of now, and never allows more than the verdict that the event was
// accepted with. Where the visitor was is not kept with an event; the verdict says
// which law that led to.
func (d *Decider) Again(v event.Verdict, signals event.Consent, site Site, now time.Time) event.Verdict {
	c := d.read(signals)
	reg := regimeOf(v, &c)
	f, _ := d.find(reg, &c, &site, now)
	if f.state.Allows(v.State) {
		return v
	}
	place, _, _ := strings.Cut(v.Rule, "/")
	return event.Verdict{
		State: f.state, Regime: reg.name,
		Rule:   place + "/" + f.rule,
		Reason: "Decided again after the event was accepted: " + f.why + ".",
	}
}

// Share says what one partner may do with an event, and why in a sentence.
// Nothing of the verdict is believed but where it places the visitor and that it
// allows no more than it says: the rest is decided anew from the signals. name is
// the partner's, as in routes.
//
// The worker asks when it routes; the dispatcher asks again just before it
// sends, since what a visitor allows may have changed, and takes Lesser of both.
// Permit does that for the event's own signals and the visitor's newest.
func (d *Decider) Share(v event.Verdict, signals event.Consent, name string, needs partner.Needs, site Site, now time.Time) (event.Permission, string) {
	c := d.read(signals)
	reg := regimeOf(v, &c)
	f, tcs := d.find(reg, &c, &site, now)
	if event.Stricter(v.State, f.state) != f.state {
		f.state, f.why = v.State, "the event was accepted for less ("+v.Rule+")"
	}
	switch {
	case f.state == event.Full:
	case f.state == event.Partial && reg.name == regimeUS && site.LimitedUse && needs.LimitedUse:
		return event.Measure, "consent: limited data use, since " + f.why
	default:
		return event.Denied, "consent: " + f.why
	}
	p, why := f.level, f.why
	if reg.name == regimeGDPR {
		p, why = d.underGDPR(tcs, f, name, needs, &site)
	}
	if p == event.Measure && !needs.Measure {
		return event.Denied, "consent: " + why + ", and " + d.vendor(needs.VendorID, name).Name + " cannot be told to measure only"
	}
	return p, "consent: " + why
}

// regimeOf is the regime of a verdict, whose place is not known any more. Signals
// that speak of GDPR outweigh it; a regime that is none is GDPR.
func regimeOf(v event.Verdict, c *reading) regime {
	says := c.GDPRApplies != nil && *c.GDPRApplies || c.GDPRApplies == nil && c.saysTCF()
	if says || v.Regime != regimeUS && v.Regime != regimeDefault {
		return regime{name: regimeGDPR}
	}
	return regime{name: v.Regime, capped: v.Regime == regimeDefault && c.applies(sectionCanada)}
}

// underGDPR is a partner's permission in state full, by every TC string that
// counts; by none where Consent Mode alone decided.
func (d *Decider) underGDPR(tcs tcStrings, f finding, name string, needs partner.Needs, site *Site) (event.Permission, string) {
	v := d.vendor(needs.VendorID, name)
	switch {
	case needs.VendorID == 0 && slices.Contains(site.PartnersWithoutVendor, name):
		return f.level, "the site allowed " + name + " although it is not in the IAB's list"
	case tcs[0] == nil && needs.ConsentMode:
		return f.level, f.why
	case tcs[0] == nil:
		return event.Denied, v.Name + " needs a TC string, and none came"
	case needs.VendorID == 0:
		return event.Denied, name + " is not in the IAB's list, and the site did not allow it"
	}
	p, why := f.level, f.why
	if p == event.Allowed {
		why = "the visitor allowed " + v.Name + " everything that it asks for"
	}
	for _, tc := range tcs {
		if tc == nil {
			break
		}
		if q, less := partnerByString(tc, v, site); Lesser(p, q) != p {
			p, why = q, less
		}
	}
	return p, why
}

// partnerByString is what one TC string allows a partner, and why no more.
func partnerByString(tc *TCString, v Vendor, site *Site) (event.Permission, string) {
	q, free := tc.ask(v), slices.Contains(site.PurposeOneFree, tc.PublisherCC)
	for _, p := range [...]int{1, 7} {
		if g := q.about(p, free); g != granted {
			return event.Denied, sentence(g, v, p)
		}
	}
	for _, p := range [...]int{2, 3, 4} {
		if g := q.about(p, free); g != granted {
			return event.Measure, sentence(g, v, p)
		}
	}
	return event.Allowed, ""
}
