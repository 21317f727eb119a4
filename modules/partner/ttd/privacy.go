package ttd

import (
	"regexp"
	"strconv"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

var (
	tcString  = regexp.MustCompile(`^C[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$`)
	gppString = regexp.MustCompile(`^D[A-Za-z0-9_-]*(~[A-Za-z0-9_.-]+)*$`)
	usPrivacy = regexp.MustCompile(`^1[YN][YN][YN-]$`)
)

// may says whether consent lets the event go, and whether for limited use only.
func may(d event.Delivery, s settings) (limited bool, no *partner.Result) {
	us := d.Event.Verdict.Regime == "us"
	switch {
	case d.Permission == event.Allowed:
		return us && s.LimitedDataUse == "us", nil
	case d.Permission == event.Measure && us:
		return true, nil
	case d.Permission == event.Measure:
		return false, partner.Refuse(d, event.NotSent, "consent_measure_only", "not sent: consent allows measuring only, and The Trade Desk has no way to say so")
	}
	return false, partner.Refuse(d, event.NotSent, "consent", "not sent: consent does not allow it")
}

// signals are the privacy settings of an event; not ok where GDPR applies and
// there is no TC string, the one signal that The Trade Desk reads then.
func signals(e event.Event) (out []privacy[int], ok bool) {
	c := e.Consent
	gdpr := e.Verdict.Regime == "gdpr" || (c.GDPRApplies != nil && *c.GDPRApplies)
	switch readable := tcString.MatchString(c.TCF); {
	case gdpr && !readable:
		return nil, false
	case gdpr:
		out = append(out, privacy[int]{"GDPR", 1, c.TCF})
	case readable:
		out = append(out, privacy[int]{"GDPR", 0, c.TCF})
	}
	if gppString.MatchString(c.GPP) {
		applicable := 1
		for _, id := range c.GPPSID {
			if id <= 0 {
				applicable = 0
			}
		}
		out = append(out, privacy[int]{"GPP", applicable, c.GPP})
	}
	if usPrivacy.MatchString(c.USPrivacy) {
		out = append(out, privacy[int]{"CCPA", 1, c.USPrivacy})
	}
	return out, true
}

// inWords writes them as the offline call wants them.
func inWords(in []privacy[int]) []privacy[string] {
	var out []privacy[string]
	for _, p := range in {
		out = append(out, privacy[string]{p.Type, strconv.Itoa(p.Applicable), p.Consent})
	}
	return out
}
