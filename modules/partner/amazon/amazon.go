// Package amazon translates for Amazon DSP: the Events API of the unified
// Amazon Ads API, version 1.
package amazon

import (
	_ "embed"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const (
	eventsPath = "/adsApi/v1/create/events"
	tokenURL   = "https://api.amazon.com/auth/o2/token"

	maxEvents = 500
)

//go:embed settings.schema.json
var settingsSchema []byte

//go:embed params.schema.json
var paramsSchema []byte

// Adapter is Amazon DSP.
type Adapter struct{}

// New makes the adapter.
func New() Adapter { return Adapter{} }

// Spec describes Amazon DSP.
func (Adapter) Spec() partner.Spec {
	return partner.Spec{
		Name:     "amazon",
		Title:    "Amazon DSP",
		About:    "Sends conversions to Amazon's Events API, which matches them to people who saw or clicked an advertisement.",
		Docs:     "https://advertising.amazon.com/API/docs/en-us/amazon-ads/1-0/betas#tag/Events",
		Endpoint: endpoint("NA"),
		TokenURL: tokenURL,
		Settings: settingsSchema,
		Params:   paramsSchema,
		Credentials: []partner.Credential{
			{Name: "client_id", Title: "Client id", Help: "Of the Login with Amazon application that may use the Amazon Ads API: amzn1.application-oa2-client.…"},
			{Name: "client_secret", Title: "Client secret", Help: "Of the same application."},
			{Name: "refresh_token", Title: "Refresh token", Help: "From the authorisation-code grant with the scope advertising::campaign_management, by a user who may edit events (event_manager_edit). It begins with Atzr|."},
		},
		Auth: partner.RefreshToken,
		Connect: &partner.Grant{
			AuthorizeURL: "https://www.amazon.com/ap/oa",
			Regions: map[string]string{
				"North America": "https://www.amazon.com/ap/oa",
				"Europe":        "https://eu.account.amazon.com/ap/oa",
				"Far East":      "https://apac.account.amazon.com/ap/oa",
			},
			Scopes: []string{"advertising::campaign_management"},
		},
		Limits:    partner.Limits{Items: maxEvents, Bytes: 1 << 20, Age: 7 * 24 * time.Hour, Timeout: 15 * time.Second, Linger: time.Second},
		Consent:   partner.Needs{VendorID: 793, Measure: true, ConsentMode: true},
		DedupeKey: "eventId",
		Keys: []partner.Key{
			{Name: "email", Title: "E-mail (SHA-256)", Usual: true},
			{Name: "phone", Title: "Telephone number (SHA-256)", Usual: true},
			{Name: "maid", Title: "Mobile advertising id"},
			{Name: "ramp_id", Title: "RampID"},
			{Name: "match_id", Title: "The advertiser's own id, as Amazon's tag was given it"},
			{Name: "real_id", Title: "Real id"},
			{Name: "merkle_id", Title: "Merkle id"},
			{Name: "kantar_id", Title: "Kantar id"},
			{Name: "aref", Title: "Amazon's measurement token (aref)", Weight: partner.Adds, Usual: true},
			{Name: "address", Title: "Name with postal code (SHA-256)", Usual: true},
			{Name: "address_part", Title: "Part of a name or address (SHA-256)", Weight: partner.Guess},
			{Name: "fip", Title: "Visitor's IP address", Weight: partner.Guess},
		},
		Carries:    carries,
		EventNames: standardTypes(),
	}
}

// endpoint is Amazon's own for a region.
func endpoint(region string) string {
	switch region {
	case "EU":
		return "https://advertising-api-eu.amazon.com" + eventsPath
	case "FE":
		return "https://advertising-api-fe.amazon.com" + eventsPath
	}
	return "https://advertising-api.amazon.com" + eventsPath
}

const purchase = "OFF_AMAZON_PURCHASES"

func standardTypes() map[string]string {
	return map[string]string{
		"purchase":            purchase,
		"add_to_cart":         "ADD_TO_SHOPPING_CART",
		"begin_checkout":      "CHECKOUT",
		"page_view":           "PAGE_VIEW",
		"view_item":           "PAGE_VIEW",
		"view_item_list":      "PAGE_VIEW",
		"search":              "SEARCH",
		"view_search_results": "SEARCH",
		"generate_lead":       "LEAD",
		"sign_up":             "SIGN_UP",
		"subscribe":           "SUBSCRIBE",
		"contact":             "CONTACT",
		"submit_application":  "APPLICATION",
		"first_open":          "MOBILE_APP_FIRST_START",
	}
}

func conversionType(p params, name string) string {
	if p.ConversionType != "" {
		return p.ConversionType
	}
	if t, ok := standardTypes()[name]; ok {
		return t
	}
	return "OTHER"
}

// Group is the account, which a header names, and its region.
func (Adapter) Group(d event.Delivery) string {
	p, err := readParams(d.Params)
	if err != nil {
		return "unreadable"
	}
	return p.Region + "/" + p.AccountID
}

// GroupIn is Group: time changes nothing here.
func (a Adapter) GroupIn(_ partner.Batch, d event.Delivery) string { return a.Group(d) }

// LimitsIn has the age as set, since Amazon's own limit is told in two ways.
func (a Adapter) LimitsIn(b partner.Batch) partner.Limits {
	l := a.Spec().Limits
	if s, err := readSettings(b.Settings); err == nil {
		l.Age = s.maxAge()
	}
	return l
}

// The country and currency codes of Amazon's document.
const (
	countryCodes = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
		"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
		"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
		"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
		"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
		"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
		"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
	currencyCodes = "AED ARS AUD AZN BBD BGN BHD BMD BND BOB BRL BSD CAD CHF CLP CNY COP CRC CZK DKK DOP DZD EGP EUR GBP GHS GTQ HKD HNL HRK HUF " +
		"IDR ILS INR JMD JOD JPY KES KRW KWD KYD KZT LBP LKR MAD MUR MXN MXP MYR NAD NGN NOK NZD PAB PEN PHP PKR PLN PYG QAR RON RSD RUB " +
		"SAR SEK SGD THB TND TRY TTD TWD TZS UAH USD UYU VND XAF XCD XOF XPF ZAR"
)

// listed reports whether a list of codes parted by spaces holds one.
func listed(codes, code string) bool {
	return code != "" && !strings.Contains(code, " ") && strings.Contains(" "+codes+" ", " "+code+" ")
}

// country is Amazon's code for what the event, its place, its locale, the route or the
// pixel says.
func country(d event.Delivery, p params) string {
	for _, c := range []string{d.Event.Subject.Country, d.Event.Context.Place.Country, localeRegion(d.Event.Context.Locale), p.Country, d.Country} {
		c = strings.ToUpper(strings.TrimSpace(c))
		if c == "UK" {
			c = "GB"
		}
		if listed(countryCodes, c) {
			return c
		}
	}
	return ""
}

// localeRegion is GB of en-GB, TW of zh-Hant-TW and US of en_US.
func localeRegion(locale string) string {
	tags := strings.FieldsFunc(locale, func(r rune) bool { return r == '-' || r == '_' })
	if len(tags) < 2 {
		return ""
	}
	i := slices.IndexFunc(tags[1:], func(t string) bool { return len(t) == 2 })
	if i < 0 {
		return ""
	}
	return tags[i+1]
}
