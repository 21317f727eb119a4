package consent

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/miq/pixel/modules/event"
)

var (
	now      = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	yes, no  = ptr(true), ptr(false)
	noLegacy = PurposesOf(5, 6, 8, 11)
)

func ptr[T any](v T) *T { return &v }

// Strings by what the visitor did in the CMP.
var (
	acceptAll  = build(tc{consents: every, vendors: partners})
	refuseAll  = build(tc{})
	bannerOpen = build(tc{li: PurposesOf(2, 7, 8, 9, 10, 11), liVendors: partners})
	analytics  = build(tc{consents: PurposesOf(1, 7, 8, 9, 10), vendors: partners})
	onlyStore  = build(tc{consents: PurposesOf(1), vendors: partners})
	noStore    = build(tc{consents: every &^ PurposesOf(1), vendors: partners})
	old        = build(tc{consents: every, vendors: partners, made: now.AddDate(-2, 0, 0), policy: 4})
	future     = build(tc{consents: every, vendors: partners, made: now.AddDate(0, 0, 5)})
	noDisclose = build(tc{consents: every, vendors: partners, undisclosed: true})
	germanOne  = build(tc{consents: every &^ PurposesOf(1), vendors: partners, oneTreatment: true})
)

func without(p int) string {
	return build(tc{consents: every &^ PurposesOf(p), vendors: partners})
}

func gcm(ad, user, personal, analytics string) event.ConsentMode {
	word := map[string]string{"+": "granted", "-": "denied", "": "", "?": "GRANTED"}
	return event.ConsentMode{
		AdStorage: word[ad], AdUserData: word[user], AdPersonalization: word[personal], AnalyticsStorage: word[analytics],
	}
}

// row is a case of the decision table.
type row struct {
	name    string
	c       event.Consent
	geo     string
	header  bool // Sec-GPC
	site    Site
	state   event.State
	rule    string
	explain string // a part of the reason
}

