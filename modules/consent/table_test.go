package consent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// The rows of the decision table, as they are numbered there.
var (
	regimeRows = strings.Fields("R1 R2 R3 R4 R5 R6 R7")
	stateRows  = strings.Fields("G1 G2 G3 G4 G5 G6 G7 C1 C2 C3 C4 U1 U2 U3 U4 U5 U6 U7 U8 D1")
)

// dated is a string that was updated on another day of November.
func dated(s string, day int) string {
	x := tc{made: time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC)}
	switch s {
	case acceptAll:
		x.consents, x.vendors = every, partners
	case analytics:
		x.consents, x.vendors = PurposesOf(1, 7, 8, 9, 10), partners
	}
	return build(x)
}

func gppOf(id int, section string) event.Consent {
	return event.Consent{GPP: buildGPP(map[int]string{id: section}), GPPSID: []int{id}}
}

func without1(c event.Consent) event.Consent { c.GPPSID = nil; return c }

// TestEachRowOfTheRegimeTable holds the table's part on which law applies.
func TestEachRowOfTheRegimeTable(t *testing.T) {
	full := Site{Default: event.Full}
	section2 := gppOf(2, acceptAll)
	nat := gppOf(7, usSection(7, nil, Off))
	rows := []row{
		{name: "R1 gdpr=1", c: event.Consent{GDPRApplies: yes, TCF: acceptAll}, geo: "US", state: event.Full, rule: "R1/G5"},
		{name: "R2 gdpr absent and a TC string", c: event.Consent{TCF: acceptAll}, geo: "US", state: event.Full, rule: "R2/G5"},
		{name: "R2 gdpr absent and GPP section 2 in gpp_sid", c: section2, geo: "US", state: event.Full, rule: "R2/G5"},
		{name: "R2 gdpr absent and GPP section 2, where gpp_sid does not tell", c: without1(section2), geo: "US", state: event.Full, rule: "R2/G5"},
		{name: "R2 not where gpp_sid leaves section 2 out", c: event.Consent{GPP: buildGPP(map[int]string{2: refuseAll, 7: usSection(7, nil, Off)}), GPPSID: []int{7}}, geo: "US", state: event.Full, rule: "R5/U7"},
		{name: "R3 gdpr=0 from the EEA, not trusted", c: event.Consent{GDPRApplies: no, TCF: acceptAll}, geo: "IT", state: event.Full, rule: "R3/G5"},
		{name: "R4 gdpr absent from the EEA, before US signals", c: nat, geo: "IT", site: full, state: event.None, rule: "R4/G1"},
		{name: "R5 gpp_sid 7", c: nat, geo: "BR", state: event.Full, rule: "R5/U7"},
		{name: "R5 us_privacy other than 1---", c: event.Consent{USPrivacy: "1YNN"}, geo: "BR", state: event.Full, rule: "R5/U7"},
		{name: "R5 geo is the US", geo: "US", state: event.Full, rule: "R5/U8"},
		{name: "R6 gdpr absent and geo unknown", site: full, state: event.None, rule: "R6/G1"},
		{name: "R6 a GPP string without gpp_sid does not place the visitor", c: without1(nat), site: full, state: event.None, rule: "R6/G1"},
		{name: "R7 otherwise", geo: "BR", state: event.None, rule: "R7/D1"},
	}
	run(t, rows)
	assert.Equal(t, regimeRows, names(rows))
}

