package consent

// The regimes, as they stand in a verdict.
const (
	regimeGDPR    = "gdpr"
	regimeUS      = "us"
	regimeDefault = "default"
)

// regime says which law applies, by which row of the table, and the same as the
// beginning of a sentence.
type regime struct {
	name, rule, why string
	// capped regimes have a law that is not implemented: never more than partial.
	capped bool
}

// optIn are the EEA with the outermost regions that belong to it, the UK and
// Switzerland. "EU" is what some databases say of an address they place no closer.
var optIn = func() map[string]bool {
	m := map[string]bool{}
	for _, c := range []string{
		"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
		"LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK", "IS", "LI", "NO", "AX", "GF", "GP", "MF", "MQ", "RE",
		"YT", "EU", "EL", "GB", "UK", "CH",
	} {
		m[c] = true
	}
	return m
}()

// which applies rows R1 to R7.
func which(c *reading, country string, site *Site) regime {
	country = place(country)
	implied := site.Mode == Implied
	// In the implied mode the site answers for the place, but not against what
	// the page says.
	protected := country != "" && optIn[country] && !implied
	absent := c.GDPRApplies == nil
	switch {
	case !absent && *c.GDPRApplies:
		return regime{name: regimeGDPR, rule: "R1", why: "The page says that GDPR applies"}
	case absent && (c.saysTCF()):
		return regime{name: regimeGDPR, rule: "R2", why: "A TC string came, so GDPR applies"}
	case !absent && protected && !site.TrustGDPR0:
		return regime{
			name: regimeGDPR, rule: "R3",
			why: "The page says that GDPR does not apply, but the visitor is in the EEA, the UK or Switzerland",
		}
	case absent && protected:
		return regime{name: regimeGDPR, rule: "R4", why: "The visitor is in the EEA, the UK or Switzerland, so GDPR applies"}
	case c.placesUS() || country == "US":
		return regime{name: regimeUS, rule: "R5", why: "US privacy law applies"}
	case absent && country == "" && !implied:
		return regime{name: regimeGDPR, rule: "R6", why: "It is not known where the visitor is, so GDPR is assumed"}
	case implied:
		return regime{
			name: regimeDefault, rule: "R7", why: "The site vouches that no opt-in law applies",
			capped: c.applies(sectionCanada),
		}
	}
	return regime{
		name: regimeDefault, rule: "R7", why: "No privacy law that we know of applies",
		capped: country == "CA" || c.applies(sectionCanada),
	}
}

// place is a country code in capitals, or "" for what is none: edges say XX for
// an unknown place and T1 for Tor.
func place(country string) string {
	if len(country) != 2 || country == "XX" || country == "xx" || country == "ZZ" || country == "zz" {
		return ""
	}
	a, b := country[0]&^0x20, country[1]&^0x20
	if a < 'A' || a > 'Z' || b < 'A' || b > 'Z' {
		return ""
	}
	if a == country[0] && b == country[1] {
		return country
	}
	return string([]byte{a, b})
}