func TestWhichRegime(t *testing.T) {
	full := Site{Default: event.Full}
	run(t, []row{
		{name: "R1 the page says that GDPR applies", c: event.Consent{GDPRApplies: yes, TCF: acceptAll}, geo: "US", state: event.Full, rule: "R1/G5"},
		{name: "R1 and sends no string", c: event.Consent{GDPRApplies: yes}, geo: "US", site: full, state: event.None, rule: "R1/G1"},
		{name: "R2 a string says as much", c: event.Consent{TCF: acceptAll}, geo: "US", state: event.Full, rule: "R2/G5"},
		{name: "R2 so does one that cannot be read", c: event.Consent{TCF: "garbage"}, geo: "US", site: full, state: event.None, rule: "R2/G1"},
		{name: "R2 so does GPP section 2", c: event.Consent{GPP: "DBABMA~x", GPPSID: []int{2}}, geo: "US", site: full, state: event.None, rule: "R2/G1"},
		{name: "R3 gdpr=0 from Germany is not believed", c: event.Consent{GDPRApplies: no}, geo: "DE", site: full, state: event.None, rule: "R3/G1"},
		{name: "R3 but the string is read", c: event.Consent{GDPRApplies: no, TCF: acceptAll}, geo: "DE", state: event.Full, rule: "R3/G5"},
		{name: "R3 unless the site trusts it", c: event.Consent{GDPRApplies: no}, geo: "DE", site: Site{TrustGDPR0: true, Default: event.Full}, state: event.Full, rule: "R7/D1"},
		{name: "R3 the UK", c: event.Consent{GDPRApplies: no}, geo: "GB", site: full, state: event.None, rule: "R3/G1"},
		{name: "R3 Switzerland", c: event.Consent{GDPRApplies: no}, geo: "CH", site: full, state: event.None, rule: "R3/G1"},
		{name: "R4 silence from Norway", geo: "NO", site: full, state: event.None, rule: "R4/G1"},
		{name: "R4 silence from La Réunion", geo: "RE", site: full, state: event.None, rule: "R4/G1"},
		{name: "R4 lower case", geo: "de", site: full, state: event.None, rule: "R4/G1"},
		{name: "R4 comes before US signals", c: event.Consent{USPrivacy: "1YNN"}, geo: "FR", site: full, state: event.None, rule: "R4/G1"},
		{name: "R5 an address in the US", geo: "US", state: event.Full, rule: "R5/U8"},
		{name: "R5 us_privacy", c: event.Consent{USPrivacy: "1YNN"}, state: event.Full, rule: "R5/U7"},
		{name: "R5 gpp_sid 6", c: event.Consent{GPPSID: []int{6}}, geo: "BR", site: full, state: event.Partial, rule: "R5/U6"},
		{name: "R5 gpp_sid 27", c: event.Consent{GPPSID: []int{2000, 27}}, state: event.Partial, rule: "R5/U6"},
		{name: "R5 gpp_sid 28 is none", c: event.Consent{GPPSID: []int{28}}, state: event.None, rule: "R6/G1"},
		{name: "R5 us_privacy 1--- is none", c: event.Consent{USPrivacy: "1---"}, state: event.None, rule: "R6/G1"},
		{name: "R5 gdpr=0 and in the US", c: event.Consent{GDPRApplies: no}, geo: "US", state: event.Full, rule: "R5/U8"},
		{name: "R6 nobody knows", state: event.None, rule: "R6/G1", site: full},
		{name: "R6 Tor is nowhere", geo: "T1", state: event.None, rule: "R6/G1", site: full},
		{name: "R6 XX is nowhere", geo: "XX", state: event.None, rule: "R6/G1", site: full},
		{name: "R6 an unreadable us_privacy does not leave GDPR", c: event.Consent{USPrivacy: "${US_PRIVACY}"}, state: event.None, rule: "R6/G1", site: full},
		{name: "R7 Brazil", geo: "BR", state: event.None, rule: "R7/D1"},
		{name: "R7 Brazil, as configured", geo: "BR", site: full, state: event.Full, rule: "R7/D1"},
		{name: "R7 gdpr=0 from nowhere", c: event.Consent{GDPRApplies: no}, site: full, state: event.Full, rule: "R7/D1"},
		{name: "R7 gdpr=0 and a string all the same", c: event.Consent{GDPRApplies: no, TCF: refuseAll}, geo: "BR", site: full, state: event.Full, rule: "R7/D1"},
		{name: "R7 Canada never gets more than partial", geo: "CA", site: full, state: event.Partial, rule: "R7/R7"},
		{name: "R7 GPP section 5 neither", c: event.Consent{GPPSID: []int{5}}, geo: "BR", site: full, state: event.Partial, rule: "R7/R7"},
		{name: "R7 Canada, none stays none", geo: "CA", state: event.None, rule: "R7/D1"},
	})
}

