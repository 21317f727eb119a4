package event

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestAnAmountInMillionthsIsRoundedHalfAwayFromZero(t *testing.T) {
	for in, want := range map[Amount]int64{
		"": 0, "0": 0, "1": 1_000_000, "99.5": 99_500_000, "-12.50": -12_500_000, "0.000001": 1, "0.0000005": 1, "0.0000004999": 0,
		"-0.0000005": -1, "249.95": 249_950_000, "0.9999999": 1_000_000, "1000000000000": 1e18, "1000000000001": 0, "99999999999999999999": 0, "1e3": 0, "-": 0,
	} {
		if got := in.Micros(); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, err := ParseAmount(rapid.StringMatching(`-?[0-9]{1,11}(\.[0-9]{1,11})?`).Draw(t, "amount"))
		if err != nil {
			t.Skip()
		}
		r, _ := new(big.Rat).SetString(string(a))
		want := new(big.Rat).Mul(r, big.NewRat(1_000_000, 1)).FloatString(0)
		if got := big.NewInt(a.Micros()).String(); got != want && !(got == "0" && want == "-0") {
			t.Errorf("%q: %s, want %s", a, got, want)
		}
	})
}
