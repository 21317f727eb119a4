package settings

import (
	"fmt"
	"slices"
	"time"

	"github.com/miq/pixel/modules/event"
)

// Attribution says what a pixel's conversions are owed to. The zero value is the usual
// way of it; every number that is 0 stands for its default.
type Attribution struct {
	// Conversions are the names of the events that are conversions; empty:
	// DefaultConversions.
	Conversions []string `json:"conversions,omitempty"`
	// How many days before a conversion a touchpoint of each kind still counts.
	ClickDays      int `json:"click_days,omitempty"`
	ImpressionDays int `json:"impression_days,omitempty"`
	CampaignDays   int `json:"campaign_days,omitempty"`
	OrganicDays    int `json:"organic_days,omitempty"`
	DirectDays     int `json:"direct_days,omitempty"`
	// HalfLifeDays is after how many days time_decay gives a touchpoint half.
	HalfLifeDays int `json:"half_life_days,omitempty"`
	// FirstPercent and LastPercent are what position gives the ends of a path; those
	// between share the rest.
	FirstPercent int `json:"first_percent,omitempty"`
	LastPercent  int `json:"last_percent,omitempty"`
}

// DefaultConversions are the events that are conversions unless a pixel says so
// otherwise.
var DefaultConversions = []string{"purchase", "generate_lead", "sign_up", "subscribe", "qualify_lead", "close_convert_lead"}

// The defaults and the bounds of an Attribution.
const (
	DefaultLookback   = 30 // days
	DefaultImpression = 7
	DefaultHalfLife   = 7
	DefaultEnd        = 40 // percent
	MaxLookback       = 90
	maxConversions    = 50
)

// Conversion reports whether an event of a name is one.
func (a *Attribution) Conversion(name string) bool {
	if len(a.Conversions) > 0 {
		return slices.Contains(a.Conversions, name)
	}
	return slices.Contains(DefaultConversions, name)
}

// Lookback is how long a touchpoint of a kind counts.
func (a *Attribution) Lookback(k event.TouchKind) time.Duration {
	days, usual := 0, DefaultLookback
	switch k {
	case event.AdClick:
		days = a.ClickDays
	case event.Impression:
		days, usual = a.ImpressionDays, DefaultImpression
	case event.CampaignVisit:
		days = a.CampaignDays
	case event.OrganicVisit:
		days = a.OrganicDays
	case event.DirectVisit:
		days = a.DirectDays
	}
	if days == 0 {
		days = usual
	}
	return time.Duration(days) * 24 * time.Hour
}

// HalfLife is time_decay's.
func (a *Attribution) HalfLife() time.Duration {
	days := a.HalfLifeDays
	if days == 0 {
		days = DefaultHalfLife
	}
	return time.Duration(days) * 24 * time.Hour
}

// Ends are position's, in percent.
func (a *Attribution) Ends() (first, last int) {
	if a.FirstPercent == 0 && a.LastPercent == 0 {
		return DefaultEnd, DefaultEnd
	}
	return a.FirstPercent, a.LastPercent
}

func (a Attribution) validate(v *Invalid) {
	if len(a.Conversions) > maxConversions {
		v.add("attribution.conversions", "must be at most %d", maxConversions)
	}
	for i, name := range a.Conversions {
		switch {
		case !event.ValidName(name):
			v.add(fmt.Sprintf("attribution.conversions[%d]", i), "must be an event's name, such as purchase")
		case name == "refund":
			v.add(fmt.Sprintf("attribution.conversions[%d]", i), "must not be refund, which takes a conversion back")
		}
	}
	for _, n := range []struct {
		name string
		days int
	}{
		{"click_days", a.ClickDays}, {"impression_days", a.ImpressionDays}, {"campaign_days", a.CampaignDays},
		{"organic_days", a.OrganicDays}, {"direct_days", a.DirectDays}, {"half_life_days", a.HalfLifeDays},
	} {
		if n.days < 0 || n.days > MaxLookback {
			v.add("attribution."+n.name, "must be 1 to %d, or 0 for the default", MaxLookback)
		}
	}
	switch {
	case a.FirstPercent < 0 || a.FirstPercent > 100:
		v.add("attribution.first_percent", "must be 0 to 100")
	case a.LastPercent < 0 || a.LastPercent > 100:
		v.add("attribution.last_percent", "must be 0 to 100")
	case a.FirstPercent+a.LastPercent > 100:
		v.add("attribution.last_percent", "must leave at most 100 together with first_percent")
	}
}
