package collector

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// segmentConsent is context.consent: the categories of Segment's consent wrappers, and
// beside them the signals of an envelope by their own names, which no client of
// Segment's makes but a site may add.
type segmentConsent struct {
	here bool

	Categories map[string]loose `json:"categoryPreferences"`

	GDPRApplies  *bool  `json:"gdpr_applies"`
	TCF          string `json:"tcf"`
	GPP          string `json:"gpp"`
	GPPSID       []int  `json:"gpp_sid"`
	USPrivacy    string `json:"us_privacy"`
	AddtlConsent string `json:"addtl_consent"`
	GPC          bool   `json:"gpc"`
}

// UnmarshalJSONFrom notes that there was one. One that cannot be read is there, too.
func (c *segmentConsent) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() == 'n' {
		return nil
	}
	type plain struct {
		Categories   map[string]jsontext.Value `json:"categoryPreferences"`
		GDPRApplies  *bool                     `json:"gdpr_applies"`
		TCF          string                    `json:"tcf"`
		GPP          string                    `json:"gpp"`
		GPPSID       []int                     `json:"gpp_sid"`
		USPrivacy    string                    `json:"us_privacy"`
		AddtlConsent string                    `json:"addtl_consent"`
		GPC          bool                      `json:"gpc"`
	}
	var p plain
	c.here = true
	if json.Unmarshal(v, &p) != nil {
		c.Categories = map[string]loose{"": "unreadable"}
		return nil
	}
	if p.Categories != nil {
		c.Categories = make(map[string]loose, len(p.Categories))
		for name, v := range p.Categories {
			c.Categories[name] = loose(v)
		}
	}
	c.GDPRApplies, c.TCF, c.GPP, c.GPPSID, c.USPrivacy, c.AddtlConsent, c.GPC = p.GDPRApplies, p.TCF, p.GPP, p.GPPSID, p.USPrivacy, p.AddtlConsent, p.GPC
	return nil
}

// signals are the event's. Categories become Consent Mode's four signals by the
// pixel's settings, and the claim that follows from them; where several categories
// lead to one signal all have to be granted, and what nobody mentions is denied.
func (c *segmentConsent) signals(to *event.Consent, p *settings.Pixel) {
	to.GDPRApplies, to.TCF, to.GPP, to.GPPSID = c.GDPRApplies, c.TCF, c.GPP, c.GPPSID
	to.USPrivacy, to.AddtlConsent, to.GPC = c.USPrivacy, c.AddtlConsent, c.GPC
	if c.Categories == nil {
		return
	}
	const granted, denied = "granted", "denied"
	m := &to.GCM
	for category, choice := range c.Categories {
		for _, signal := range p.Consent.CategorySignals(category) {
			var s *string
			switch signal {
			case "analytics_storage":
				s = &m.AnalyticsStorage
			case "ad_storage":
				s = &m.AdStorage
			case "ad_user_data":
				s = &m.AdUserData
			case "ad_personalization":
				s = &m.AdPersonalization
			default:
				continue
			}
			switch {
			case choice != "true":
				*s = denied
			case *s == "":
				*s = granted
			}
		}
	}
	for _, s := range [...]*string{&m.AnalyticsStorage, &m.AdStorage, &m.AdUserData, &m.AdPersonalization} {
		if *s == "" {
			*s = denied
		}
	}
	switch {
	case m.AnalyticsStorage == denied:
		to.State = event.None
	case m.AdStorage == denied || m.AdUserData == denied:
		to.State = event.Partial
	default:
		to.State = event.Full
	}
}

func segmentTime(s string) (time.Time, bool) {
	if s == "" || len(s) > 40 {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err == nil
}