// TestEachRowOfTheStateTable holds the table's part on how far consent goes, row by
// row, with every form that a signal takes.
func TestEachRowOfTheStateTable(t *testing.T) {
	gdpr := func(s string) event.Consent { return event.Consent{GDPRApplies: yes, TCF: s} }
	mode := func(m event.ConsentMode) event.Consent { return event.Consent{GDPRApplies: yes, GCM: m} }
	site := Site{Mode: GCM}
	both := func(tcf, section2 string) event.Consent {
		return event.Consent{GDPRApplies: yes, TCF: tcf, GPP: buildGPP(map[int]string{2: section2}), GPPSID: []int{2}}
	}
	clean := usSection(7, nil, Off)
	rows := []row{
		{name: "G1 no string", c: gdpr(""), state: event.None, rule: "R1/G1"},
		{name: "G1 not acceptable", c: gdpr(old), state: event.None, rule: "R1/G1"},
		{name: "G1 gpp_sid names a TC string that is not there", c: event.Consent{GDPRApplies: yes, GPP: buildGPP(map[int]string{7: clean}), GPPSID: []int{2}}, state: event.None, rule: "R1/G1"},
		{name: "G1 section 2 is there but not in force", c: event.Consent{GDPRApplies: yes, GPP: buildGPP(map[int]string{2: acceptAll, 7: clean}), GPPSID: []int{7}}, state: event.None, rule: "R1/G1"},
		{name: "G1 the later of two is not acceptable", c: both(acceptAll, build(tc{consents: every, vendors: partners, undisclosed: true, made: now})), state: event.None, rule: "R1/G1"},
		{name: "G1 tcf cannot be read, whatever section 2 says", c: both("garbage", acceptAll), state: event.None, rule: "R1/G1"},
		{name: "G2 own(1) false", c: gdpr(noStore), state: event.None, rule: "R1/G2"},
		{name: "G2 in section 2", c: both("", noStore), state: event.None, rule: "R1/G2"},
		{name: "G2 the later of two refuses: section 2", c: both(dated(acceptAll, 3), dated(refuseAll, 4)), state: event.None, rule: "R1/G2"},
		{name: "G2 the later of two refuses: tcf", c: both(dated(refuseAll, 4), dated(acceptAll, 3)), state: event.None, rule: "R1/G2"},
		{name: "G2 of one day, the intersection", c: both(acceptAll, refuseAll), state: event.None, rule: "R1/G2"},
		{name: "G3 own(7) false", c: gdpr(onlyStore), state: event.None, rule: "R1/G3"},
		{name: "G4 own(2) false", c: gdpr(without(2)), state: event.Partial, rule: "R1/G4"},
		{name: "G4 own(3) false", c: gdpr(without(3)), state: event.Partial, rule: "R1/G4"},
		{name: "G4 own(4) false", c: gdpr(without(4)), state: event.Partial, rule: "R1/G4"},
		{name: "G4 own(9) false", c: gdpr(without(9)), state: event.Partial, rule: "R1/G4"},
		{name: "G4 own(10) false", c: gdpr(without(10)), state: event.Partial, rule: "R1/G4"},
		{name: "G4 of one day, the intersection", c: both(without(2), without(3)), state: event.Partial, rule: "R1/G4"},
		{name: "G5 all true", c: gdpr(acceptAll), state: event.Full, rule: "R1/G5"},
		{name: "G5 in section 2", c: both("", acceptAll), state: event.Full, rule: "R1/G5"},
		{name: "G5 in both", c: both(acceptAll, acceptAll), state: event.Full, rule: "R1/G5"},
		{name: "G5 the later of two allows: section 2", c: both(dated(refuseAll, 3), dated(acceptAll, 4)), state: event.Full, rule: "R1/G5"},
		{name: "G5 the later of two allows: tcf", c: both(dated(acceptAll, 4), dated(refuseAll, 3)), state: event.Full, rule: "R1/G5"},
		{name: "G5 with US sections that refuse nothing", c: event.Consent{GDPRApplies: yes, TCF: acceptAll, GPP: buildGPP(map[int]string{7: clean}), GPPSID: []int{7}}, state: event.Full, rule: "R1/G5"},
		{name: "G5 with US sections that are not in force", c: event.Consent{GDPRApplies: yes, TCF: acceptAll, GPP: buildGPP(map[int]string{7: us1(7, SaleOptOut, 1)}), GPPSID: []int{-1}}, state: event.Full, rule: "R1/G5"},
		{name: "G6 and GPC", c: gdpr(acceptAll), header: true, state: event.Partial, rule: "R1/G6"},
		{name: "G6 and GPC in a US section", c: event.Consent{GDPRApplies: yes, TCF: acceptAll, GPP: buildGPP(map[int]string{7: usSection(7, nil, On)}), GPPSID: []int{-1}}, state: event.Partial, rule: "R1/G6"},
		{name: "G7 the banner is open for the first time", c: gdpr(bannerOpen), state: event.None, rule: "R1/G2"},

		{name: "C1 analytics_storage denied", c: mode(gcm("+", "+", "+", "-")), site: site, state: event.None, rule: "R1/C1"},
		{name: "C2 ad_storage denied", c: mode(gcm("-", "+", "+", "+")), site: site, state: event.Partial, rule: "R1/C2"},
		{name: "C2 ad_user_data denied", c: mode(gcm("+", "-", "+", "+")), site: site, state: event.Partial, rule: "R1/C2"},
		{name: "C2 only ad_personalization denied", c: mode(gcm("+", "+", "-", "+")), site: site, state: event.Full, rule: "R1/C2", explain: "only measure"},
		{name: "C3 all granted", c: mode(gcm("+", "+", "+", "+")), site: site, state: event.Full, rule: "R1/C3"},
		{name: "C3 elsewhere", c: event.Consent{GCM: gcm("+", "+", "+", "+")}, geo: "BR", site: site, state: event.Full, rule: "R7/C3"},
		{name: "C4 never set", c: mode(event.ConsentMode{}), site: site, state: event.None, rule: "R1/C1"},
		{name: "C4 one never set", c: mode(gcm("+", "", "+", "+")), site: site, state: event.Partial, rule: "R1/C2"},

		{name: "U1 Sec-GPC", geo: "US", header: true, state: event.Partial, rule: "R5/U1"},
		{name: "U1 gpc", c: event.Consent{GPC: true}, geo: "US", state: event.Partial, rule: "R5/U1"},
		{name: "U1 Gpc in any US section, in force or not", c: event.Consent{GPP: buildGPP(map[int]string{7: clean, 8: usSection(8, nil, On)}), GPPSID: []int{7}}, geo: "US", state: event.Partial, rule: "R5/U1"},
		{name: "U1 not where the section says off", c: gppOf(7, clean), geo: "US", state: event.Full, rule: "R5/U7"},
		{name: "U2 us_privacy", c: event.Consent{USPrivacy: "1YYN"}, state: event.Partial, rule: "R5/U2"},
		{name: "U2 section 6", c: gppOf(6, "1YYN"), state: event.Partial, rule: "R5/U2", explain: "uspv1"},
		{name: "U2 in a section in force of two", c: event.Consent{GPP: buildGPP(map[int]string{7: clean, 8: us1(8, SharingOptOut, 1)}), GPPSID: []int{7, 8}}, state: event.Partial, rule: "R5/U2", explain: "usca"},
		{name: "U2 not in one that is not in force", c: event.Consent{GPP: buildGPP(map[int]string{7: clean, 8: us1(8, SharingOptOut, 1)}), GPPSID: []int{7}}, state: event.Full, rule: "R5/U7"},
		{name: "U2 every section counts where gpp_sid is absent", c: event.Consent{GPP: buildGPP(map[int]string{7: clean, 8: us1(8, SharingOptOut, 1)})}, geo: "US", state: event.Partial, rule: "R5/U2"},
		{name: "U2 and where it is 0", c: event.Consent{GPP: buildGPP(map[int]string{8: us1(8, SaleOptOut, 1)}), GPPSID: []int{0}}, geo: "US", state: event.Partial, rule: "R5/U2"},
		{name: "U2 3 is undefined, and so the stricter", c: gppOf(7, us1(7, SaleOptOut, 3)), state: event.Partial, rule: "R5/U2"},
		{name: "U2 us_privacy says no, the section yes", c: event.Consent{USPrivacy: "1YNN", GPP: buildGPP(map[int]string{7: us1(7, SaleOptOut, 1)}), GPPSID: []int{7}}, state: event.Partial, rule: "R5/U2"},
		{name: "U3 us_privacy", c: event.Consent{USPrivacy: "1NNN"}, state: event.Partial, rule: "R5/U3"},
		{name: "U3 a sale notice not given", c: gppOf(7, us1(7, SaleOptOutNotice, 2)), state: event.Partial, rule: "R5/U3", explain: "usnat"},
		{name: "U3 a sharing notice not given", c: gppOf(8, us1(8, SharingOptOutNotice, 2)), state: event.Partial, rule: "R5/U3"},
		{name: "U3 a targeted advertising notice not given", c: gppOf(9, us1(9, TargetedAdvertisingOptOutNotice, 2)), state: event.Partial, rule: "R5/U3"},
		{name: "U3 not where the notice does not apply", c: gppOf(9, us1(9, TargetedAdvertisingOptOutNotice, 0)), state: event.Full, rule: "R5/U7"},
		{name: "U4 a known child", c: gppOf(7, us1(7, KnownChildSensitiveDataConsents, 2, 2, 1)), state: event.None, rule: "R5/U4", explain: "usnat"},
		{name: "U4 outweighs GPC", c: gppOf(8, usSection(8, choices{KnownChildSensitiveDataConsents: {1}}, On)), state: event.None, rule: "R5/U4"},
		{name: "U4 under GDPR too", c: event.Consent{GDPRApplies: yes, TCF: acceptAll, GPP: buildGPP(map[int]string{7: us1(7, KnownChildSensitiveDataConsents, 1)}), GPPSID: []int{7}}, state: event.None, rule: "R1/U4"},
		{name: "U5 service provider mode", c: gppOf(7, us1(7, MspaServiceProviderMode, 1)), state: event.Partial, rule: "R5/U5"},
		{name: "U6 malformed", c: event.Consent{GPP: "DBABLA~x", GPPSID: []int{7}}, state: event.Partial, rule: "R5/U6"},
		{name: "U6 only sections 24 to 27", c: gppOf(26, "BAAA"), state: event.Partial, rule: "R5/U6", explain: "told apart"},
		{name: "U6 not where another is read", c: event.Consent{GPP: buildGPP(map[int]string{7: clean, 24: "BAAA"}), GPPSID: []int{7, 24}}, state: event.Full, rule: "R5/U7"},
		{name: "U6 us_privacy does not make up for it", c: event.Consent{USPrivacy: "1YNN", GPP: buildGPP(map[int]string{24: "BAAA"}), GPPSID: []int{24}}, state: event.Partial, rule: "R5/U6"},
		{name: "U6 a section in force that is not there", c: event.Consent{GPP: buildGPP(map[int]string{7: clean}), GPPSID: []int{7, 8}}, state: event.Partial, rule: "R5/U6"},
		{name: "U7 readable, none of the above", c: gppOf(7, clean), state: event.Full, rule: "R5/U7"},
		{name: "U7 sensitive data does not change the state", c: gppOf(7, us1(7, SensitiveDataProcessing, 2, 2, 1)), state: event.Full, rule: "R5/U7"},
		{name: "U8 no signal", geo: "US", state: event.Full, rule: "R5/U8"},
		{name: "U8 gpp_sid -1: none is in force", c: event.Consent{GPP: buildGPP(map[int]string{7: us1(7, SaleOptOut, 1)}), GPPSID: []int{-1}}, geo: "US", state: event.Full, rule: "R5/U8"},
		{name: "U8 careful site", geo: "US", site: Site{PartialWithoutSignal: true}, state: event.Partial, rule: "R5/U8"},
		{name: "D1 as configured", geo: "BR", site: Site{Default: event.Full}, state: event.Full, rule: "R7/D1"},
		{name: "D1 none if not", geo: "BR", state: event.None, rule: "R7/D1"},
		{name: "D1 Canada's section caps it", c: without1(gppOf(5, "BAAA")), geo: "BR", site: Site{Default: event.Full}, state: event.Partial, rule: "R7/R7"},
		{name: "D1 an opt-out counts anywhere", c: without1(gppOf(7, us1(7, SaleOptOut, 1))), geo: "BR", site: Site{Default: event.Full}, state: event.Partial, rule: "R7/U2"},
	}
	run(t, rows)
	assert.Equal(t, stateRows, names(rows))
}

