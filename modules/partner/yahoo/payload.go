package yahoo

import "github.com/go-json-experiment/json/jsontext"

// conversion is an event of the Conversion API. The body of a call is a bare array
// of them.
type conversion struct {
	TS           int64      `json:"eventTs"` // seconds
	Name         string     `json:"eventName"`
	ID           string     `json:"eventId"`
	ActionSource string     `json:"actionSource"`
	URL          string     `json:"actionSourceUrl,omitempty"`
	Country      string     `json:"country,omitempty"`
	Region       string     `json:"region,omitempty"`
	User         userData   `json:"userData"`
	Event        *eventData `json:"eventData,omitempty"`
	Click        *clickData `json:"clickData,omitempty"`
	Privacy      *privacy   `json:"privacy,omitempty"`
}

type userData struct {
	Email     []string `json:"email,omitempty"`
	Phone     []string `json:"phone,omitempty"`
	GPSAID    []string `json:"gpsaid,omitempty"`
	IDFA      []string `json:"idfa,omitempty"`
	PXID      []string `json:"pxid,omitempty"`
	IP        string   `json:"ip_address,omitempty"`
	UserAgent string   `json:"userAgent,omitempty"`
}

type clickData struct {
	VMCID string `json:"vmcid,omitempty"`
	TBLCI string `json:"tblci,omitempty"`
}

type eventData struct {
	Price    jsontext.Value    `json:"price,omitempty"`
	Products []product         `json:"products,omitempty"`
	Custom   map[string]string `json:"customKeyValues,omitempty"`
}

type product struct {
	Category    string `json:"category"`
	SubCategory string `json:"subCategory,omitempty"`
}

type privacy struct {
	Type    string `json:"privacy_type"`
	Consent string `json:"consent_string"`
	GPPSID  []int  `json:"gpp_sid,omitempty"`
}

// answer is what the API answers; PARTIAL does not say which events failed.
type answer struct {
	Success jsontext.Value `json:"success"`
	Message string         `json:"message"`
}
