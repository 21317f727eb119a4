package settings

import (
	"maps"
	"slices"
	"unicode/utf8"
)

// Fields says which fields partners may be sent of a pixel's events. Paths are those of
// modules/fields, by partner. The zero value lets everything go.
type Fields struct {
	// Hold has a delivery wait where it has a field that nobody has decided upon.
	Hold     bool                `json:"hold,omitzero"`
	Approved map[string][]string `json:"approved,omitempty"`
	Refused  map[string][]string `json:"refused,omitempty"` // holds whatever Hold says
}

// MaxFields bounds how many fields are decided upon for a pixel and partner.
const MaxFields = 1000

// maxPath is far beyond what a path of a request comes to.
const maxPath = 1000

// Open reports whether a partner may be sent anything.
func (f *Fields) Open(partner string) bool { return !f.Hold && len(f.Refused[partner]) == 0 }

// Sift parts a request's fields: those that were refused, and those that wait for
// somebody to decide.
func (f *Fields) Sift(partner string, paths []string) (refused, undecided []string) {
	for _, p := range paths {
		switch {
		case has(f.Refused[partner], p):
			refused = append(refused, p)
		case f.Hold && !has(f.Approved[partner], p):
			undecided = append(undecided, p)
		}
	}
	return refused, undecided
}

// has looks in a list that is in order, as Decide leaves it.
func has(list []string, path string) bool {
	_, found := slices.BinarySearch(list, path)
	return found
}

// The decisions upon a field.
const (
	Approve = "approve"
	Refuse  = "refuse"
	Forget  = "forget" // nobody has decided
)

// Decide is Fields with a decision upon paths; f stays as it is.
func (f Fields) Decide(partner, decision string, paths ...string) Fields {
	put := func(lists map[string][]string, in bool) map[string][]string {
		lists = maps.Clone(lists)
		list := slices.DeleteFunc(slices.Clone(lists[partner]), func(p string) bool { return slices.Contains(paths, p) })
		if in {
			list = append(list, paths...)
			slices.Sort(list)
			list = slices.Compact(list)
		}
		switch {
		case len(list) == 0:
			delete(lists, partner)
		case lists == nil:
			lists = map[string][]string{partner: list}
		default:
			lists[partner] = list
		}
		return lists
	}
	f.Approved, f.Refused = put(f.Approved, decision == Approve), put(f.Refused, decision == Refuse)
	return f
}

func (f *Fields) validate(v *Invalid) {
	for at, lists := range map[string]map[string][]string{"fields.approved": f.Approved, "fields.refused": f.Refused} {
		for partner, list := range lists {
			switch {
			case len(list) > MaxFields:
				v.add(at+"."+partner, "must be at most %d fields", MaxFields)
			case !slices.IsSorted(list):
				v.add(at+"."+partner, "must be in the order of the alphabet")
			case slices.ContainsFunc(list, func(p string) bool { return p == "" || utf8.RuneCountInString(p) > maxPath }):
				v.add(at+"."+partner, "must be paths of 1 to %d characters", maxPath)
			}
		}
	}
}
