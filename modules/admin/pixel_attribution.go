package admin

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/miq/pixel/modules/settings"
)

// owed is one number of a pixel's attribution as its form shows it.
type owed struct {
	Name, Title, Help, Value, Usual, Error string
}

// numbers are an attribution's numbers by their names in the form, with what an empty
// one stands for.
func numbers(a *settings.Attribution) []struct {
	name, title, help string
	n                 *int
	usual             int
} {
	return []struct {
		name, title, help string
		n                 *int
		usual             int
	}{
		{"click_days", "Clicks count for", "Days, at most 90.", &a.ClickDays, settings.DefaultLookback},
		{"impression_days", "Advertisements that were seen", "Days.", &a.ImpressionDays, settings.DefaultImpression},
		{"campaign_days", "Visits by a campaign", "Days.", &a.CampaignDays, settings.DefaultLookback},
		{"organic_days", "Visits by a search or another site", "Days.", &a.OrganicDays, settings.DefaultLookback},
		{"direct_days", "Visits that nothing led to", "Days.", &a.DirectDays, settings.DefaultLookback},
		{"half_life_days", "Time decay's half-life", "After so many days a touchpoint is owed half.", &a.HalfLifeDays, settings.DefaultHalfLife},
		{"first_percent", "Position: the first touchpoint's percent", "Those between the first and the last share the rest.", &a.FirstPercent, settings.DefaultEnd},
		{"last_percent", "Position: the last touchpoint's percent", "With both empty it is 40, 20, 40.", &a.LastPercent, settings.DefaultEnd},
	}
}

// Owed are the numbers of the form's pixel.
func (d pixelFormData) Owed() []owed {
	var out []owed
	for _, n := range numbers(&d.Pixel.Attribution) {
		out = append(out, owed{Name: n.name, Title: n.title, Help: n.help, Value: d.number(n.name, *n.n), Usual: strconv.Itoa(n.usual), Error: d.Errors[n.name]})
	}
	return out
}

// UsualConversions are those of a pixel that names none.
func (pixelFormData) UsualConversions() []string { return settings.DefaultConversions }

// WrongAttribution reports whether something is wrong in that part of the form.
func (d pixelFormData) WrongAttribution() bool {
	wrong := d.Errors["conversions"] != ""
	for _, n := range numbers(&d.Pixel.Attribution) {
		wrong = wrong || d.Errors[n.name] != ""
	}
	return wrong
}

// owedFrom reads the part of a pixel's form that says what conversions are owed to.
func owedFrom(f url.Values, a *settings.Attribution) error {
	if !f.Has("conversions") { // another form
		return nil
	}
	a.Conversions = listed(f.Get("conversions"))
	var bad settings.Invalid
	for _, n := range numbers(a) {
		text := strings.TrimSpace(f.Get(n.name))
		*n.n = 0
		if text == "" {
			continue
		}
		v, err := strconv.Atoi(text)
		if err != nil {
			bad = append(bad, settings.Problem{Field: "attribution." + n.name, Message: "must be a whole number, or empty for " + strconv.Itoa(n.usual)})
			continue
		}
		*n.n = v
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}