func TestGDPRRows(t *testing.T) {
	gdpr := func(s string) event.Consent { return event.Consent{GDPRApplies: yes, TCF: s} }
	rows := []row{
		{name: "G1 no string", c: gdpr(""), state: event.None, rule: "R1/G1", explain: "no TC string came"},
		{name: "G1 a macro", c: gdpr("${GDPR_CONSENT_101}"), state: event.None, rule: "R1/G1", explain: "tagging mistake"},
		{name: "G1 a GPP string", c: gdpr("DBABMA~CPXxRfAPXxRfAAfKABENB"), state: event.None, rule: "R1/G1", explain: "GPP"},
		{name: "G1 cut short", c: gdpr(acceptAll[:30]), state: event.None, rule: "R1/G1", explain: "ends in the middle"},
		{name: "G1 no disclosed vendors", c: gdpr(noDisclose), state: event.None, rule: "R1/G1", explain: "shown"},
		{name: "G1 made for all sites", c: gdpr(build(tc{global: true, consents: every, vendors: partners})), state: event.None, rule: "R1/G1", explain: "not specific"},
		{name: "G1 TCF 2.1", c: gdpr(build(tc{policy: 2, consents: every, vendors: partners})), state: event.None, rule: "R1/G1", explain: "older than TCF 2.2"},
		{name: "G1 two years old", c: gdpr(old), state: event.None, rule: "R1/G1", explain: "older than the site allows"},
		{name: "two years old, and the site takes three", c: gdpr(old), site: Site{MaxMonths: 36}, state: event.Full, rule: "R1/G5"},
		{name: "G1 from the future", c: gdpr(future), state: event.None, rule: "R1/G1", explain: "ahead"},
		{name: "G2 refused", c: gdpr(refuseAll), state: event.None, rule: "R1/G2", explain: "did not allow MiQ purpose 1"},
		{name: "G2 we were not shown", c: gdpr(build(tc{consents: every, vendors: partners, disclosed: []int{21}})), state: event.None, rule: "R1/G2", explain: "not shown MiQ (vendor 101)"},
		{name: "G2 we were deselected", c: gdpr(build(tc{consents: every, vendors: []int{21, 755}})), state: event.None, rule: "R1/G2", explain: "did not allow MiQ (vendor 101)"},
		{name: "G2 the publisher forbids", c: gdpr(build(tc{consents: every, vendors: partners, restrictions: []limit{{1, 0, []span{{101, 101}}}}})), state: event.None, rule: "R1/G2", explain: "the site does not let"},
		{name: "G2 purpose 1 was not asked", c: gdpr(germanOne), state: event.None, rule: "R1/G2", explain: "not asked"},
		{name: "G5 purpose 1 was not asked and need not be", c: gdpr(germanOne), site: Site{PurposeOneFree: []string{"DE"}}, state: event.Full, rule: "R1/G5"},
		{name: "G2 everything but storing", c: gdpr(noStore), state: event.None, rule: "R1/G2"},
		{name: "G3 storing alone", c: gdpr(onlyStore), state: event.None, rule: "R1/G3", explain: "purpose 7"},
		{name: "G4 analytics", c: gdpr(analytics), state: event.Partial, rule: "R1/G4", explain: "purpose 2"},
		{name: "G5 everything", c: gdpr(acceptAll), state: event.Full, rule: "R1/G5"},
		{name: "G5 everything that we ask for", c: gdpr(build(tc{consents: every &^ noLegacy, vendors: []int{101}})), state: event.Full, rule: "R1/G5"},
		{name: "G6 GPC header", c: gdpr(acceptAll), header: true, state: event.Partial, rule: "R1/G6", explain: "Global Privacy Control"},
		{name: "G6 GPC from the page", c: event.Consent{GDPRApplies: yes, TCF: acceptAll, GPC: true}, state: event.Partial, rule: "R1/G6"},
		{name: "G6 the site ignores it", c: gdpr(acceptAll), header: true, site: Site{IgnoreGPCInGDPR: true}, state: event.Full, rule: "R1/G5"},
		{name: "G6 makes less no better", c: gdpr(refuseAll), header: true, state: event.None, rule: "R1/G2"},
		{name: "G7 the banner is still open", c: gdpr(bannerOpen), state: event.None, rule: "R1/G2"},
		{name: "the unknown mode is cmp", c: event.Consent{GDPRApplies: yes, GCM: gcm("+", "+", "+", "+")}, site: Site{Mode: "x"}, state: event.None, rule: "R1/G1"},
		{name: "Consent Mode does not count for a CMP site", c: event.Consent{GDPRApplies: yes, GCM: gcm("+", "+", "+", "+")}, state: event.None, rule: "R1/G1"},
		{name: "a GPP string that cannot be read may hold an opt-out", c: event.Consent{GDPRApplies: yes, TCF: acceptAll, GPP: "DBACNYA~x"}, state: event.Partial, rule: "R1/U6"},
		{name: "G1 nor does it replace the TC string", c: event.Consent{GDPRApplies: yes, GPP: "DBABMA~x", GPPSID: []int{2}}, state: event.None, rule: "R1/G1", explain: "GPP string cannot be read"},
	}
	for _, p := range []int{2, 3, 4, 9, 10} {
		rows = append(rows, row{name: "G4 all but " + string(rune('0'+p/10)) + string(rune('0'+p%10)), c: gdpr(without(p)), state: event.Partial, rule: "R1/G4"})
	}
	run(t, rows)
}

