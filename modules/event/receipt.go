package event

import "time"

// ConsentReceipt is the proof of one change of a visitor's consent, or of its first
// sight. A visitor's receipts are a chain: each holds the hash of the one before, so
// that none can be changed, left out or added later without its showing
// (modules/consent makes and checks them).
type ConsentReceipt struct {
	PixelID string `json:"pixel_id"`
	// Subject is a digest of the visitor's id: a proof of a withdrawal must not itself
	// keep the id that was withdrawn.
	Subject string    `json:"subject"`
	Seq     int       `json:"seq"` // from 1
	At      time.Time `json:"at"`  // by our clock
	// Source is the door it came through: "consent" for POST /consent, else an
	// event's Source; SourceID is that event's id, or the request's.
	Source   string `json:"source"`
	SourceID string `json:"source_id"`

	Verdict Verdict `json:"verdict"`
	// Signals are as they came; left out where nothing was allowed, of which only
	// the digest is kept.
	Signals       Consent       `json:"signals,omitzero"`
	SignalsSHA256 string        `json:"signals_sha256"`
	Policy        ConsentPolicy `json:"policy,omitzero"`

	Prev string `json:"prev,omitempty"` // the hash of the receipt before
	Hash string `json:"hash"`
}

// ConsentPolicy is what a consent string says of the rules it was made under.
type ConsentPolicy struct {
	TCFPolicy  int       `json:"tcf_policy,omitempty"`
	VendorList int       `json:"vendor_list,omitempty"`
	CMP        int       `json:"cmp,omitempty"`
	CMPVersion int       `json:"cmp_version,omitempty"`
	Updated    time.Time `json:"updated,omitzero"` // when the visitor last chose
	Sections   []int     `json:"gpp_sections,omitempty"`
}
