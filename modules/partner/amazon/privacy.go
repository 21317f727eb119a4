package amazon

import (
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// signals are the one consent signal of an event and the flag for limited data
// use, or why the event may not go.
func signals(d event.Delivery, s settings, p params) (*consent, bool, *partner.Result) {
	e := d.Event
	if d.Permission != event.Allowed && d.Permission != event.Measure {
		return nil, false, partner.Refuse(d, event.NotSent, "consent", "not sent: consent does not allow it")
	}
	gdpr, tcf, gpp := partner.GDPR(e), partner.TCF(e.Consent), partner.GPP(e.Consent)
	limited := p.LimitedDataUse || (partner.US(e) && s.LimitedDataUse == "us")
	c := e.Consent
	out := (*consent)(nil)
	switch {
	case gdpr && tcf != "":
		out = &consent{TCF: tcf}
	case gpp != "":
		out = &consent{GPP: gpp}
	case c.GCM.AdUserData == "granted":
		out = &consent{Amazon: &amazonConsent{UserData: "GRANTED", AdStorage: status(c.GCM.AdStorage)}}
	case c.GCM.AdUserData == "denied":
		return nil, false, partner.Refuse(d, event.NotSent, "consent", "not sent: the visitor's data may not be used for advertising (ad_user_data)")
	case !gdpr && s.GeoConsent && partner.IP(e.Context.IP) != "":
		out = &consent{Geo: &geo{IP: partner.IP(e.Context.IP)}}
	case gdpr || p.Region == "EU":
		return nil, false, partner.Refuse(d, event.NotSent, "no_consent_signal", "not sent: Amazon needs a consent signal for this event (a TC string, a GPP string or consent mode), and it carries none")
	}
	// A TC string says "measure only" itself; the other signals cannot.
	if d.Permission == event.Measure && (out == nil || out.TCF == "") {
		limited = true
	}
	return out, limited, nil
}

func status(mode string) string {
	switch mode {
	case "granted":
		return "GRANTED"
	case "denied":
		return "DENIED"
	}
	return ""
}
