package ttd

import "github.com/miq/pixel/modules/partner"

// request is the body of a real-time call.
type request struct {
	Data []conversion `json:"data"`
}

// conversion is one real-time event. There is no time of the event, no e-mail
// and no telephone number: The Trade Desk has no field for them.
type conversion struct {
	TrackerID  string `json:"tracker_id,omitempty"`
	UPixelID   string `json:"upixel_id,omitempty"`
	MerchantID string `json:"merchant_id,omitempty"`
	Adv        string `json:"adv,omitempty"`
	EventName  string `json:"event_name,omitempty"`

	AdIDType string `json:"adid_type,omitempty"`
	AdID     string `json:"adid,omitempty"`
	IDs      ids    `json:",embed"`

	ClientIP    string `json:"client_ip,omitempty"`
	ReferrerURL string `json:"referrer_url,omitempty"` // the page of the event, not document.referrer
	OrderID     string `json:"order_id,omitempty"`
	Value       string `json:"value,omitempty"`
	Currency    string `json:"currency,omitempty"`
	Items       []item `json:"items,omitempty"`

	Dimensions dimensions `json:",embed"`

	Imp   string `json:"imp,omitempty"`
	IAttr *bool  `json:"iattr,omitempty"`
	IVTC  *bool  `json:"ivtc,omitempty"`

	Country string `json:"country,omitempty"`
	Region  string `json:"region,omitempty"`
	Metro   string `json:"metro,omitempty"`
	City    string `json:"city,omitempty"`
	Zip     string `json:"zip,omitempty"`

	PrivacySettings      []privacy[int]  `json:"privacy_settings,omitempty"`
	DataProcessingOption *dataProcessing `json:"data_processing_option,omitempty"`
}

type item struct {
	Code  string `json:"item_code"`
	Name  string `json:"name,omitempty"`
	Qty   string `json:"qty,omitempty"`
	Price string `json:"price,omitempty"`
	Cat   string `json:"cat,omitempty"`
}

// privacy is a consent signal; the two calls write is_applicable differently.
type privacy[applicable int | string] struct {
	Type       string     `json:"privacy_type"`
	Applicable applicable `json:"is_applicable"`
	Consent    string     `json:"consent_string"`
}

type dataProcessing struct {
	Policies []string `json:"policies"`
	Region   string   `json:"region"`
}

// offlineRequest is the body of a call for late events.
type offlineRequest struct {
	DataProviderID string        `json:"DataProviderId"`
	Format         []string      `json:"UserIdArrayMetadataFormat"`
	Items          []offlineItem `json:"Items"`
}

type offlineItem struct {
	TrackingTagID string      `json:"TrackingTagId"`
	TimestampUTC  string      `json:"TimestampUtc"`
	UserIDs       [][2]string `json:"UserIdArray,omitempty"`
	ImpressionID  string      `json:"ImpressionId,omitempty"`
	OrderID       string      `json:"OrderId,omitempty"`
	Value         string      `json:"Value,omitempty"`
	Currency      string      `json:"ValueCurrency,omitempty"`
	Country       string      `json:"Country,omitempty"`
	Region        string      `json:"Region,omitempty"`
	Metro         string      `json:"Metro,omitempty"`
	City          string      `json:"City,omitempty"`
	MerchantID    string      `json:"MerchantId,omitempty"`
	EventName     string      `json:"EventName,omitempty"`
	LineItems     []item      `json:"LineItems,omitempty"`

	PrivacySettings []privacy[string] `json:"PrivacySettings,omitempty"`

	TD1  string `json:"TD1,omitempty"`
	TD2  string `json:"TD2,omitempty"`
	TD3  string `json:"TD3,omitempty"`
	TD4  string `json:"TD4,omitempty"`
	TD5  string `json:"TD5,omitempty"`
	TD6  string `json:"TD6,omitempty"`
	TD7  string `json:"TD7,omitempty"`
	TD8  string `json:"TD8,omitempty"`
	TD9  string `json:"TD9,omitempty"`
	TD10 string `json:"TD10,omitempty"`
}

// answer is what both calls answer; a body may also be plain text.
type answer struct {
	EventResponses []eventResponse              `json:"EventResponses"`
	FailedLines    []partner.Quoted[failedLine] `json:"FailedLines"`
}

type eventResponse struct {
	EventIndex  *int                         `json:"EventIndex"`
	EventErrors partner.Quoted[[]eventError] `json:"EventErrors"`
	Successful  *bool                        `json:"Successful"`
}

type eventError struct {
	Error        string `json:"Error"`
	ErrorMessage string `json:"ErrorMessage"`
}

type failedLine struct {
	ItemNumber itemNumber `json:"ItemNumber"`
	OrderID    string     `json:"OrderId"`
	ErrorCode  string     `json:"ErrorCode"`
	Message    string     `json:"Message"`
}