func TestSeveralRegimesGiveTheLowest(t *testing.T) {
	gdpr := func(c event.Consent) event.Consent {
		c.GDPRApplies, c.TCF = yes, acceptAll
		return c
	}
	run(t, []row{
		{name: "no opt-out", c: gdpr(event.Consent{USPrivacy: "1YNN"}), state: event.Full, rule: "R1/G5"},
		{name: "opted out of sale", c: gdpr(event.Consent{USPrivacy: "1YYN"}), state: event.Partial, rule: "R1/U2"},
		{name: "no notice", c: gdpr(event.Consent{USPrivacy: "1NNN"}), state: event.Partial, rule: "R1/U3"},
		{name: "does not apply", c: gdpr(event.Consent{USPrivacy: "1---"}), state: event.Full, rule: "R1/G5"},
		{name: "unreadable", c: gdpr(event.Consent{USPrivacy: "${US_PRIVACY}"}), state: event.Partial, rule: "R1/U6"},
		{name: "a US section", c: gdpr(event.Consent{GPP: "DBABLA~x", GPPSID: []int{2, 7}}), state: event.Partial, rule: "R1/U6"},
		{name: "the GDPR answer is lower", c: event.Consent{GDPRApplies: yes, TCF: refuseAll, USPrivacy: "1YYN"}, state: event.None, rule: "R1/G2"},
		{name: "GPC ignored in GDPR counts in the US", c: gdpr(event.Consent{USPrivacy: "1YNN", GPC: true}), site: Site{IgnoreGPCInGDPR: true}, state: event.Partial, rule: "R1/U1"},
	})
}

func TestConsentModeRows(t *testing.T) {
	for _, mode := range []Mode{GCM, Banner} {
		site := Site{Mode: mode}
		c := func(m event.ConsentMode) event.Consent { return event.Consent{GCM: m} }
		run(t, []row{
			{name: "C1 analytics denied", c: c(gcm("+", "+", "+", "-")), geo: "DE", site: site, state: event.None, rule: "R4/C1"},
			{name: "C1 all denied", c: c(gcm("-", "-", "-", "-")), geo: "DE", site: site, state: event.None, rule: "R4/C1"},
			{name: "C2 ads denied", c: c(gcm("-", "-", "-", "+")), geo: "DE", site: site, state: event.Partial, rule: "R4/C2"},
			{name: "C2 ad_storage denied", c: c(gcm("-", "+", "+", "+")), geo: "DE", site: site, state: event.Partial, rule: "R4/C2", explain: "ad_storage"},
			{name: "C2 ad_user_data denied", c: c(gcm("+", "-", "+", "+")), geo: "DE", site: site, state: event.Partial, rule: "R4/C2", explain: "ad_user_data"},
			{name: "C2 only ad_personalization denied", c: c(gcm("+", "+", "-", "+")), geo: "DE", site: site, state: event.Full, rule: "R4/C2", explain: "only measure"},
			{name: "C2 personalization and user data denied", c: c(gcm("+", "-", "-", "+")), geo: "DE", site: site, state: event.Partial, rule: "R4/C2"},
			{name: "C3 all granted", c: c(gcm("+", "+", "+", "+")), geo: "DE", site: site, state: event.Full, rule: "R4/C3"},
			{name: "C4 never set", geo: "DE", site: site, state: event.None, rule: "R4/C1"},
			{name: "C4 analytics alone", c: c(gcm("", "", "", "+")), geo: "DE", site: site, state: event.Partial, rule: "R4/C2"},
			{name: "C4 ads alone", c: c(gcm("+", "+", "+", "")), geo: "DE", site: site, state: event.None, rule: "R4/C1"},
			{name: "C4 a word that is none", c: c(gcm("+", "+", "+", "?")), geo: "DE", site: site, state: event.None, rule: "R4/C1"},
			{name: "default regime", c: c(gcm("+", "+", "+", "+")), geo: "BR", site: site, state: event.Full, rule: "R7/C3"},
			{name: "default regime, never set", geo: "BR", site: Site{Mode: mode, Default: event.Full}, state: event.None, rule: "R7/C1"},
			{name: "default regime, Canada", c: c(gcm("+", "+", "+", "+")), geo: "CA", site: site, state: event.Partial, rule: "R7/R7"},
			{name: "GPC limits it", c: c(gcm("+", "+", "+", "+")), geo: "DE", header: true, site: site, state: event.Partial, rule: "R4/G6"},
			{name: "GPC limits it elsewhere", c: c(gcm("+", "+", "+", "+")), geo: "BR", header: true, site: site, state: event.Partial, rule: "R7/U1"},
			{name: "a bad string is not counted", c: event.Consent{TCF: "x", GCM: gcm("+", "+", "+", "+")}, site: site, state: event.Full, rule: "R2/C3"},
			{name: "of a string and Consent Mode the lower: string", c: event.Consent{TCF: analytics, GCM: gcm("+", "+", "+", "+")}, site: site, state: event.Partial, rule: "R2/G4"},
			{name: "of a string and Consent Mode the lower: mode", c: event.Consent{TCF: acceptAll, GCM: gcm("-", "-", "-", "-")}, site: site, state: event.None, rule: "R2/C1"},
			{name: "a string alone", c: event.Consent{TCF: acceptAll}, site: site, state: event.Full, rule: "R2/G5"},
			{name: "US: a refusal counts", c: event.Consent{GCM: gcm("-", "", "", ""), State: event.Full}, geo: "US", site: site, state: event.Partial, rule: "R5/C2"},
			{name: "US: silence does not", c: event.Consent{State: event.Full}, geo: "US", site: site, state: event.Full, rule: "R5/U8"},
		})
	}
	run(t, []row{
		{name: "banner in the US: its answer has to come", geo: "US", site: Site{Mode: Banner}, state: event.None, rule: "R5/U8/claim"},
		{name: "banner in the US: and counts", c: event.Consent{State: event.Partial}, geo: "US", site: Site{Mode: Banner}, state: event.Partial, rule: "R5/U8/claim"},
		{name: "gcm in the US needs no claim", geo: "US", site: Site{Mode: GCM}, state: event.Full, rule: "R5/U8"},
	})
}

