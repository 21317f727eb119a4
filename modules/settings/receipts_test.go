package settings

import (
	"strings"
	"testing"
	"time"
)

func TestWhoHasAnotherKeyThanMostOrThanThoseBeforeHim(t *testing.T) {
	start := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	// A process by its name, the minute it started in, and its keys.
	p := func(name string, minute int, keys ...string) Receipt {
		return Receipt{Instance: name, Since: start.Add(time.Duration(minute) * time.Minute), Keys: keys}
	}
	for name, tt := range map[string]struct {
		self      Receipt
		others    []Receipt
		strangers string
		wrong     bool
	}{
		"alone":                             {p("a", 0, "k"), nil, "", false},
		"all the same":                      {p("a", 0, "k"), []Receipt{p("b", 1, "k"), p("c", 2, "k")}, "", false},
		"the others do not say":             {p("a", 0, "k"), []Receipt{p("b", 1), p("c", 2)}, "", false},
		"we do not say":                     {p("a", 0), []Receipt{p("b", 1, "k")}, "", false},
		"ourselves, from a moment ago":      {p("a", 0, "k"), []Receipt{p("a", 0, "other")}, "", false},
		"ours replaced theirs":              {p("a", 5, "new", "k"), []Receipt{p("b", 1, "k"), p("c", 2, "k")}, "", false},
		"theirs replaced ours":              {p("a", 0, "k"), []Receipt{p("b", 1, "new", "k"), p("c", 2, "new", "k")}, "", false},
		"ours replaced another":             {p("a", 5, "new", "older"), []Receipt{p("b", 1, "k"), p("c", 2, "k")}, "b c", true},
		"both replaced the same":            {p("a", 5, "new", "k"), []Receipt{p("b", 1, "newer", "k")}, "b", true},
		"we came second":                    {p("a", 5, "x"), []Receipt{p("b", 1, "k")}, "b", true},
		"we came first":                     {p("a", 0, "k"), []Receipt{p("b", 1, "x")}, "b", false},
		"in the same second, by name":       {p("b", 0, "k"), []Receipt{p("a", 0, "x")}, "a", true},
		"in the same second, the other one": {p("a", 0, "k"), []Receipt{p("b", 0, "x")}, "b", false},
		"one of three, though the oldest":   {p("a", 0, "x"), []Receipt{p("b", 1, "k"), p("c", 2, "k")}, "b c", true},
		"a late one of most":                {p("c", 9, "k"), []Receipt{p("a", 0, "x"), p("b", 1, "k")}, "a", false},
		"two and two, and the others first": {p("c", 9, "k"), []Receipt{p("a", 0, "x"), p("b", 1, "x"), p("d", 2, "k")}, "a b", true},
	} {
		strangers, wrong := tt.self.Strangers(tt.others)
		if got := strings.Join(strangers, " "); got != tt.strangers || wrong != tt.wrong {
			t.Errorf("%s: %q, wrong here %t; want %q, %t", name, got, wrong, tt.strangers, tt.wrong)
		}
	}
}
