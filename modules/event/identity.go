package event

import "log/slog"

// Identity is what a page says of who the visitor is. It may hold plain
// personal data, so it lives only inside the collector's request: what travels
// on is a Subject.
type Identity struct {
	AnonymousID string            `json:"anonymous_id"`
	UserID      string            `json:"user_id"`
	Email       string            `json:"email"`
	Phone       string            `json:"phone"`
	EmailSHA256 string            `json:"email_sha256"`
	PhoneSHA256 string            `json:"phone_sha256"`
	Address     Address           `json:"address"`
	ClickIDs    map[string]string `json:"click_ids"`
	PartnerIDs  map[string]string `json:"partner_ids"`
}

// Address is a postal address in plain text.
type Address struct {
	FirstName  string `json:"first_name"`
	LastName   string `json:"last_name"`
	Street     string `json:"street"`
	City       string `json:"city"`
	Region     string `json:"region"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`
}

// LogValue keeps an Identity out of the logs.
func (Identity) LogValue() slog.Value { return slog.StringValue("[identity]") }

// Subject is who an event is about, in the form that we keep: ids, and digests
// of personal data (SHA-256, lower-case hex), one for each rule a partner needs.
type Subject struct {
	// VisitorID holds a visitor's events together.
	VisitorID   string `json:"visitor_id,omitempty"`
	AnonymousID string `json:"anonymous_id,omitempty"` // the browser's id, from the tag or our cookie
	UserID      string `json:"user_id,omitempty"`      // the advertiser's own id of a customer

	Email       string `json:"email,omitempty"`        // trimmed, lower case
	EmailGoogle string `json:"email_google,omitempty"` // no white space; and gmail's dots and +suffix dropped
	// EmailCM360 is by Campaign Manager 360's own rule, which leaves gmail's
	// +suffix, where that makes a difference to EmailGoogle.
	EmailCM360  string `json:"email_cm360,omitempty"`
	PhoneE164   string `json:"phone_e164,omitempty"`   // digits with the leading +
	PhoneDigits string `json:"phone_digits,omitempty"` // digits alone

	FirstName  string `json:"first_name,omitempty"`
	LastName   string `json:"last_name,omitempty"`
	Street     string `json:"street,omitempty"`
	City       string `json:"city,omitempty"`
	Region     string `json:"region,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Country    string `json:"country,omitempty"` // ISO 3166-1 alpha-2, in clear

	// These are by Google's rules, where they make a difference to the above:
	// Google leaves punctuation in a first name and in a street.
	FirstNameGoogle string `json:"first_name_google,omitempty"`
	LastNameGoogle  string `json:"last_name_google,omitempty"`
	StreetGoogle    string `json:"street_google,omitempty"`
	// Locality goes with a full address, in clear, for a partner that wants it so. It
	// travels to the partners' queues and is stored nowhere.
	Locality Locality `json:"locality,omitzero"`

	ClickIDs   map[string]string `json:"click_ids,omitempty"`
	PartnerIDs map[string]string `json:"partner_ids,omitempty"`
}

// Locality is the part of a postal address that Google takes in clear only.
type Locality struct {
	City       string `json:"city,omitempty"`
	Region     string `json:"region,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
}

// LogValue keeps a Locality out of the logs.
func (Locality) LogValue() slog.Value { return slog.StringValue("[locality]") }

// LogValue keeps a Subject out of the logs.
func (Subject) LogValue() slog.Value { return slog.StringValue("[subject]") }