func TestUSRows(t *testing.T) {
	run(t, []row{
		{name: "U1 GPC header", geo: "US", header: true, state: event.Partial, rule: "R5/U1"},
		{name: "U1 GPC from the page", c: event.Consent{GPC: true}, geo: "US", state: event.Partial, rule: "R5/U1"},
		{name: "U1 outweighs us_privacy", c: event.Consent{GPC: true, USPrivacy: "1YNN"}, state: event.Partial, rule: "R5/U1"},
		{name: "U1 ignoring it in GDPR is no matter here", c: event.Consent{GPC: true}, geo: "US", site: Site{IgnoreGPCInGDPR: true}, state: event.Partial, rule: "R5/U1"},
		{name: "U2 opted out", c: event.Consent{USPrivacy: "1YYN"}, geo: "US", state: event.Partial, rule: "R5/U2"},
		{name: "U2 before U3", c: event.Consent{USPrivacy: "1NYN"}, geo: "US", state: event.Partial, rule: "R5/U2"},
		{name: "U3 no notice", c: event.Consent{USPrivacy: "1NNN"}, geo: "US", state: event.Partial, rule: "R5/U3"},
		{name: "U6 us_privacy unreadable", c: event.Consent{USPrivacy: "1YN"}, geo: "US", state: event.Partial, rule: "R5/U6"},
		{name: "U6 us_privacy in lower case", c: event.Consent{USPrivacy: "1ynn"}, geo: "US", state: event.Partial, rule: "R5/U6"},
		{name: "U6 a GPP string that is cut short", c: event.Consent{GPP: "DBABLA~BVQq"}, geo: "US", state: event.Partial, rule: "R5/U6"},
		{name: "U6 not even beside us_privacy", c: event.Consent{GPP: "DBABLA~BVQq", GPPSID: []int{7}, USPrivacy: "1YNN"}, state: event.Partial, rule: "R5/U6"},
		{name: "U6 a section without its string", c: event.Consent{GPPSID: []int{8}}, geo: "US", state: event.Partial, rule: "R5/U6"},
		{name: "U7 read, and no opt-out", c: event.Consent{USPrivacy: "1YNN"}, geo: "US", state: event.Full, rule: "R5/U7"},
		{name: "U7 no notice needed", c: event.Consent{USPrivacy: "1-N-"}, geo: "US", state: event.Full, rule: "R5/U7"},
		{name: "U8 silence", geo: "US", state: event.Full, rule: "R5/U8"},
		{name: "U8 does not apply", c: event.Consent{USPrivacy: "1---"}, geo: "US", state: event.Full, rule: "R5/U8"},
		{name: "U8 silence, careful site", geo: "US", site: Site{PartialWithoutSignal: true}, state: event.Partial, rule: "R5/U8"},
		{name: "U7 is no silence", c: event.Consent{USPrivacy: "1YNN"}, geo: "US", site: Site{PartialWithoutSignal: true}, state: event.Full, rule: "R5/U7"},
	})
}

