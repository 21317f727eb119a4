package consent

import (
	"strings"

	"github.com/miq/pixel/modules/event"
)

// Stated reports whether a verdict rests on something that was said, by the visitor,
// the visitor's browser or the page, rather than on silence or on what could not be
// read. Either allows as little; but an image without parameters, or a page whose
// macros were never filled in, must not make a visitor's old consent a withdrawn one.
func Stated(v event.Verdict, c event.Consent) bool {
	_, row, _ := strings.Cut(v.Rule, "/")
	row, claimed := strings.CutSuffix(row, "/claim")
	switch {
	case v.Rule == "claim":
		return true
	case claimed:
		return c.State != ""
	}
	switch row {
	case "G1", "U6", "U8", "D1", "R7":
		return false
	case "C1":
		return c.GCM != (event.ConsentMode{})
	}
	return true
}
