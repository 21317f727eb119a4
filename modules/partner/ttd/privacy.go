package ttd

import (
	"strconv"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// may says whether consent lets the event go, and whether for limited use only.
func may(d event.Delivery, s settings) (limited bool, no *partner.Result) {
	us := partner.US(d.Event)
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
	switch gdpr, tcf := partner.GDPR(e), partner.TCF(c); {
	case gdpr && tcf == "":
		return nil, false
	case gdpr:
		out = append(out, privacy[int]{"GDPR", 1, tcf})
	case tcf != "":
		out = append(out, privacy[int]{"GDPR", 0, tcf})
	}
	if gpp := partner.GPP(c); gpp != "" {
		applicable := 1
		for _, id := range c.GPPSID {
			if id <= 0 {
				applicable = 0
			}
		}
		out = append(out, privacy[int]{"GPP", applicable, gpp})
	}
	if usp := partner.USPrivacy(c); usp != "" {
		out = append(out, privacy[int]{"CCPA", 1, usp})
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
