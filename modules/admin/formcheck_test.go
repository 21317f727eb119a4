package admin

import "testing"

func TestPatternsAreSaidInWords(t *testing.T) {
	for pattern, want := range map[string]string{
		`^[A-Za-z0-9_-]{1,64}$`:          "must be 1 to 64 letters, digits, _ or -",
		`^([A-Za-z0-9_.-]{1,64})?$`:      "must be 1 to 64 letters, digits, _, . or -",
		`^[A-Z]{3}$`:                     "must be 3 capital letters",
		`^[A-Z0-9_-]{1,20}$`:             "must be 1 to 20 capital letters, digits, _ or -",
		`^[a-z]{0,32}$`:                  "must be 0 to 32 small letters",
		`^[1-9][0-9]{0,18}$`:             "must be a whole number from 1 on, of at most 19 digits and without a 0 in front",
		`^[^\s\x00-\x1f]{1,128}$`:        "must be 1 to 128 characters without spaces",
		`^US-[A-Z]{2}$`:                  "does not look right: it must match ^US-[A-Z]{2}$",
		`^[0-9]{1,9}(\.[0-9]{1,12})?$`:   "does not look right: it must match ^[0-9]{1,9}(\\.[0-9]{1,12})?$",
		`^[A-Za-z][A-Za-z0-9_ -]{0,63}$`: "does not look right: it must match ^[A-Za-z][A-Za-z0-9_ -]{0,63}$",
		`^[A-Za-z][A-Za-z0-9_-]{4,99}$`:  "does not look right: it must match ^[A-Za-z][A-Za-z0-9_-]{4,99}$",
		`^[!-~]{1,64}$`:                  "does not look right: it must match ^[!-~]{1,64}$",
	} {
		if got := inWords(pattern); got != want {
			t.Errorf("%s: %q, not %q", pattern, got, want)
		}
	}
}
