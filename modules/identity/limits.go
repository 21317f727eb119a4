package identity

// Limits say how many distinct identifiers of each kind one identifier may have been
// seen with. One that was seen with more stands for no single person: a till, a
// library's computer, a placeholder. It is quarantined: it links nobody, neither what
// it was seen with before nor what it is seen with later.
//
// They look at nothing but the set of what an identifier was seen with, so that the
// order in which events come makes no difference.
type Limits struct {
	Customers int // customer ids
	Contacts  int // e-mail digests, and as many telephones
	Browsers  int // visitors, and as many partners' cookies and device ids
	// Profile is how many identifiers one profile may hold. Those of a larger one
	// are not joined at all.
	Profile int
}

// Usual are the limits that the configuration has unless it says otherwise.
var Usual = Limits{Customers: 3, Contacts: 5, Browsers: 100, Profile: 200}

func (l *Limits) of(k Kind) int {
	switch k {
	case User:
		return l.Customers
	case Email, Phone, UID2:
		return l.Contacts
	}
	return l.Browsers
}

// room is how many of a kind an identifier's record takes: more than the limit,
// so that one which is let go from quarantine has its links. What was seen with still
// more cannot be let go.
func (l *Limits) room(k Kind) int { return 2 * l.of(k) }

// Reason is why an identifier links nobody; empty where it may.
type Reason string

// The reasons.
const (
	ByHand       Reason = "by_hand"       // somebody decided so
	TooMany      Reason = "too_many"      // it was seen with more than the limits allow
	FarTooMany   Reason = "far_too_many"  // with so many that not all are remembered
	ProfileLarge Reason = "profile_large" // its profile would have too many identifiers
)

// reason is why a record links nobody.
func (l *Limits) reason(r *record) Reason {
	switch {
	case r.has(blocked):
		return ByHand
	case r.has(overflowed):
		return FarTooMany
	case r.has(released) || len(r.edges) <= l.Customers && len(r.edges) <= l.Contacts:
		return ""
	}
	var n [kinds]int
	for i := range r.edges {
		e := &r.edges[i]
		if e.has(cut) {
			continue
		}
		k := e.to.Kind()
		if n[k]++; n[k] > l.of(k) {
			return TooMany
		}
	}
	return ""
}