// names are the rows' numbers, in the order they come in.
func names(rows []row) []string {
	var out []string
	for _, r := range rows {
		n, _, _ := strings.Cut(r.name, " ")
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// TestEveryStatesRefusalsCount goes through all sections with all refusals.
func TestEveryStatesRefusalsCount(t *testing.T) {
	var rows []row
	for id := 7; id <= lastReadableUS; id++ {
		var probe USSection
		if err := probe.read(id, usSection(id, nil, Unknown)); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row{name: probe.Prefix() + " clean", c: gppOf(id, usSection(id, nil, Unknown)), state: event.Full, rule: "R5/U7"})
		for _, f := range probe.Fields() {
			for i := range probe.Values(f) {
				v := make([]uint8, len(probe.Values(f)))
				for j := range v {
					v[j] = 2
				}
				v[i] = 1
				want, rule := event.Full, "R5/U7"
				switch f {
				case SaleOptOut, SharingOptOut, TargetedAdvertisingOptOut:
					want, rule = event.Partial, "R5/U2"
				case KnownChildSensitiveDataConsents:
					want, rule = event.None, "R5/U4"
				case MspaServiceProviderMode:
					want, rule = event.Partial, "R5/U5"
				case SharingNotice, SaleOptOutNotice, SharingOptOutNotice, TargetedAdvertisingOptOutNotice:
					v[i] = 2
					want, rule = event.Partial, "R5/U3"
				}
				rows = append(rows, row{name: probe.Prefix() + " " + string(f), c: gppOf(id, us1(id, f, v...)), state: want, rule: rule})
			}
		}
	}
	run(t, rows)
}

// TestEachRowOfThePartnerTable holds the table's part on partners, under GPP and TCF.
func TestEachRowOfThePartnerTable(t *testing.T) {
	lessTTD := build(tc{consents: every, vendors: []int{101, 755, 793, 25}})
	optedOut := gppOf(7, us1(7, SaleOptOut, 1))
	for _, c := range []struct {
		row   string
		c     event.Consent
		site  Site
		who   string
		needs partner.Needs
		want  event.Permission
	}{
		{"GDPR with TC string: 1, 2, 3, 4 and 7", event.Consent{GDPRApplies: yes, TCF: acceptAll}, Site{}, "ttd", ttd, event.Allowed},
		{"GDPR with TC string: the same in section 2", event.Consent{GPP: buildGPP(map[int]string{2: acceptAll})}, Site{}, "ttd", ttd, event.Allowed},
		{"GDPR with TC string: of two of one day, both", event.Consent{TCF: acceptAll, GPP: buildGPP(map[int]string{2: lessTTD})}, Site{}, "ttd", ttd, event.Denied},
		{"GDPR with TC string: of two of one day, both, the other way", event.Consent{TCF: lessTTD, GPP: buildGPP(map[int]string{2: acceptAll})}, Site{}, "ttd", ttd, event.Denied},
		{"GDPR with TC string: 1 and 7", event.Consent{TCF: build(tc{consents: every, vendors: partners, restrictions: []limit{{3, 0, []span{{755, 755}}}}})}, Site{}, "dv360", google, event.Measure},
		{"GDPR with TC string: 1 and 7, who cannot say so", event.Consent{TCF: build(tc{consents: every, vendors: partners, restrictions: []limit{{3, 0, []span{{21, 21}}}}})}, Site{}, "ttd", ttd, event.Denied},
		{"GDPR with TC string: otherwise", event.Consent{TCF: lessTTD}, Site{}, "ttd", ttd, event.Denied},
		{"GDPR by Consent Mode: Google", event.Consent{GDPRApplies: yes, GCM: gcm("+", "+", "+", "+")}, Site{Mode: GCM}, "dv360", google, event.Allowed},
		{"GDPR by Consent Mode: The Trade Desk", event.Consent{GDPRApplies: yes, GCM: gcm("+", "+", "+", "+")}, Site{Mode: GCM}, "ttd", ttd, event.Denied},
		{"GDPR, without a vendor id", event.Consent{TCF: acceptAll}, Site{}, "acme", acme, event.Denied},
		{"GDPR, without a vendor id, opted in", event.Consent{TCF: acceptAll}, Site{PartnersWithoutVendor: []string{"acme"}}, "acme", acme, event.Allowed},
		{"US full", gppOf(7, usSection(7, nil, Off)), Site{}, "ttd", ttd, event.Allowed},
		{"US full: whatever it says of sensitive data", gppOf(7, us1(7, SensitiveDataProcessing, 1)), Site{}, "ttd", ttd, event.Allowed},
		{"US partial: sale", optedOut, Site{}, "ttd", ttd, event.Denied},
		{"US partial: sharing", gppOf(8, us1(8, SharingOptOut, 1)), Site{}, "amazon", amazon, event.Denied},
		{"US partial: targeted advertising", gppOf(9, us1(9, TargetedAdvertisingOptOut, 1)), Site{}, "dv360", google, event.Denied},
		{"US partial: GPC in the section", gppOf(7, usSection(7, nil, On)), Site{}, "yahoo", yahoo, event.Denied},
		{"US partial with us_limited_use: has a flag", optedOut, Site{LimitedUse: true}, "ttd", ttd, event.Measure},
		{"US partial with us_limited_use: has none", optedOut, Site{LimitedUse: true}, "yahoo", yahoo, event.Denied},
		{"US partial with us_limited_use: not for a child", gppOf(7, us1(7, KnownChildSensitiveDataConsents, 1)), Site{LimitedUse: true}, "ttd", ttd, event.Denied},
	} {
		t.Run(c.row, func(t *testing.T) {
			d := New(Options{})
			v := d.Decide(Request{Signals: c.c, Country: "US", Now: now}, c.site)
			got, reason := d.Share(v, c.c, c.who, c.needs, c.site, now)
			assert.Equal(t, c.want, got, reason)
		})
	}
}

func TestAPartnerIsGivenTheTCStringThatCounts(t *testing.T) {
	older, newer := dated(acceptAll, 3), dated(acceptAll, 4)
	section2 := func(tcf, s string, ids ...int) event.Consent {
		return event.Consent{TCF: tcf, GPP: buildGPP(map[int]string{2: s}), GPPSID: ids}
	}
	d := New(Options{})
	for name, c := range map[string]struct {
		c    event.Consent
		want string
	}{
		"none":                     {event.Consent{}, ""},
		"tcf alone":                {event.Consent{TCF: older}, older},
		"section 2 alone":          {section2("", newer, 2), newer},
		"section 2 is the later":   {section2(older, newer, 2), newer},
		"tcf is the later":         {section2(newer, older, 2), newer},
		"section 2 not in force":   {section2(older, newer, 7), older},
		"gpp_sid does not tell":    {section2("", newer), newer},
		"a GPP string that is bad": {event.Consent{TCF: older, GPP: "D"}, older},
	} {
		assert.Equal(t, c.want, d.TCF(c.c), name)
	}
}

func TestSensitiveDataIsRefusedByAnySectionInForce(t *testing.T) {
	d := New(Options{})
	refuses := us1(10, SensitiveDataProcessing, 2, 2, 1)
	assert.True(t, d.Sensitive(gppOf(10, refuses)))
	assert.True(t, d.Sensitive(without1(gppOf(10, refuses))))
	assert.False(t, d.Sensitive(gppOf(10, us1(10, SensitiveDataProcessing, 2, 2, 0))))
	assert.False(t, d.Sensitive(event.Consent{GPP: buildGPP(map[int]string{10: refuses}), GPPSID: []int{7}}))
	assert.False(t, d.Sensitive(event.Consent{GPP: "D", GPPSID: []int{10}}))
	assert.False(t, d.Sensitive(event.Consent{}))
}
