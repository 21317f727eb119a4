package consent

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

var (
	google = partner.Needs{VendorID: 755, Measure: true, ConsentMode: true, LimitedUse: true}
	ttd    = partner.Needs{VendorID: 21, LimitedUse: true}
	yahoo  = partner.Needs{VendorID: 25}
	amazon = partner.Needs{VendorID: 793, Measure: true, ConsentMode: true}
	acme   = partner.Needs{}
)

func TestWhatAPartnerMayHave(t *testing.T) {
	str := func(x tc) event.Consent { return event.Consent{GDPRApplies: yes, TCF: build(x)} }
	// Everybody has everything but for what a case takes from one vendor.
	forbid := func(vendor uint16, purposes ...int) event.Consent {
		x := tc{consents: every, vendors: partners}
		for _, p := range purposes {
			x.restrictions = append(x.restrictions, limit{p, 0, []span{{vendor, vendor}}})
		}
		return str(x)
	}
	mode := func(m event.ConsentMode) event.Consent { return event.Consent{GDPRApplies: yes, GCM: m} }
	gcmSite := Site{Mode: GCM}
	granted := gcm("+", "+", "+", "+")
	measure := gcm("+", "+", "-", "+")

	for _, c := range []struct {
		name   string
		c      event.Consent
		geo    string
		site   Site
		who    string
		needs  partner.Needs
		want   event.Permission
		reason string
	}{
		{"GDPR: everything", forbid(0), "", Site{}, "ttd", ttd, event.Allowed, "consent: the visitor allowed The Trade Desk everything that it asks for"},
		{"GDPR: 4 is missing, and it can only measure", forbid(755, 4), "", Site{}, "dv360", google, event.Measure, "consent: the site does not let Google (vendor 755) use purpose 4"},
		{"GDPR: 2 is missing, and it can only measure", forbid(793, 2), "", Site{}, "amazon", amazon, event.Measure, "consent: the site does not let Amazon (vendor 793) use purpose 2"},
		{"GDPR: 3 is missing, and it cannot say so", forbid(21, 3), "", Site{}, "ttd", ttd, event.Denied, "consent: the site does not let The Trade Desk (vendor 21) use purpose 3, and The Trade Desk cannot be told to measure only"},
		{"GDPR: 1 is missing", forbid(755, 1), "", Site{}, "dv360", google, event.Denied, "consent: the site does not let Google (vendor 755) use purpose 1"},
		{"GDPR: 7 is missing", forbid(755, 7), "", Site{}, "dv360", google, event.Denied, "consent: the site does not let Google (vendor 755) use purpose 7"},
		{"GDPR: 9 is nothing to a partner", forbid(755, 9), "", Site{}, "dv360", google, event.Allowed, "consent: the visitor allowed Google everything that it asks for"},
		{"GDPR: not disclosed", str(tc{consents: every, vendors: partners, disclosed: []int{101, 755}}), "", Site{}, "ttd", ttd, event.Denied, "consent: the visitor was not shown The Trade Desk (vendor 21)"},
		{"GDPR: deselected", str(tc{consents: every, vendors: []int{101, 755}}), "", Site{}, "yahoo", yahoo, event.Denied, "consent: the visitor did not allow Yahoo (vendor 25)"},
		{"GDPR: a partner that nobody declared needs consent", str(tc{consents: every, vendors: []int{101, 900}, disclosed: []int{101, 900}}), "", Site{}, "fifth", partner.Needs{VendorID: 900}, event.Allowed, "consent: the visitor allowed fifth everything that it asks for"},
		{"GDPR: state partial", event.Consent{GDPRApplies: yes, TCF: without(4)}, "", Site{}, "ttd", ttd, event.Denied, "consent: the visitor did not allow MiQ purpose 4"},
		{"GDPR: state none", event.Consent{GDPRApplies: yes, TCF: refuseAll}, "", Site{}, "dv360", google, event.Denied, "consent: the visitor did not allow MiQ purpose 1"},
		{"GDPR: limited use is of the US", event.Consent{GDPRApplies: yes, TCF: without(4), USPrivacy: "1YYN"}, "", Site{LimitedUse: true}, "ttd", ttd, event.Denied, "consent: the visitor did not allow MiQ purpose 4"},
		{"GDPR: no vendor id", forbid(0), "", Site{}, "acme", acme, event.Denied, "consent: acme is not in the IAB's list, and the site did not allow it"},
		{"GDPR: no vendor id, but the site's word", forbid(0), "", Site{PartnersWithoutVendor: []string{"acme"}}, "acme", acme, event.Allowed, "consent: the site allowed acme although it is not in the IAB's list"},
		{"GDPR: the site's word is for that partner alone", forbid(0), "", Site{PartnersWithoutVendor: []string{"acme"}}, "other", acme, event.Denied, "consent: other is not in the IAB's list, and the site did not allow it"},
		{"GDPR: nor for one with a vendor id", forbid(21, 1), "", Site{PartnersWithoutVendor: []string{"ttd"}}, "ttd", ttd, event.Denied, "consent: the site does not let The Trade Desk (vendor 21) use purpose 1"},
		{"GDPR: and not for a visitor who refused", event.Consent{GDPRApplies: yes, TCF: refuseAll}, "", Site{PartnersWithoutVendor: []string{"acme"}}, "acme", acme, event.Denied, "consent: the visitor did not allow MiQ purpose 1"},

		{"Consent Mode C3: Google", mode(granted), "", gcmSite, "dv360", google, event.Allowed, "consent: Consent Mode grants everything"},
		{"Consent Mode C3: Amazon", mode(granted), "", gcmSite, "amazon", amazon, event.Allowed, "consent: Consent Mode grants everything"},
		{"Consent Mode C3: The Trade Desk needs a string", mode(granted), "", gcmSite, "ttd", ttd, event.Denied, "consent: The Trade Desk needs a TC string, and none came"},
		{"Consent Mode C3: so does Yahoo", mode(granted), "", gcmSite, "yahoo", yahoo, event.Denied, "consent: Yahoo needs a TC string, and none came"},
		{"Consent Mode C2: Google measures", mode(measure), "", gcmSite, "dv360", google, event.Measure, "consent: Consent Mode grants all but ad_personalization, so partners may only measure"},
		{"Consent Mode C2: denied ads", mode(gcm("-", "+", "+", "+")), "", gcmSite, "dv360", google, event.Denied, "consent: Consent Mode does not grant ad_storage"},
		{"Consent Mode and a string: the lower level", event.Consent{GDPRApplies: yes, TCF: acceptAll, GCM: measure}, "", gcmSite, "dv360", google, event.Measure, "consent: the visitor allowed everything that we ask for"},
		{"Consent Mode and a string: The Trade Desk has it", event.Consent{GDPRApplies: yes, TCF: acceptAll, GCM: granted}, "", gcmSite, "ttd", ttd, event.Allowed, "consent: the visitor allowed The Trade Desk everything that it asks for"},

		{"US: full", event.Consent{USPrivacy: "1YNN"}, "US", Site{}, "ttd", ttd, event.Allowed, "consent: the visitor was told of the right to opt out, and did not"},
		{"US: full needs no vendor id", event.Consent{}, "US", Site{}, "acme", acme, event.Allowed, "consent: the visitor did not opt out"},
		{"US: opted out", event.Consent{USPrivacy: "1YYN"}, "US", Site{}, "ttd", ttd, event.Denied, "consent: the visitor opted out of sale (us_privacy)"},
		{"US: opted out, limited use", event.Consent{USPrivacy: "1YYN"}, "US", Site{LimitedUse: true}, "ttd", ttd, event.Measure, "consent: limited data use, since the visitor opted out of sale (us_privacy)"},
		{"US: limited use needs the partner's flag", event.Consent{USPrivacy: "1YYN"}, "US", Site{LimitedUse: true}, "yahoo", yahoo, event.Denied, "consent: the visitor opted out of sale (us_privacy)"},
		{"US: limited use is not for none", event.Consent{State: event.None}, "US", Site{LimitedUse: true}, "ttd", ttd, event.Denied, "consent: the page says that the visitor refused"},

		{"default: full", event.Consent{}, "BR", Site{Default: event.Full}, "yahoo", yahoo, event.Allowed, "consent: the site allows everything there"},
		{"default: partial", event.Consent{}, "BR", Site{Default: event.Partial}, "yahoo", yahoo, event.Denied, "consent: the site allows our own analytics there"},
		{"default: none", event.Consent{}, "BR", Site{}, "yahoo", yahoo, event.Denied, "consent: the site allows nothing there"},
		{"default by Consent Mode C3: everybody", event.Consent{GCM: granted}, "BR", gcmSite, "ttd", ttd, event.Allowed, "consent: Consent Mode grants everything"},
		{"default by Consent Mode C2: who can only measure", event.Consent{GCM: measure}, "BR", gcmSite, "ttd", ttd, event.Denied, "consent: Consent Mode grants all but ad_personalization, so partners may only measure, and The Trade Desk cannot be told to measure only"},
		{"implied", event.Consent{}, "", Site{Mode: Implied}, "ttd", ttd, event.Allowed, "consent: the site allows everything there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New(Options{})
			v := d.Decide(Request{Signals: c.c, Country: c.geo, Now: now}, c.site)
			got, reason := d.Share(v, c.c, c.who, c.needs, c.site, now)
			assert.Equal(t, c.want, got, reason)
			assert.Equal(t, c.reason, reason)
		})
	}
}

