package settings

import "strings"

var consentSignals = []string{"analytics_storage", "ad_storage", "ad_user_data", "ad_personalization"}

// usualCategories are the names that consent managers give to categories, in small
// letters: in words, and by OneTrust's numbers. A category of another name stands for
// nothing, which grants nothing.
var usualCategories = map[string][]string{
	"analytics": consentSignals[:1], "statistics": consentSignals[:1], "performance": consentSignals[:1], "measurement": consentSignals[:1], "c0002": consentSignals[:1],
	"advertising": consentSignals[1:], "marketing": consentSignals[1:], "targeting": consentSignals[1:], "ads": consentSignals[1:], "c0004": consentSignals[1:],
	"personalization": consentSignals[3:],
}

// CategorySignals are the Consent Mode signals that a category of a Segment client's
// consent stands for.
func (c ConsentOptions) CategorySignals(category string) []string {
	if len(c.Categories) > 0 {
		return c.Categories[category]
	}
	return usualCategories[strings.ToLower(category)]
}
