package event

import (
	"testing"

	"github.com/go-json-experiment/json"
)

func TestAmountKeepsTheDigitsThatCame(t *testing.T) {
	for in, want := range map[string]string{
		`99.5`: `99.5`, `"99.50"`: `99.50`, `249.95`: `249.95`, `0`: `0`, `-3`: `-3`, `"007.10"`: `7.10`, `0.1`: `0.1`, `null`: `null`,
	} {
		var a Amount
		if err := json.Unmarshal([]byte(in), &a); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		out, err := json.Marshal(a)
		if err != nil || string(out) != want {
			t.Errorf("%s came out as %s (%v), want %s", in, out, err, want)
		}
	}
}

func TestAmountRefusesWhatIsNoPlainDecimal(t *testing.T) {
	for _, in := range []string{`"1,000.00"`, `1e3`, `"NaN"`, `""`, `"."`, `"1."`, `".5"`, `"1.2.3"`, `"--1"`, `true`, `{}`, `"1234567890123456789012345"`, `"£5"`} {
		var a Amount
		if err := json.Unmarshal([]byte(in), &a); err == nil {
			t.Errorf("%s was taken as %s", in, a)
		}
	}
}

func TestFixedRoundsToTwoDecimals(t *testing.T) {
	for in, want := range map[Amount]string{"99.5": "99.50", "33.3333": "33.33", "0.005": "0.01", "-2.5": "-2.50", "10": "10.00", "": ""} {
		if got := in.Fixed(); got != want {
			t.Errorf("%s = %s, want %s", in, got, want)
		}
	}
}

func TestValidNames(t *testing.T) {
	long := "a23456789012345678901234567890123456789012345678901234567890abcd"
	for name, want := range map[string]bool{
		"purchase": true, "Add.To:Cart-2_x": true, long: true, long + "e": false, "": false, "1st": false, "_x": false,
		"a b": false, "a<b": false, "naïve": false, "a\x00": false,
	} {
		if ValidName(name) != want {
			t.Errorf("ValidName(%q) = %v", name, !want)
		}
	}
}

func TestStricterNeverGrantsMore(t *testing.T) {
	for _, a := range []State{None, Partial, Full, "", "everything"} {
		for _, b := range []State{None, Partial, Full, "", "everything"} {
			s := Stricter(a, b)
			if s.rank() > a.rank() || s.rank() > b.rank() {
				t.Errorf("Stricter(%q, %q) = %q", a, b, s)
			}
			if s != None && s != Partial && s != Full {
				t.Errorf("Stricter(%q, %q) = %q, which is no state", a, b, s)
			}
		}
	}
}
