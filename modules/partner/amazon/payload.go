package amazon

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

// request is the body of a call.
type request struct {
	Events []conversion `json:"events"`
}

// conversion is Amazon's EventCreate.
type conversion struct {
	Description description `json:"eventDescription"`
	Time        string      `json:"eventTime"`
	Country     string      `json:"countryCode"`
	ID          string      `json:"eventId"`
	// Value is a number with the digits that came, two decimals at most.
	Value     jsontext.Value  `json:"value,omitempty"`
	Currency  string          `json:"currencyCode,omitempty"`
	UnitsSold int32           `json:"unitsSold,omitzero"`
	MatchKeys []matchKey      `json:"matchKeys"`
	Custom    []attribute     `json:"customData,omitempty"`
	Options   *dataProcessing `json:"dataProcessingOptions,omitempty"`
	Consent   *consent        `json:"consent,omitempty"`
	Device    *device         `json:"deviceInfo,omitempty"`
	Aref      string          `json:"arefMeasurementTokens,omitempty"`
	AdKey     string          `json:"amazonAdEventKey,omitempty"`
	Partner   string          `json:"partner,omitempty"`
}

type description struct {
	Name       string `json:"name"`
	Type       string `json:"conversionType"`
	Source     string `json:"eventSource"`
	Ingestion  string `json:"eventIngestionMethod"`
	DataSetKey string `json:"dataSetName,omitempty"`
}

type matchKey struct {
	Type   string    `json:"type"`
	Values [1]string `json:"values"`
}

type attribute struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	DataType string `json:"dataType"`
}

type dataProcessing struct {
	Options string `json:"options"`
}

type consent struct {
	Geo    *geo           `json:"geo,omitempty"`
	Amazon *amazonConsent `json:"amazonConsent,omitempty"`
	TCF    string         `json:"tcf,omitempty"`
	GPP    string         `json:"gpp,omitempty"`
}

type geo struct {
	IP string `json:"ipAddress"`
}

type amazonConsent struct {
	UserData  string `json:"amznUserData"`
	AdStorage string `json:"amznAdStorage,omitempty"`
}

type device struct {
	UserAgent string `json:"userAgent"`
}

// answer is what Amazon answers: lists for 207, code and message otherwise.
type answer struct {
	Success []struct {
		Index *int `json:"index"`
	} `json:"success"`
	Error []struct {
		Index  *int                          `json:"index"`
		Errors partner.Quoted[[]answerError] `json:"errors"`
	} `json:"error"`
}

type answerError struct {
	Code     string `json:"code"`
	Location string `json:"fieldLocation"`
	Message  string `json:"message"`
}
