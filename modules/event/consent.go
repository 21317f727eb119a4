package event

// State is how far a visitor's consent goes. A State that is not one of the
// three below allows nothing.
type State string

// The states, least first.
const (
	None    State = "none"    // nothing is stored and nothing is sent
	Partial State = "partial" // our own analytics only
	Full    State = "full"    // advertising partners too, each by its own permission
)

func (s State) rank() int {
	switch s {
	case Full:
		return 2
	case Partial:
		return 1
	}
	return 0
}

// Allows reports whether s goes at least as far as need.
func (s State) Allows(need State) bool { return s.rank() >= need.rank() }

// Stricter returns the state that allows less.
func Stricter(a, b State) State {
	if a.rank() <= b.rank() {
		return normal(a)
	}
	return normal(b)
}

func normal(s State) State {
	if s.rank() == 0 {
		return None
	}
	return s
}

// Consent holds the signals as the page sent them, unread. They are kept with
// the event as its proof, and decided upon again before each delivery.
type Consent struct {
	GDPRApplies  *bool       `json:"gdpr_applies,omitempty"`
	TCF          string      `json:"tcf,omitempty"`
	GPP          string      `json:"gpp,omitempty"`
	GPPSID       []int       `json:"gpp_sid,omitempty"`
	USPrivacy    string      `json:"us_privacy,omitempty"`
	AddtlConsent string      `json:"addtl_consent,omitempty"`
	GPC          bool        `json:"gpc,omitempty"`
	GCM          ConsentMode `json:"gcm,omitzero"`
	// State is the client's own conclusion; we never grant more.
	State State `json:"state,omitempty"`
}

// ConsentMode is Google Consent Mode: "granted", "denied", or "" where the
// signal was never set.
type ConsentMode struct {
	AdStorage         string `json:"ad_storage,omitempty"`
	AdUserData        string `json:"ad_user_data,omitempty"`
	AdPersonalization string `json:"ad_personalization,omitempty"`
	AnalyticsStorage  string `json:"analytics_storage,omitempty"`
}

// Verdict is what was decided from the signals, and by which rule.
type Verdict struct {
	State  State  `json:"state"`
	Regime string `json:"regime"` // gdpr, us, default
	// Rule is the number in the decision table, such as "G5" or "R6/G1".
	Rule string `json:"rule"`
	// Reason says the same to people.
	Reason string `json:"reason"`
}

// Permission is what one partner may do with one event.
type Permission string

// The permissions, least first.
const (
	Denied  Permission = "none"
	Measure Permission = "measure" // count it, but do not use it to build audiences
	Allowed Permission = "full"
)
