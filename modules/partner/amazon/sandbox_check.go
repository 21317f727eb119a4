package amazon

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// anEvent is the sandbox's own: were it the adapter's type, a slip in that
// would pass unseen.
type anEvent struct {
	Description *struct {
		Name      string  `json:"name"`
		Type      string  `json:"conversionType"`
		Source    string  `json:"eventSource"`
		Ingestion string  `json:"eventIngestionMethod"`
		DataSet   *string `json:"dataSetName"`
	} `json:"eventDescription"`
	Time      string         `json:"eventTime"`
	Country   string         `json:"countryCode"`
	ID        string         `json:"eventId"`
	Value     jsontext.Value `json:"value"`
	Currency  *string        `json:"currencyCode"`
	UnitsSold *int32         `json:"unitsSold"`
	MatchKeys []struct {
		Type   string   `json:"type"`
		Values []string `json:"values"`
	} `json:"matchKeys"`
	Custom []struct {
		Name     string  `json:"name"`
		Value    string  `json:"value"`
		DataType *string `json:"dataType"`
	} `json:"customData"`
	Options *struct {
		Options string `json:"options"`
	} `json:"dataProcessingOptions"`
	Consent *struct {
		Geo *struct {
			IP string `json:"ipAddress"`
		} `json:"geo"`
		Amazon *struct {
			UserData  string  `json:"amznUserData"`
			AdStorage *string `json:"amznAdStorage"`
		} `json:"amazonConsent"`
		TCF *string `json:"tcf"`
		GPP *string `json:"gpp"`
	} `json:"consent"`
	Device *struct {
		UserAgent string `json:"userAgent"`
	} `json:"deviceInfo"`
	Aref    *string `json:"arefMeasurementTokens"`
	AdKey   *string `json:"amazonAdEventKey"`
	Partner *string `json:"partner"`
}

var (
	words     = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	dataSet   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
	hash      = regexp.MustCompile(`^[0-9a-f]{64}$`)
	twoPlaces = regexp.MustCompile(`^-?\d+(\.\d{1,2})?$`)
	tokens    = regexp.MustCompile(`^[A-Za-z0-9]{10}\.\d{13}(\|[A-Za-z0-9]{10}\.\d{13})*$`)
)

const (
	types = "ADD_TO_SHOPPING_CART APPLICATION CHECKOUT CONTACT LEAD OFF_AMAZON_PURCHASES PAGE_VIEW SEARCH SIGN_UP SUBSCRIBE MOBILE_APP_FIRST_START OTHER"
	where = "WEBSITE ANDROID IOS FIRE_TV OFFLINE MEASUREMENT_ATTRIBUTION_PARTNER"
	asRaw = "MAID RAMP_ID MATCH_ID REAL_ID MERKLE_ID KANTAR_ID FIP"
	asSHA = "EMAIL PHONE FIRST_NAME LAST_NAME ADDRESS CITY STATE POSTAL"
)