func TestAVerdictIsNotBelievedBeyondItsSignals(t *testing.T) {
	d := New(Options{})
	for name, c := range map[string]struct {
		v    event.Verdict
		c    event.Consent
		want event.Permission
	}{
		"as it was":                           {event.Verdict{State: event.Full, Regime: "gdpr"}, event.Consent{TCF: acceptAll}, event.Allowed},
		"full, but the string refuses":        {event.Verdict{State: event.Full, Regime: "gdpr"}, event.Consent{TCF: refuseAll}, event.Denied},
		"full by US law, but GDPR applies":    {event.Verdict{State: event.Full, Regime: "us"}, event.Consent{GDPRApplies: yes}, event.Denied},
		"full by default, but a string came":  {event.Verdict{State: event.Full, Regime: "default"}, event.Consent{TCF: refuseAll}, event.Denied},
		"full, no regime":                     {event.Verdict{State: event.Full}, event.Consent{}, event.Denied},
		"the event was accepted for less":     {event.Verdict{State: event.Partial, Regime: "gdpr", Rule: "R1/G6"}, event.Consent{TCF: acceptAll}, event.Denied},
		"a state that is none":                {event.Verdict{State: "FULL", Regime: "gdpr"}, event.Consent{TCF: acceptAll}, event.Denied},
		"no verdict":                          {event.Verdict{}, event.Consent{TCF: acceptAll}, event.Denied},
		"the string has become too old since": {event.Verdict{State: event.Full, Regime: "gdpr"}, event.Consent{TCF: old}, event.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason := d.Share(c.v, c.c, "ttd", ttd, Site{Default: event.Full}, now)
			assert.Equal(t, c.want, got, reason)
		})
	}
}

