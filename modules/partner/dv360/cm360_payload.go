package dv360

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

// conversionsRequest is the body of batchinsert and of batchupdate.
type conversionsRequest struct {
	Kind        string       `json:"kind"`
	Conversions []conversion `json:"conversions"`
	Encryption  *encryption  `json:"encryptionInfo,omitempty"`
}

// conversion is a conversion of Campaign Manager 360. Its integers of 64 bits are
// JSON strings.
type conversion struct {
	ConfigurationID string         `json:"floodlightConfigurationId"`
	ActivityID      string         `json:"floodlightActivityId"`
	Ordinal         string         `json:"ordinal"`
	TimestampMicros int64          `json:"timestampMicros,string"`
	Quantity        int64          `json:"quantity,string"`
	Value           jsontext.Value `json:"value"`

	Dclid          string   `json:"dclid,omitempty"`
	Gclid          string   `json:"gclid,omitempty"`
	MatchID        string   `json:"matchId,omitempty"`
	ImpressionID   string   `json:"impressionId,omitempty"`
	MobileDeviceID string   `json:"mobileDeviceId,omitempty"`
	EncryptedID    string   `json:"encryptedUserId,omitempty"`
	Candidates     []string `json:"encryptedUserIdCandidates,omitempty"`

	UserIdentifiers []userIdentifier `json:"userIdentifiers,omitempty"`

	AdUserDataConsent string `json:"adUserDataConsent,omitempty"`
	NonPersonalizedAd *bool  `json:"nonPersonalizedAd,omitempty"`
	LimitAdTracking   bool   `json:"limitAdTracking,omitzero"`
	Underage          bool   `json:"treatmentForUnderage,omitzero"`
	ChildDirected     bool   `json:"childDirectedTreatment,omitzero"`

	Variables []customVariable `json:"customVariables,omitempty"`
	Cart      *cart            `json:"cartData,omitempty"`
	Session   string           `json:"sessionAttributesEncoded,omitempty"`
}

type encryption struct {
	Kind   string `json:"kind"`
	Type   string `json:"encryptionEntityType"`
	ID     string `json:"encryptionEntityId"`
	Source string `json:"encryptionSource"`
}

// userIdentifier holds one of its members.
type userIdentifier struct {
	Email   string       `json:"hashedEmail,omitempty"`
	Phone   string       `json:"hashedPhoneNumber,omitempty"`
	Address *addressInfo `json:"addressInfo,omitempty"`
}

type addressInfo struct {
	FirstName  string `json:"hashedFirstName"`
	LastName   string `json:"hashedLastName"`
	Street     string `json:"hashedStreetAddress,omitempty"`
	City       string `json:"city,omitempty"`
	State      string `json:"state,omitempty"`
	PostalCode string `json:"postalCode"`
	Country    string `json:"countryCode"`
}

type customVariable struct {
	Kind  string `json:"kind"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

type cart struct {
	MerchantID   string     `json:"merchantId"`
	FeedLabel    string     `json:"merchantFeedLabel,omitempty"`
	FeedLanguage string     `json:"merchantFeedLanguage,omitempty"`
	Items        []cartItem `json:"items"`
}

type cartItem struct {
	ID        string         `json:"itemId"`
	Quantity  int64          `json:"quantity"`
	UnitPrice jsontext.Value `json:"unitPrice,omitempty"`
}

type conversionStatus struct {
	Errors partner.Quoted[[]conversionError] `json:"errors"`
}

type conversionError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