func TestDefaultAndImplied(t *testing.T) {
	implied := Site{Mode: Implied}
	run(t, []row{
		{name: "D1 none unless configured", geo: "BR", state: event.None, rule: "R7/D1"},
		{name: "D1 partial", geo: "BR", site: Site{Default: event.Partial}, state: event.Partial, rule: "R7/D1"},
		{name: "D1 full", geo: "BR", site: Site{Default: event.Full}, state: event.Full, rule: "R7/D1"},
		{name: "D1 a word that is none", geo: "BR", site: Site{Default: "yes"}, state: event.None, rule: "R7/D1"},
		{name: "D1 GPC counts everywhere", geo: "BR", header: true, site: Site{Default: event.Full}, state: event.Partial, rule: "R7/U1"},
		{name: "D1 an unreadable GPP string is less", c: event.Consent{GPP: "x"}, geo: "BR", site: Site{Default: event.Full}, state: event.Partial, rule: "R7/U6"},
		{name: "D1 an unreadable us_privacy is less", c: event.Consent{USPrivacy: "x"}, geo: "BR", site: Site{Default: event.Full}, state: event.Partial, rule: "R7/U6"},
		{name: "implied, anywhere", geo: "BR", site: implied, state: event.Full, rule: "R7/D1"},
		{name: "implied, nowhere", site: implied, state: event.Full, rule: "R7/D1"},
		{name: "implied, the site answers for Germany too", geo: "DE", site: implied, state: event.Full, rule: "R7/D1"},
		{name: "implied, but the page says GDPR", c: event.Consent{GDPRApplies: yes}, geo: "BR", site: implied, state: event.None, rule: "R1/G1"},
		{name: "implied, but a string came", c: event.Consent{TCF: refuseAll}, geo: "BR", site: implied, state: event.None, rule: "R2/G2"},
		{name: "implied, and the string allows it", c: event.Consent{TCF: acceptAll}, geo: "BR", site: implied, state: event.Full, rule: "R2/G5"},
		{name: "implied, but GPC", geo: "DE", header: true, site: implied, state: event.Partial, rule: "R7/U1"},
		{name: "implied, but an opt-out", c: event.Consent{USPrivacy: "1YYN"}, geo: "BR", site: implied, state: event.Partial, rule: "R5/U2"},
		{name: "implied in the US", geo: "US", site: implied, state: event.Full, rule: "R5/U8"},
		{name: "implied, but less by default", geo: "BR", site: Site{Mode: Implied, Default: event.Partial}, state: event.Partial, rule: "R7/D1"},
		{name: "implied, but the Canadian section", c: event.Consent{GPPSID: []int{5}}, geo: "BR", site: implied, state: event.Partial, rule: "R7/R7"},
	})
}

func TestThePagesOwnClaimIsNeverExceeded(t *testing.T) {
	claim := func(s event.State) event.Consent {
		return event.Consent{GDPRApplies: yes, TCF: acceptAll, State: s}
	}
	run(t, []row{
		{name: "no claim", c: claim(""), state: event.Full, rule: "R1/G5"},
		{name: "full", c: claim(event.Full), state: event.Full, rule: "R1/G5"},
		{name: "partial", c: claim(event.Partial), state: event.Partial, rule: "R1/G5/claim"},
		{name: "none", c: claim(event.None), state: event.None, rule: "R1/G5/claim"},
		{name: "a word that is none", c: claim("granted"), state: event.None, rule: "R1/G5/claim"},
		{name: "a claim grants nothing", c: event.Consent{GDPRApplies: yes, State: event.Full}, state: event.None, rule: "R1/G1"},
		{name: "nor does it lift partial", c: event.Consent{GDPRApplies: yes, TCF: analytics, State: event.Full}, state: event.Partial, rule: "R1/G4"},
		{name: "in the US", c: event.Consent{State: event.None}, geo: "US", state: event.None, rule: "R5/U8/claim"},
		{name: "with implied", c: event.Consent{State: event.Partial}, geo: "BR", site: Site{Mode: Implied}, state: event.Partial, rule: "R7/D1/claim"},
	})
}

