package settings

import (
	"testing"

	"github.com/miq/pixel/modules/event"
)

func TestWhichMachinesEventsGoToPartners(t *testing.T) {
	person := event.Enrichment{}
	crawler := event.Enrichment{Bot: "user agent: crawler"}
	program := event.Enrichment{Bot: "user agent: program library", Automated: true}
	headless := event.Enrichment{Bot: "user agent: headless browser", Automated: true}
	datacenter := event.Enrichment{Bot: "network: data centre (Amazon)", Automated: true}
	for mode, goes := range map[string][5]bool{
		"":       {true, false, true, false, false},
		Send:     {true, false, true, true, true},
		Withhold: {true, false, false, false, false},
	} {
		p := Processing{Automated: mode}
		for i, x := range []event.Enrichment{person, crawler, program, headless, datacenter} {
			if got := p.Forwards(&x); got != goes[i] {
				t.Errorf("%q, %q: %v", mode, x.Bot, got)
			}
		}
	}
}

func TestProcessingSaysWhatWouldBeRight(t *testing.T) {
	for field, p := range map[string]Processing{
		"processing.off[0]":           {Off: []string{"weather"}},
		"processing.automated":        {Automated: "maybe"},
		"processing.personal_keys[1]": {Keys: []string{"member", "a b"}},
		"processing.timezone":         {Timezone: "Mars/Olympus"},
	} {
		var v Invalid
		if p.validate(&v); len(v) != 1 || v[0].Field != field {
			t.Errorf("%s: %v", field, v)
		}
	}
	var v Invalid
	good := Processing{Off: []string{"geo"}, Automated: Send, Keys: []string{"member"}, Timezone: "Europe/Berlin"}
	if good.validate(&v); len(v) > 0 {
		t.Error(v)
	}
}
