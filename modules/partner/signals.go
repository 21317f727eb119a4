package partner

import (
	"regexp"

	"github.com/miq/pixel/modules/event"
)

// GDPR reports whether an event is under GDPR as far as a partner is told: by
// its verdict or by its own signals, and wherever no other regime is known.
func GDPR(e event.Event) bool {
	c := e.Consent
	if c.GDPRApplies != nil && *c.GDPRApplies || c.GDPRApplies == nil && c.TCF != "" {
		return true
	}
	return e.Verdict.Regime != "us" && e.Verdict.Regime != "default"
}

// US reports whether an event is under the laws of the United States alone.
func US(e event.Event) bool { return e.Verdict.Regime == "us" && !GDPR(e) }

const maxSignal = 16 << 10

var (
	tcString  = regexp.MustCompile(`^C[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$`)
	gppString = regexp.MustCompile(`^D[A-Za-z0-9_-]*(~[A-Za-z0-9_.-]+)*$`)
	usPrivacy = regexp.MustCompile(`^1[YN][YN][YN-]$`)
)

// TCF is the TC string if it has the form of one, or "".
func TCF(c event.Consent) string { return shaped(tcString, c.TCF) }

// GPP is the GPP string if it has the form of one, or "".
func GPP(c event.Consent) string { return shaped(gppString, c.GPP) }

// USPrivacy is the us_privacy string if it says something, or "".
func USPrivacy(c event.Consent) string { return shaped(usPrivacy, c.USPrivacy) }

func shaped(form *regexp.Regexp, s string) string {
	if len(s) > maxSignal || !form.MatchString(s) {
		return ""
	}
	return s
}
