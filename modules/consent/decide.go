package consent

import (
	"slices"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/event"
)

// finding is what a row of the table says. level caps what partners get.
type finding struct {
	state event.State
	rule  string
	why   string
	level event.Permission
}

// stricter is the finding that allows less; of equals the first one.
func stricter(a, b finding) finding {
	f := a
	if a.state != b.state && event.Stricter(a.state, b.state) == b.state {
		f = b
	}
	f.level = Lesser(a.level, b.level)
	return f
}

// Decide says how far the visitor's consent goes.
func (d *Decider) Decide(r Request, site Site) event.Verdict {
	c := d.read(r.Signals)
	c.GPC = c.GPC || r.HeaderGPC
	reg := which(&c, r.Country, &site)
	f, _ := d.find(reg, &c, &site, r.Now)
	return event.Verdict{
		State: f.state, Regime: reg.name,
		Rule:   reg.rule + "/" + f.rule,
		Reason: reg.why + ": " + f.why + ".",
	}
}

// find applies the rows of one regime, and the others' where their signals came
// too. It returns the TC strings that count under GDPR.
func (d *Decider) find(reg regime, c *reading, site *Site, now time.Time) (finding, tcStrings) {
	var f finding
	var tcs tcStrings
	switch reg.name {
	case regimeGDPR:
		f, tcs = d.gdpr(c, site, now)
		if c.signalsUS() {
			f = stricter(f, us(c, site))
		} else if c.unreadable() {
			f = stricter(f, findU6)
		}
	case regimeUS:
		f = us(c, site)
	default:
		f = elsewhere(c, site)
		if reg.capped {
			f = stricter(f, finding{event.Partial, "R7", "its own privacy law is not implemented, so no more than our own analytics", event.Allowed})
		}
	}
	return claimed(f, c, site, reg), tcs
}

// claimed never exceeds what the page concluded by itself. No claim is none; but
// under US law, where silence allows, our own banner has to have said so.
func claimed(f finding, c *reading, site *Site, reg regime) finding {
	claim := c.State
	if claim == "" {
		if site.Mode != Banner || reg.name != regimeUS {
			return f
		}
		return stricter(f, finding{event.None, f.rule + "/claim", "the banner's answer did not come with the event", event.Allowed})
	}
	switch claim {
	case event.Full:
		return f
	case event.Partial:
		return stricter(f, finding{event.Partial, f.rule + "/claim", "the page says that the visitor allowed our own analytics only", event.Allowed})
	}
	return stricter(f, finding{event.None, f.rule + "/claim", "the page says that the visitor refused", event.Allowed})
}

// gdpr applies rows G1 to G7, and C1 to C4 where the site uses Consent Mode.
func (d *Decider) gdpr(c *reading, site *Site, now time.Time) (finding, tcStrings) {
	tcs, why := c.acceptable(site, now)
	var f finding
	switch {
	case tcs[0] == nil && !site.consentMode():
		return finding{event.None, "G1", why, event.Allowed}, tcs
	case tcs[0] == nil:
		f = consentMode(c.GCM)
	default:
		f = d.byString(tcs[0], site)
		if tcs[1] != nil {
			f = stricter(f, d.byString(tcs[1], site))
		}
		if site.consentMode() && c.GCM != (event.ConsentMode{}) {
			f = stricter(f, consentMode(c.GCM))
		}
	}
	if f.state == event.Full && c.GPC && !site.IgnoreGPCInGDPR {
		f = stricter(f, finding{event.Partial, "G6", "the visitor allowed it, but the browser's Global Privacy Control asks not to share", event.Allowed})
	}
	return f, tcs
}

// byString is what a TC string says of ourselves.
func (d *Decider) byString(tc *TCString, site *Site) finding {
	if slices.Contains(site.PurposeOneFree, tc.PublisherCC) {
		return d.ours(tc, true)
	}
	return tc.own
}

// ours applies G2 to G5. The server needs no row for a banner that is still open (G7):
// such a string has no consent bits, which is G2. free says that the publisher's country
// needs no consent to purpose 1.
func (d *Decider) ours(tc *TCString, free bool) finding {
	q := tc.ask(d.own)
	if g := q.about(1, free); g != granted {
		return finding{event.None, "G2", sentence(g, d.own, 1), event.Allowed}
	}
	if g := q.about(7, free); g != granted {
		return finding{event.None, "G3", sentence(g, d.own, 7), event.Allowed}
	}
	for _, p := range [...]int{2, 3, 4, 9, 10} {
		if g := q.about(p, free); g != granted {
			return finding{event.Partial, "G4", sentence(g, d.own, p), event.Allowed}
		}
	}
	return finding{event.Full, "G5", "the visitor allowed everything that we ask for", event.Allowed}
}

// consentMode applies C1 to C4: what was never set is denied.
func consentMode(m event.ConsentMode) finding {
	const yes = "granted"
	switch {
	case m == (event.ConsentMode{}):
		return finding{event.None, "C1", "no Consent Mode signal came (consent.gcm), which this pixel takes its consent from", event.Allowed}
	case m.AnalyticsStorage != yes:
		return finding{event.None, "C1", "Consent Mode does not grant analytics_storage", event.Allowed}
	case m.AdStorage != yes:
		return finding{event.Partial, "C2", "Consent Mode does not grant ad_storage", event.Allowed}
	case m.AdUserData != yes:
		return finding{event.Partial, "C2", "Consent Mode does not grant ad_user_data", event.Allowed}
	case m.AdPersonalization != yes:
		return finding{event.Full, "C2", "Consent Mode grants all but ad_personalization, so partners may only measure", event.Measure}
	}
	return finding{event.Full, "C3", "Consent Mode grants everything", event.Allowed}
}

// refusals are Consent Mode's explicit denials, for a regime in which silence is
// none.
func refusals(m event.ConsentMode) finding {
	for _, v := range [...]*string{&m.AdStorage, &m.AdUserData, &m.AdPersonalization, &m.AnalyticsStorage} {
		if *v == "" {
			*v = "granted"
		}
	}
	return consentMode(m)
}

// elsewhere applies D1, or Consent Mode where the site uses it. Opt-outs count
// under any law.
func elsewhere(c *reading, site *Site) finding {
	var f finding
	switch {
	case site.consentMode():
		f = consentMode(c.GCM)
	case site.Default == event.Full || site.Default == "" && site.Mode == Implied:
		f = finding{event.Full, "D1", "the site allows everything there", event.Allowed}
	case site.Default == event.Partial:
		f = finding{event.Partial, "D1", "the site allows our own analytics there", event.Allowed}
	default:
		f = finding{event.None, "D1", "the site allows nothing there", event.Allowed}
	}
	if opt := c.optOuts(); opt.rule != "" {
		f = stricter(f, opt)
	}
	return f
}

// sentence says a ground to people.
func sentence(g ground, v Vendor, purpose int) string {
	p := "purpose " + strconv.Itoa(purpose)
	id := " (vendor " + strconv.Itoa(v.ID) + ")"
	switch g {
	case undeclared:
		return v.Name + id + " does not ask for " + p
	case undisclosed:
		return "the visitor was not shown " + v.Name + id
	case restricted:
		return "the site does not let " + v.Name + id + " use " + p
	case notAsked:
		return "the visitor was not asked about " + p
	case vendorRefused:
		return "the visitor did not allow " + v.Name + id
	}
	return "the visitor did not allow " + v.Name + " " + p
}
