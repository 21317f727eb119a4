package consent

import "time"

// Refusal is why a TC string that decodes is worth nothing all the same; ""
// where it is acceptable.
type Refusal string

// The refusals. The last two depend on the clock.
const (
	NotServiceSpecific Refusal = "not_service_specific"
	PolicyTooOld       Refusal = "policy_version_too_old"
	MissingDisclosed   Refusal = "missing_disclosed_vendors"
	FromTheFuture      Refusal = "from_the_future"
	TooOld             Refusal = "too_old"
)

const (
	minPolicy     = 4 // TCF 2.2
	maxAhead      = 48 * time.Hour
	defaultMonths = 13
)

// disclosedSince is when TCF 2.3 made the disclosed vendors segment mandatory.
var disclosedSince = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// String says it to people.
func (r Refusal) String() string {
	switch r {
	case NotServiceSpecific:
		return "it is not specific to the site"
	case PolicyTooOld:
		return "it was made under a policy older than TCF 2.2"
	case MissingDisclosed:
		return "it does not say which vendors the visitor was shown, which TCF 2.3 requires"
	case FromTheFuture:
		return "it is dated more than two days ahead"
	case TooOld:
		return "it is older than the site allows"
	}
	return string(r)
}

// Refusal applies the rules that hold whatever the time: version 2 (Parse
// refuses others), specific to the site, made under TCF 2.2 or later, and
// naming the disclosed vendors if it was made since they are mandatory.
func (t *TCString) Refusal() Refusal {
	switch {
	case !t.ServiceSpecific:
		return NotServiceSpecific
	case t.PolicyVersion < minPolicy:
		return PolicyTooOld
	case t.Disclosed == nil && !t.LastUpdated.Before(disclosedSince):
		return MissingDisclosed
	}
	return ""
}

// Stale applies the rules of the clock: not from the future, and not older than
// so many months (0: 13, by when a CMP must have asked again).
func (t *TCString) Stale(now time.Time, months int) Refusal {
	if months <= 0 {
		months = defaultMonths
	}
	switch {
	case t.LastUpdated.After(now.Add(maxAhead)):
		return FromTheFuture
	case t.LastUpdated.Before(now.AddDate(0, -months, 0)):
		return TooOld
	}
	return ""
}

// Acceptable applies both kinds of rule.
func (t *TCString) Acceptable(now time.Time, months int) Refusal {
	if r := t.Refusal(); r != "" {
		return r
	}
	return t.Stale(now, months)
}
