package settings

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Processing is what is found out about a pixel's events beside what they say, and
// what is taken out of them. The zero value does all of it.
type Processing struct {
	// Off lists the enrichments that are not made: EnrichmentKinds.
	Off []string `json:"off,omitempty"`
	// Automated says what becomes of events of programs that a person or a server may
	// stand behind, such as a headless browser, and of those out of data centres: ""
	// they are stored and marked, and go to no partner; "send" they go to partners too.
	// A crawler's never do.
	Automated string `json:"automated,omitempty"`
	// Keys are further names that hold personal data on this site: what stands behind
	// them in the page's address and in the properties is taken out.
	Keys []string `json:"personal_keys,omitempty"`
	// Midnight ends sessions at midnight too, in Timezone.
	Midnight bool `json:"session_midnight,omitempty"`
	// Timezone is the site's, by its IANA name; empty: UTC.
	Timezone string `json:"timezone,omitempty"`
}

// EnrichmentKinds are what can be switched off. That personal data is taken out
// cannot.
var EnrichmentKinds = [...]string{"device", "bot", "datacenter", "geo", "network", "referrer", "campaign", "click_ids", "clock", "session", "currency"}

// Send is the value of Processing.Automated by which automated clients' events go to
// partners.
const Send = "send"

// Does reports whether an enrichment is made.
func (p *Processing) Does(kind string) bool { return !slices.Contains(p.Off, kind) }

// maxKeys bounds the names that one site may add.
const maxKeys = 50

var personalKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{2,64}$`)

func (p Processing) validate(v *Invalid) {
	for i, kind := range p.Off {
		if !slices.Contains(EnrichmentKinds[:], kind) {
			v.add(fmt.Sprintf("processing.off[%d]", i), "must be one of %s", joined(EnrichmentKinds[:]))
		}
	}
	if p.Automated != "" && p.Automated != Send {
		v.add("processing.automated", "must be empty, or send")
	}
	if len(p.Keys) > maxKeys {
		v.add("processing.personal_keys", "must be at most %d", maxKeys)
	}
	for i, key := range p.Keys {
		if !personalKey.MatchString(key) {
			v.add(fmt.Sprintf("processing.personal_keys[%d]", i), "must be 2 to 64 letters, digits, _ . or -, such as customer_mail")
		}
	}
	if _, err := time.LoadLocation(p.Timezone); err != nil || p.Timezone == "Local" {
		v.add("processing.timezone", "must be a time zone by its IANA name, such as Europe/Berlin")
	}
}