func TestDecidingAgainNeverAllowsMore(t *testing.T) {
	d := New(Options{})
	gdpr := event.Verdict{State: event.Full, Regime: "gdpr", Rule: "R4/G5", Reason: "as it was"}
	for name, c := range map[string]struct {
		v    event.Verdict
		c    event.Consent
		site Site
		want event.State
		rule string
	}{
		"nothing changed":               {gdpr, event.Consent{TCF: acceptAll}, Site{}, event.Full, "R4/G5"},
		"GPC was stored with it":        {gdpr, event.Consent{TCF: acceptAll, GPC: true}, Site{}, event.Partial, "R4/G6"},
		"the site's default was lower":  {event.Verdict{State: event.Full, Regime: "default", Rule: "R7/D1"}, event.Consent{}, Site{Default: event.Partial}, event.Partial, "R7/D1"},
		"the site's default was higher": {event.Verdict{State: event.Partial, Regime: "default", Rule: "R7/D1"}, event.Consent{}, Site{Default: event.Full}, event.Partial, "R7/D1"},
		"a US event stays one":          {event.Verdict{State: event.Full, Regime: "us", Rule: "R5/U8"}, event.Consent{}, Site{}, event.Full, "R5/U8"},
		"the site became careful":       {event.Verdict{State: event.Full, Regime: "us", Rule: "R5/U8"}, event.Consent{}, Site{PartialWithoutSignal: true}, event.Partial, "R5/U8"},
		"nothing was allowed":           {event.Verdict{State: event.None, Regime: "gdpr", Rule: "R1/G1"}, event.Consent{TCF: acceptAll}, Site{}, event.None, "R1/G1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := d.Again(c.v, c.c, c.site, now)
			assert.Equal(t, c.want, got.State)
			assert.Equal(t, c.rule, got.Rule)
		})
	}
	// The clock goes on while an event waits.
	late := d.Again(gdpr, event.Consent{TCF: acceptAll}, Site{}, now.AddDate(2, 0, 0))
	assert.Equal(t, event.None, late.State)
	assert.Equal(t, "R4/G1", late.Rule)
}

func TestLesser(t *testing.T) {
	for _, c := range []struct{ a, b, want event.Permission }{
		{event.Allowed, event.Allowed, event.Allowed},
		{event.Allowed, event.Measure, event.Measure},
		{event.Measure, event.Denied, event.Denied},
		{event.Allowed, "", event.Denied},
		{"FULL", event.Allowed, event.Denied},
	} {
		assert.Equal(t, c.want, Lesser(c.a, c.b), "%s %s", c.a, c.b)
		assert.Equal(t, c.want, Lesser(c.b, c.a), "%s %s", c.b, c.a)
	}
}

func BenchmarkShare(b *testing.B) {
	d := New(Options{})
	c := event.Consent{GDPRApplies: yes, TCF: acceptAll, State: event.Full}
	v := d.Decide(Request{Signals: c, Now: now}, Site{})
	b.ReportAllocs()
	for b.Loop() {
		d.Share(v, c, "ttd", ttd, Site{}, now)
	}
}
