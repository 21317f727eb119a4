package consent

// Purposes is a set of TCF purposes.
type Purposes uint32

// PurposesOf makes a set of numbers from 1 to 24.
func PurposesOf(ids ...int) Purposes {
	var p Purposes
	for _, id := range ids {
		p |= 1 << id
	}
	return p
}

// Has reports whether a purpose is in the set.
func (p Purposes) Has(id int) bool { return id >= 1 && id <= 24 && p>>id&1 == 1 }

// Vendor is what a company in the IAB's global vendor list declares of itself:
// for which purposes it asks consent, for which it claims a legitimate interest,
// and where it takes the other basis if a publisher requires it.
type Vendor struct {
	ID       int
	Name     string
	Consent  Purposes
	LI       Purposes
	Flexible Purposes
}

// Our own id and what it takes to keep and to share an event.
const defaultVendor = 101

var (
	// noLI may rest on consent alone, whoever claims what.
	noLI = PurposesOf(1, 3, 4, 5, 6)
	// ownFull is what state full takes of our own vendor.
	ownFull = PurposesOf(1, 2, 3, 4, 7, 9, 10)
	every   = PurposesOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
)

// known are the declarations of ourselves and of the partners. A vendor list
// cannot be fetched at run time, and lists change: give newer ones in
// Options.Vendors. Sources: global vendor list, specification 3, version 17
// (September 2023) for 755, 21 and 101; specification 2, version 51 (August
// 2020) for 25 and 793, of which only the id is certain today.
func known() []Vendor {
	return []Vendor{
		{
			ID: 755, Name: "Google",
			Consent: PurposesOf(1, 3, 4), LI: PurposesOf(2, 7, 9, 10), Flexible: PurposesOf(2, 7, 9, 10),
		},
		{
			ID: 21, Name: "The Trade Desk",
			Consent: PurposesOf(1, 3, 4), LI: PurposesOf(2, 7, 10), Flexible: PurposesOf(2, 7, 10),
		},
		{
			ID: defaultVendor, Name: "MiQ",
			Consent: PurposesOf(1, 2, 3, 4, 7, 9, 10),
		},
		{
			ID: 25, Name: "Yahoo",
			Consent: PurposesOf(1, 3, 4, 5, 6), LI: PurposesOf(2, 7, 8, 9, 10), Flexible: PurposesOf(2, 7, 8, 9, 10),
		},
		{
			ID: 793, Name: "Amazon",
			Consent: PurposesOf(1, 2, 3, 4, 7, 9, 10), Flexible: PurposesOf(2, 7, 9, 10),
		},
	}
}

// ConsentOnly is the careful reading of a declaration that may be out of date:
// consent for everything that is declared at all.
func (v Vendor) ConsentOnly() Vendor {
	v.Consent |= v.LI
	v.LI, v.Flexible = 0, 0
	return v
}
