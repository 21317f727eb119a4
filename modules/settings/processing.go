package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // sites' zones, where the system has none

	"github.com/miq/pixel/modules/event"
)

// Processing is what is found out about a pixel's events beside what they say, and
// what is taken out of them. The zero value does all of it.
type Processing struct {
	// Off lists the enrichments that are not made: EnrichmentKinds.
	Off []string `json:"off,omitempty"`
	// Automated says which machines' events go to partners: see Forwards.
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

// The values of Processing.Automated beside "".
const (
	Send     = "send"     // all that a person or a server may stand behind
	Withhold = "withhold" // none
)

// Forwards reports whether an event may go to partners by what is known of the client
// that sent it: always where that is no machine, and never where it is a crawler. Of
// the clients that a person or a server may stand behind, programs that do not
// pretend to be a browser are the advertiser's own, most likely, and are sent;
// automated browsers and what comes out of data centres are not. Automated overrules
// both.
func (p *Processing) Forwards(x *event.Enrichment) bool {
	switch {
	case x.Bot == "":
		return true
	case !x.Automated || p.Automated == Withhold:
		return false
	case p.Automated == Send:
		return true
	}
	return strings.HasPrefix(x.Bot, event.ByProgram)
}

// Does reports whether an enrichment is made.
func (p *Processing) Does(kind string) bool { return !slices.Contains(p.Off, kind) }

// maxKeys bounds the names that one site may add.
const maxKeys = 50

var personalKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{2,64}$`)

func (p *Processing) validate(v *Invalid) {
	for i, kind := range p.Off {
		if !slices.Contains(EnrichmentKinds[:], kind) {
			v.add(fmt.Sprintf("processing.off[%d]", i), "must be one of %s", joined(EnrichmentKinds[:]))
		}
	}
	switch p.Automated {
	case "", Send, Withhold:
	default:
		v.add("processing.automated", "must be empty, send or withhold")
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
