package settings

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

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
)

// Validate returns an Invalid, or nil.
func (p Pixel) Validate() error {
	var v Invalid
	if !pixelID.MatchString(p.ID) {
		v.add("id", "must be 1 to 64 letters, digits, _ or -, and begin with a letter or digit")
	}
	if len(p.Name) > 200 {
		v.add("name", "must be at most 200 bytes")
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
	switch event.State(p.Consent.Default) {
	case "", event.None, event.Partial, event.Full:
	default:
		v.add("consent.default", "must be one of none, partial, full")
	}
	for i, r := range p.Routes {
		if r.Partner == "" {
			v.add(fmt.Sprintf("routes[%d].partner", i), "is missing")
		}
		if r.Event != "*" && !event.ValidName(r.Event) {
			v.add(fmt.Sprintf("routes[%d].event", i), "must be an event's name, or * for all")
		}
	}
	return v.err()
}

// Validate returns an Invalid, or nil.
func (p Partner) Validate() error {
	var v Invalid
	switch p.Mode {
	case On, Hold, Off:
	default:
		v.add("mode", "must be one of on, hold, off")
	}
	return v.err()
}

// Allows reports whether the pixel may be used on a host: one of its domains, or
// below one.
func (p Pixel) Allows(host string) bool {
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
