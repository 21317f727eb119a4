package settings

import (
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
)

// Site is what the pixel says to whoever decides on consent.
func (p *Pixel) Site() consent.Site {
	return consent.Site{
		Mode:                  consent.Mode(p.ConsentMode),
		TrustGDPR0:            p.Consent.TrustGDPR0,
		IgnoreGPCInGDPR:       p.Consent.IgnoreGPCInGDPR,
		PartialWithoutSignal:  p.Consent.PartialWithoutSignal,
		LimitedUse:            p.Consent.LimitedUse,
		Default:               event.State(p.Consent.Default),
		PartnersWithoutVendor: p.Consent.PartnersWithoutVendor,
	}
}
