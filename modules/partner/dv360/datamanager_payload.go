package dv360

import "github.com/go-json-experiment/json/jsontext"

// eventsRequest is the body of events:ingest.
type eventsRequest struct {
	Destinations []destination `json:"destinations"`
	Encoding     string        `json:"encoding,omitempty"`
	ValidateOnly bool          `json:"validateOnly,omitzero"`
	Events       []ingested    `json:"events"`
}

type destination struct {
	Reference string  `json:"reference"`
	Operating account `json:"operatingAccount"`
	Login     account `json:"loginAccount"`
	Product   string  `json:"productDestinationId"`
}

type account struct {
	Type string `json:"accountType"`
	ID   string `json:"accountId"`
}

// ingested is an event of the Data Manager API.
type ingested struct {
	References    []string       `json:"destinationReferences"`
	TransactionID string         `json:"transactionId"`
	Time          string         `json:"eventTimestamp"`
	Updated       string         `json:"lastUpdatedTimestamp,omitempty"`
	AdIdentifiers adIdentifiers  `json:"adIdentifiers"`
	UserData      *userData      `json:"userData,omitempty"`
	Consent       *consent       `json:"consent,omitempty"`
	Currency      string         `json:"currency,omitempty"`
	Value         jsontext.Value `json:"conversionValue,omitempty"`
	Count         int64          `json:"conversionCount"`
	Source        string         `json:"eventSource"`
	Device        *device        `json:"eventDeviceInfo,omitempty"`
	Cart          *eventCart     `json:"cartData,omitempty"`
	Variables     []eventVar     `json:"customVariables,omitempty"`
}

type adIdentifiers struct {
	Dclid          string            `json:"dclid,omitempty"`
	Gclid          string            `json:"gclid,omitempty"`
	Gbraid         string            `json:"gbraid,omitempty"`
	Wbraid         string            `json:"wbraid,omitempty"`
	MatchID        string            `json:"matchId,omitempty"`
	ImpressionID   string            `json:"impressionId,omitempty"`
	MobileDeviceID string            `json:"mobileDeviceId,omitempty"`
	EncryptedIDs   []encryptedUserID `json:"encryptedUserIds,omitempty"`
}

type encryptedUserID struct {
	ID         string `json:"encryptedId"`
	EntityType string `json:"entityType"`
	EntityID   string `json:"entityId"`
	Source     string `json:"source"`
}

type userData struct {
	Identifiers []eventIdentifier `json:"userIdentifiers"`
}

// eventIdentifier holds one of its members.
type eventIdentifier struct {
	Email   string        `json:"emailAddress,omitempty"`
	Phone   string        `json:"phoneNumber,omitempty"`
	Address *eventAddress `json:"address,omitempty"`
}

type eventAddress struct {
	GivenName  string `json:"givenName"`
	FamilyName string `json:"familyName"`
	Region     string `json:"regionCode"`
	PostalCode string `json:"postalCode"`
}

type consent struct {
	UserData        string `json:"adUserData,omitempty"`
	Personalization string `json:"adPersonalization,omitempty"`
}

type device struct {
	UserAgent string `json:"userAgent,omitempty"`
	IP        string `json:"ipAddress,omitempty"`
}

type eventCart struct {
	MerchantID   string         `json:"merchantId"`
	FeedLabel    string         `json:"merchantFeedLabel,omitempty"`
	FeedLanguage string         `json:"merchantFeedLanguageCode,omitempty"`
	Discount     jsontext.Value `json:"transactionDiscount,omitempty"`
	Items        []eventItem    `json:"items"`
}

type eventItem struct {
	ID        string         `json:"merchantProductId"`
	Quantity  int64          `json:"quantity,string"`
	UnitPrice jsontext.Value `json:"unitPrice,omitempty"`
}

type eventVar struct {
	Variable string `json:"variable"`
	Value    string `json:"value"`
}

// statusAnswer is what requestStatus:retrieve answers: counts by reason, and never
// which event.
type statusAnswer struct {
	Destinations []struct {
		Status string `json:"requestStatus"`
		Errors struct {
			Counts []reasonCount `json:"errorCounts"`
		} `json:"errorInfo"`
		Warnings struct {
			Counts []reasonCount `json:"warningCounts"`
		} `json:"warningInfo"`
	} `json:"requestStatusPerDestination"`
}

type reasonCount struct {
	Count  jsontext.Value `json:"recordCount"`
	Reason string         `json:"reason"`
}
