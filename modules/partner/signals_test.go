package partner

import (
	"strings"
	"testing"

	"github.com/miq/pixel/modules/event"
)

func TestGDPRIsAssumedWhereNothingSpeaksAgainstIt(t *testing.T) {
	yes, no := true, false
	for name, c := range map[string]struct {
		regime   string
		consent  event.Consent
		gdpr, us bool
	}{
		"nothing known":                   {"", event.Consent{}, true, false},
		"an unknown regime":               {"mars", event.Consent{}, true, false},
		"by verdict":                      {"gdpr", event.Consent{GDPRApplies: &no}, true, false},
		"by the page, whatever the place": {"us", event.Consent{GDPRApplies: &yes}, true, false},
		"a TC string and no word on it":   {"us", event.Consent{TCF: "CP"}, true, false},
		"a TC string where it does not":   {"us", event.Consent{TCF: "CP", GDPRApplies: &no}, false, true},
		"the United States":               {"us", event.Consent{}, false, true},
		"elsewhere":                       {"default", event.Consent{}, false, false},
	} {
		e := event.Event{Verdict: event.Verdict{Regime: c.regime}, Consent: c.consent}
		if GDPR(e) != c.gdpr || US(e) != c.us {
			t.Errorf("%s: GDPR %t, US %t", name, GDPR(e), US(e))
		}
	}
}

func TestOnlyStringsOfTheRightFormArePassedOn(t *testing.T) {
	for in, want := range map[string]bool{"CPexample": true, "CP-_9.IAAA.YAAA": true, "": false, "BOlder": false, "not a string": false, "${GDPR_CONSENT_21}": false, "CP\n": false, "C" + strings.Repeat("A", maxSignal): false} {
		if got := TCF(event.Consent{TCF: in}) == in && in != ""; got != want {
			t.Errorf("TCF %.40q: %t", in, got)
		}
	}
	for in, want := range map[string]bool{"DBABLA~BVQqAAAAAgA.QA": true, "DBAA": true, "": false, "CP": false, "DB AA": false, "undefined": false} {
		if got := GPP(event.Consent{GPP: in}) == in && in != ""; got != want {
			t.Errorf("GPP %q: %t", in, got)
		}
	}
	for in, want := range map[string]bool{"1YNN": true, "1YY-": true, "1---": false, "1ynn": false, "2YNN": false, "": false} {
		if got := USPrivacy(event.Consent{USPrivacy: in}) == in && in != ""; got != want {
			t.Errorf("us_privacy %q: %t", in, got)
		}
	}
}
