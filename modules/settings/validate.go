package settings

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/miq/pixel/modules/event"
)

// Invalid says what is wrong with settings, field by field.
type Invalid []Problem

// Problem is one wrong field and what would be right.
type Problem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (v Invalid) Error() string {
	parts := make([]string, len(v))
	for i, p := range v {
		parts[i] = p.Field + " " + p.Message
	}
	return strings.Join(parts, "; ")
}

func (v *Invalid) add(field, format string, args ...any) {
	*v = append(*v, Problem{field, fmt.Sprintf(format, args...)})
}

func (v Invalid) err() error {
	if len(v) == 0 {
		return nil
	}
	return v
}

var (
	pixelID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$`)
	domain  = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	country = regexp.MustCompile(`^[A-Z]{2}$`)

	language    = regexp.MustCompile(`^[a-z]{2,3}(-[a-z0-9]{2,8})*$`)
	identifier  = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]{0,63}$`)
	queryKey    = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
)

// maxName is how many characters a pixel's name has at most.
const maxName = 200

// Validate returns an Invalid, or nil.
func (p *Pixel) Validate() error {
	var v Invalid
	if !pixelID.MatchString(p.ID) {
		v.add("id", "must be 1 to 64 letters, digits, _ or -, and begin with a letter or digit")
	}
	if utf8.RuneCountInString(p.Name) > maxName {
		v.add("name", "must be at most %d characters", maxName)
	}
	switch p.ConsentMode {
	case CMP, GCM, Banner, Implied:
	default:
		v.add("consent_mode", "must be one of cmp, gcm, banner, implied")
	}
	for i, d := range p.Domains {
		if len(d) > 253 || !domain.MatchString(d) {
			v.add(fmt.Sprintf("domains[%d]", i), "must be a host name in lower case, such as shop.example.com, without https:// or a path")
		}
	}
	if p.Country != "" && !country.MatchString(p.Country) {
		v.add("country", "must be two capital letters (ISO 3166-1), such as GB")
	}
	if p.PrivacyURL != "" {
		if u, err := url.Parse(p.PrivacyURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			v.add("privacy_url", "must be an http(s) address")
		}
	}
	p.Banner.validate(&v)
	p.Tag.validate(&v)
	if p.Tag.CrossDomain && len(p.Domains) < 2 {
		v.add("tag.cross_domain", "needs two domains or more in domains")
	}
	p.Processing.validate(&v)
	p.Schemas.validate(&v)
	p.Retention.validate(&v)
	p.Attribution.validate(&v)
	p.Fields.validate(&v)
	switch event.State(p.Consent.Default) {
	case "", event.None, event.Partial, event.Full:
	default:
		v.add("consent.default", "must be one of none, partial, full")
	}
	for category, signals := range p.Consent.Categories {
		for _, s := range signals {
			if !slices.Contains(consentSignals, s) {
				v.add("consent.segment_categories."+category, "must be a list of %s", strings.Join(consentSignals, ", "))
			}
		}
	}
	for i, r := range p.Routes {
		if r.Partner == "" {
			v.add(fmt.Sprintf("routes[%d].partner", i), "is missing")
		}
		if r.Event != "*" && !event.ValidName(r.Event) {
			v.add(fmt.Sprintf("routes[%d].event", i), "must be an event's name, or * for all")
		}
		switch {
		case r.Mode != "" && r.Mode != Hold:
			v.add(fmt.Sprintf("routes[%d].mode", i), "must be one of on, hold, off")
		case r.Mode == Hold && r.Enabled:
			v.add(fmt.Sprintf("routes[%d].enabled", i), "contradicts mode: a route on hold is not enabled")
		}
		r.validate(&v, fmt.Sprintf("routes[%d]", i))
		if r.Account != "" && !accountName.MatchString(r.Account) {
			v.add(fmt.Sprintf("routes[%d].account", i), "must be the name of one of the partner's accounts")
		}
	}
	return v.err()
}

// The most that a banner may say: it goes to every visitor.
const (
	maxLanguages = 40
	maxText      = 1000 // characters
)

func joined(words []string) string { return strings.Join(words, ", ") }

func (b BannerOptions) validate(v *Invalid) {
	if b.Language != "" && !language.MatchString(b.Language) {
		v.add("banner.language", "must be a language in lower case, such as de or pt-br")
	}
	if len(b.Texts) > maxLanguages {
		v.add("banner.texts", "must hold at most %d languages", maxLanguages)
	}
	for _, code := range slices.Sorted(maps.Keys(b.Texts)) {
		at := "banner.texts." + code
		if !language.MatchString(code) {
			v.add(at, "must be a language in lower case, such as de or pt-br")
		}
		for _, word := range slices.Sorted(maps.Keys(b.Texts[code])) {
			switch text := b.Texts[code][word]; {
			case !slices.Contains(BannerWords[:], word):
				v.add(at+"."+word, "is not a text of the banner; those are %s", strings.Join(BannerWords[:], ", "))
			case strings.TrimSpace(text) == "" || utf8.RuneCountInString(text) > maxText:
				v.add(at+"."+word, "must be 1 to %d characters", maxText)
			}
		}
	}
}

func (t TagOptions) validate(v *Invalid) {
	switch t.SPA {
	case "", "hash", "off":
	default:
		v.add("tag.spa", "must be empty, hash or off")
	}
	for i, kind := range t.Autotrack {
		if !slices.Contains(AutotrackKinds[:], kind) {
			v.add(fmt.Sprintf("tag.autotrack[%d]", i), "must be one of %s", strings.Join(AutotrackKinds[:], ", "))
		}
	}
	if t.DataLayer != "" && !identifier.MatchString(t.DataLayer) {
		v.add("tag.data_layer", "must be the name of a JavaScript variable, such as dataLayer")
	}
	if len(t.ClickIDs) > 20 {
		v.add("tag.click_ids", "must be at most 20")
	}
	for i, key := range t.ClickIDs {
		if !queryKey.MatchString(key) {
			v.add(fmt.Sprintf("tag.click_ids[%d]", i), "must be a key of a query, such as partner_click")
		}
	}
	switch t.Storage {
	case "", "session", "none":
	default:
		v.add("tag.storage", "must be empty, session or none")
	}
}

// Validate returns an Invalid, or nil.
func (p Partner) Validate() error {
	var v Invalid
	switch p.Mode {
	case On, Hold, Off:
	default:
		v.add("mode", "must be one of on, hold, off")
	}
	for name := range p.Accounts {
		if !accountName.MatchString(name) {
			v.add("accounts."+name, "must be named by 1 to 32 small letters, digits, _ or -")
		}
	}
	return v.err()
}

// Allows reports whether the pixel may be used on a host: one of its domains, or
// below one.
func (p *Pixel) Allows(host string) bool {
	if len(p.Domains) == 0 {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, d := range p.Domains {
		if host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}
