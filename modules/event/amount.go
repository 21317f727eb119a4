package event

import (
	"errors"
	"math/big"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Amount is a decimal number as it was written, such as "99.5". Money never
// passes through a binary float, which would turn 249.95 into 249.95000000000002.
// It is read from a JSON number or from a string that holds one.
type Amount string

var errAmount = errors.New("must be a number, or a string that holds one, such as 99.50")

// ParseAmount reads a plain decimal: an optional sign, digits, and at most one
// point. It refuses exponents, thousands separators and more than 24 characters.
func ParseAmount(s string) (Amount, error) {
	if s == "" || len(s) > 24 {
		return "", errAmount
	}
	digits, point := 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '-' && i == 0:
		case c == '.' && !point && digits > 0:
			point = true
		default:
			return "", errAmount
		}
	}
	if digits == 0 || s[len(s)-1] == '.' {
		return "", errAmount
	}
	plain, negative := strings.CutPrefix(s, "-")
	// JSON knows no leading zeros.
	for len(plain) > 1 && plain[0] == '0' && plain[1] != '.' {
		plain = plain[1:]
	}
	if negative {
		return Amount("-" + plain), nil
	}
	return Amount(plain), nil
}

// Negative reports whether the amount is below zero.
func (a Amount) Negative() bool { return strings.HasPrefix(string(a), "-") }

// Fixed writes the amount with exactly two decimals, rounded half away from
// zero, such as "99.50"; an absent amount stays "".
func (a Amount) Fixed() string {
	r, ok := new(big.Rat).SetString(string(a))
	if !ok {
		return ""
	}
	return r.FloatString(2)
}

// UnmarshalJSONFrom reads a JSON number or a string.
func (a *Amount) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	switch t.Kind() {
	case 'n':
		*a = ""
		return nil
	case '"', '0':
		*a, err = ParseAmount(t.String())
		return err
	}
	return errAmount
}

// MarshalJSONTo writes a JSON number with the digits that came.
func (a Amount) MarshalJSONTo(e *jsontext.Encoder) error {
	if a == "" {
		return e.WriteToken(jsontext.Null)
	}
	return e.WriteValue(jsontext.Value(a))
}
