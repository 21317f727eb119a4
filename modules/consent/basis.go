package consent

// ground is why a vendor may not process for a purpose; granted where it may.
type ground uint8

const (
	granted ground = iota
	undeclared
	undisclosed
	restricted
	notAsked
	purposeRefused
	vendorRefused
)

// Basis reports whether the vendor has a legal basis for the purpose: by its own
// declaration, as the publisher restricted it, with the bits of both the purpose
// and the vendor. Purpose 1 that was not asked counts as not granted.
func (t *TCString) Basis(v Vendor, purpose int) bool {
	q := t.ask(v)
	return q.about(purpose, false) == granted
}

// question is a vendor's place in a string, looked up once for all purposes, so
// that thousands of restrictions are gone through once.
type question struct {
	t                      *TCString
	v                      Vendor
	disclosed, consent, li bool
	limits                 [1 << 6]uint8 // by purpose: the strictest restriction
}

func (t *TCString) ask(v Vendor) question {
	q := question{
		t: t, v: v,
		disclosed: t.Disclosed == nil || t.Disclosed.Contains(v.ID),
		consent:   t.VendorConsents.Contains(v.ID),
		li:        t.VendorLI.Contains(v.ID),
	}
	for i := range q.limits {
		q.limits[i] = unlimited
	}
	for i := range t.restrictions {
		x := &t.restrictions[i]
		kind := x.kind
		if kind > requireLI {
			// The fourth kind has no meaning, and so the strictest one.
			kind = forbid
		}
		if kind < q.limits[x.purpose] && within(t.restricted[x.from:x.to], x.sorted, v.ID) {
			q.limits[x.purpose] = kind
		}
	}
	return q
}

// about answers for one purpose. free says that the publisher's country needs no
// consent for purpose 1, so that its not being asked is no refusal.
func (q *question) about(purpose int, free bool) ground {
	byConsent, byLI := q.v.Consent.Has(purpose), q.v.LI.Has(purpose) && !q.v.Consent.Has(purpose)
	flexible := q.v.Flexible.Has(purpose)
	switch {
	case !byConsent && !byLI:
		return undeclared
	case !q.disclosed:
		return undisclosed
	}
	if kind := q.limits[purpose]; kind != unlimited {
		switch {
		case kind == requireConsent && (byConsent || flexible):
			byLI = false
		case kind == requireLI && (byLI || flexible):
			byLI = true
		default:
			return restricted
		}
	}
	if byLI {
		switch {
		case noLI.Has(purpose):
			return restricted
		case !q.t.PurposeLI.Has(purpose):
			return purposeRefused
		case !q.li:
			return vendorRefused
		}
		return granted
	}
	allowed := q.t.PurposeConsents.Has(purpose)
	if purpose == 1 && q.t.PurposeOneTreatment {
		if !free {
			return notAsked
		}
		allowed = true
	}
	switch {
	case !allowed:
		return purposeRefused
	case !q.consent:
		return vendorRefused
	}
	return granted
}