func run(t *testing.T, rows []row) {
	t.Helper()
	d := New(Options{})
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			v := d.Decide(Request{Signals: r.c, HeaderGPC: r.header, Country: r.geo, Now: now}, r.site)
			assert.Equal(t, r.state, v.State, v.Reason)
			assert.Equal(t, r.rule, v.Rule, v.Reason)
			assert.Contains(t, v.Reason, r.explain)
			regime := map[string]string{"R5": "us", "R7": "default"}[v.Rule[:2]]
			if regime == "" {
				regime = "gdpr"
			}
			assert.Equal(t, regime, v.Regime)
			assert.True(t, strings.HasSuffix(v.Reason, ".") && !strings.Contains(v.Reason, "  "), v.Reason)
		})
	}
}

// TestLessIsNeverMore changes one signal of a request for a worse one and sees to
// it that no combination of the others turns that into a better answer.
func TestLessIsNeverMore(t *testing.T) {
	d := New(Options{})
	strings := []string{"", "garbage", refuseAll, analytics, acceptAll}
	usp := []string{"", "1---", "x", "1YNN", "1YYN"}
	modes := []event.ConsentMode{{}, gcm("-", "-", "-", "-"), gcm("-", "-", "-", "+"), gcm("+", "+", "-", "+"), gcm("+", "+", "+", "+")}
	claims := []event.State{"", event.Full, event.Partial, event.None}
	n := 0
	for _, mode := range []Mode{CMP, GCM, Banner, Implied} {
		for _, def := range []event.State{"", event.Partial, event.Full} {
			for _, gdpr := range []*bool{nil, yes, no} {
				for _, s := range strings {
					for _, u := range usp {
						for _, m := range modes {
							for _, geo := range []string{"", "DE", "US", "BR"} {
								site := Site{Mode: mode, Default: def}
								base := event.Consent{GDPRApplies: gdpr, TCF: s, USPrivacy: u, GCM: m}
								decide := func(c event.Consent, header bool) event.State {
									n++
									return d.Decide(Request{Signals: c, HeaderGPC: header, Country: geo, Now: now}, site).State
								}
								was := decide(base, false)
								worse := func(what string, got event.State) {
									if !was.Allows(got) {
										t.Fatalf("%s gives %s instead of %s: %+v in %s, %+v", what, got, was, base, geo, site)
									}
								}
								worse("GPC", decide(base, true))
								for _, claim := range claims[1:] {
									// Our own banner in the US owes a claim.
									if mode == Banner && was == event.None {
										continue
									}
									c := base
									c.State = claim
									got := decide(c, false)
									worse("a claim", got)
									if !claim.Allows(got) {
										t.Fatalf("claimed %s, got %s", claim, got)
									}
								}
								if gdpr != nil && *gdpr {
									c := base
									c.GPP, c.GPPSID = "DBABLA~x", []int{7}
									worse("a GPP string", decide(c, false))
									c = base
									c.USPrivacy = "1YYN"
									worse("an opt-out", decide(c, false))
									if s != "" && mode != GCM && mode != Banner {
										c = base
										c.TCF = "garbage"
										worse("garbage", decide(c, false))
									}
								}
							}
						}
					}
				}
			}
		}
	}
	assert.Greater(t, n, 10000)
}

func BenchmarkDecide(b *testing.B) {
	d := New(Options{})
	long := vectors[validVector](b, "tc_valid.json")[0].String
	for name, r := range map[string]Request{
		"GDPR accepted, 714 bytes": {Signals: event.Consent{GDPRApplies: yes, TCF: long, State: event.Full}, Country: "DE"},
		"GDPR analytics":           {Signals: event.Consent{GDPRApplies: yes, TCF: analytics}, Country: "DE"},
		"GDPR refused":             {Signals: event.Consent{GDPRApplies: yes, TCF: refuseAll}, Country: "DE"},
		"US opted out":             {Signals: event.Consent{USPrivacy: "1YYN"}, Country: "US"},
	} {
		r.Now = now
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Decide(r, Site{})
			}
		})
	}
}