// fault is the first thing that is wrong with an event.
func (e anEvent) fault(now time.Time) itemError {
	const invalid = "FIELD_VALUE_IS_INVALID"
	d := e.Description
	if d == nil {
		return itemError{"FIELD_VALUE_IS_NULL", "eventDescription", "is required"}
	}
	at, err := time.Parse(time.RFC3339Nano, e.Time)
	switch {
	case d.Name == "":
		return itemError{"FIELD_VALUE_IS_EMPTY", "eventDescription.name", "is required"}
	case !listed(types, d.Type):
		return itemError{invalid, "eventDescription.conversionType", "is not one of the enumeration"}
	case !listed(where, d.Source):
		return itemError{invalid, "eventDescription.eventSource", "is not one of the enumeration"}
	case d.Ingestion != "SERVER_TO_SERVER":
		return itemError{invalid, "eventDescription.eventIngestionMethod", "must be SERVER_TO_SERVER"}
	case d.DataSet != nil && !dataSet.MatchString(*d.DataSet):
		return itemError{"FIELD_VALUE_CONTAINS_INVALID_CHARACTERS", "eventDescription.dataSetName", "must be a name"}
	case err != nil:
		return itemError{invalid, "eventTime", "must be an ISO 8601 date-time"}
	case now.Sub(at) > 21*24*time.Hour || at.Sub(now) > time.Hour:
		return itemError{"FIELD_VALUE_IS_OUT_OF_RANGE", "eventTime", "is too old or in the future"}
	case !listed(countryCodes+" ZZ OTHER OTHER_EEA", e.Country):
		return itemError{invalid, "countryCode", "is not one of the enumeration"}
	case len(e.MatchKeys) == 0 || len(e.MatchKeys) > 15:
		return itemError{"FIELD_SIZE_IS_OUT_OF_RANGE", "matchKeys", "1 to 15 are needed"}
	case len(e.Custom) > 13:
		return itemError{"FIELD_SIZE_IS_ABOVE_MAXIMUM_LIMIT", "customData", "13 at most"}
	case e.Options != nil && e.Options.Options != "LIMITED_DATA_USE":
		return itemError{invalid, "dataProcessingOptions.options", "is not one of the enumeration"}
	case e.Device != nil && len(e.Device.UserAgent) > 512:
		return itemError{"FIELD_SIZE_IS_ABOVE_MAXIMUM_LIMIT", "deviceInfo.userAgent", "512 characters at most"}
	case e.Aref != nil && !tokens.MatchString(*e.Aref):
		return itemError{invalid, "arefMeasurementTokens", "must be pairs of token and time"}
	}
	if bad := e.money(); bad.Code != "" {
		return bad
	}
	for _, k := range e.MatchKeys {
		if len(k.Values) != 1 || k.Values[0] == "" {
			return itemError{"FIELD_SIZE_IS_OUT_OF_RANGE", "matchKeys.values", "exactly one value is needed"}
		}
		_, notIP := netip.ParseAddr(k.Values[0])
		switch {
		case !listed(asRaw+" "+asSHA, k.Type):
			return itemError{invalid, "matchKeys.type", "is not one of the enumeration"}
		case listed(asSHA, k.Type) && !hash.MatchString(k.Values[0]):
			return itemError{invalid, "matchKeys.values", "must be a SHA-256 in lower-case hex"}
		case k.Type == "FIP" && notIP != nil:
			return itemError{invalid, "matchKeys.values", "must be an IP address"}
		}
	}
	for _, c := range e.Custom {
		if !words.MatchString(c.Name) || !words.MatchString(c.Value) || c.DataType != nil && !slices.Contains([]string{"STRING", "INTEGER", "TIMESTAMP"}, *c.DataType) {
			return itemError{"FIELD_VALUE_CONTAINS_INVALID_CHARACTERS", "customData", "letters, digits and underscores only"}
		}
	}
	return e.consentFault()
}

func (e anEvent) money() itemError {
	sale := e.Description.Type == "OFF_AMAZON_PURCHASES"
	value := string(e.Value)
	switch {
	case e.Value != nil && (e.Value.Kind() != '0' || !twoPlaces.MatchString(value)):
		return itemError{"FIELD_VALUE_IS_INVALID", "value", "must be a number with at most 2 decimals"}
	case sale && strings.HasPrefix(value, "-"):
		return itemError{"FIELD_VALUE_IS_BELOW_MINIMUM_LIMIT", "value", "must not be negative"}
	case sale && e.Value != nil && e.Currency == nil:
		return itemError{"FIELD_VALUE_IS_NULL", "currencyCode", "is required with money"}
	case e.Currency != nil && (!sale || !listed(currencyCodes, *e.Currency)):
		return itemError{"FIELD_VALUE_IS_INVALID", "currencyCode", "is for purchases, and of the enumeration"}
	case e.UnitsSold != nil && !sale:
		return itemError{"FIELD_VALUE_MUST_BE_EMPTY_OR_NULL", "unitsSold", "is for purchases"}
	}
	return itemError{}
}

func (e anEvent) consentFault() itemError {
	c := e.Consent
	if c == nil {
		return itemError{}
	}
	given := func(s string) bool { return s == "GRANTED" || s == "DENIED" }
	switch {
	case c.Geo == nil && c.Amazon == nil && c.TCF == nil && c.GPP == nil:
		return itemError{"FIELD_VALUE_IS_EMPTY", "consent", "one of geo, amazonConsent, tcf and gpp is needed"}
	case c.Amazon != nil && (!given(c.Amazon.UserData) || c.Amazon.AdStorage != nil && !given(*c.Amazon.AdStorage)):
		return itemError{"FIELD_VALUE_IS_INVALID", "consent.amazonConsent", "must be GRANTED or DENIED"}
	case c.TCF != nil && url.QueryEscape(*c.TCF) != *c.TCF || c.TCF != nil && *c.TCF == "":
		return itemError{"FIELD_VALUE_IS_INVALID", "consent.tcf", "is no TC string"}
	case c.Geo != nil:
		if _, err := netip.ParseAddr(c.Geo.IP); err != nil {
			return itemError{"FIELD_VALUE_IS_INVALID", "consent.geo.ipAddress", "must be an IP address"}
		}
	}
	return itemError{}
}
