package settings

import (
	"fmt"
	"slices"
	"testing"
)

func TestAFieldIsHeldUntilSomebodyDecides(t *testing.T) {
	f := Fields{}
	sift := func() string {
		refused, undecided := f.Sift("acme", []string{"a", "b", "c"})
		return fmt.Sprint(f.Open("acme"), refused, undecided)
	}
	for _, s := range []struct {
		do   func()
		want string
	}{
		{func() {}, "true [] []"},
		{func() { f.Hold = true }, "false [] [a b c]"},
		{func() { f = f.Decide("acme", Approve, "c", "a", "c") }, "false [] [b]"},
		{func() { f = f.Decide("other", Approve, "b") }, "false [] [b]"},
		{func() { f = f.Decide("acme", Refuse, "b", "a") }, "false [a b] []"},
		{func() { f.Hold = false }, "false [a b] []"},
		{func() { f = f.Decide("acme", Approve, "a") }, "false [b] []"},
		{func() { f = f.Decide("acme", Forget, "b") }, "true [] []"},
		{func() { f.Hold = true }, "false [] [b]"},
	} {
		before, had := f, slices.Clone(f.Approved["acme"])
		s.do()
		if got := sift(); got != s.want {
			t.Errorf("%s, want %s", got, s.want)
		}
		if !slices.Equal(before.Approved["acme"], had) {
			t.Error("what others read was changed")
		}
	}
	var v Invalid
	if f.validate(&v); len(v) > 0 {
		t.Error(v)
	}
	f.Approved["acme"] = []string{"b", "a"}
	if f.validate(&v); len(v) != 1 || v[0].Field != "fields.approved.acme" {
		t.Error(v)
	}
}
