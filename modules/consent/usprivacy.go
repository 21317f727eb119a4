package consent

import "errors"

// USPrivacy is a us_privacy string: four characters, of which the first is the
// version 1 and the others are Y, N or -.
type USPrivacy struct {
	Notice  byte // was the visitor told of the right to opt out
	OptOut  byte // did the visitor opt out of the sale of personal data
	Covered byte // is the transaction under the Limited Service Provider Agreement
}

var errUSPrivacy = errors.New("us_privacy must be 1 and three of Y, N and -, such as 1YNN")

// ParseUSPrivacy reads a us_privacy string. Capitals only, and a - in the third
// place only where nothing applies.
func ParseUSPrivacy(s string) (USPrivacy, error) {
	if len(s) != 4 || s[0] != '1' {
		return USPrivacy{}, errUSPrivacy
	}
	for i := 1; i < 4; i++ {
		if c := s[i]; c != 'Y' && c != 'N' && c != '-' {
			return USPrivacy{}, errUSPrivacy
		}
	}
	u := USPrivacy{Notice: s[1], OptOut: s[2], Covered: s[3]}
	if u.Applies() && u.OptOut == '-' {
		return USPrivacy{}, errUSPrivacy
	}
	return u, nil
}

// Applies reports whether US privacy law applies by the page's own account.
func (u USPrivacy) Applies() bool { return u != USPrivacy{'-', '-', '-'} }

// OptedOut reports whether the visitor opted out of sale.
func (u USPrivacy) OptedOut() bool { return u.OptOut == 'Y' }
