package partner

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

func TestAMatchIsGradedByItsKeys(t *testing.T) {
	spec := Spec{
		Name: "acme",
		Keys: []Key{{Name: "click", Weight: Sure, Usual: true}, {Name: "email", Weight: Sure, Usual: true}, {Name: "ip", Weight: Guess}, {Name: "name", Weight: Adds}},
		Carries: func(settings jsontext.Value, _ event.Delivery) []string {
			return strings.Fields(string(settings))
		},
	}
	for has, want := range map[string]string{
		"": "none [] [click email]", "ip": "low [ip] [click email]", "name": "none [name] [click email]", "email": "medium [email] [click]",
		"ip email": "medium [email ip] [click]", "email click": "high [click email] []", "name email": "high [email name] [click]", "unheard-of": "none [] [click email]",
	} {
		m := Match(spec, jsontext.Value(has), event.Delivery{Event: event.Event{ID: "e", PixelID: "px", Name: "purchase"}})
		if got := fmt.Sprint(m.Grade, " ", m.Keys, " ", m.Missing); got != want {
			t.Errorf("%q: %s, want %s", has, got, want)
		}
		if m.EventID != "e" || m.PixelID != "px" || m.Partner != "acme" || m.Name != "purchase" {
			t.Errorf("%+v", m)
		}
	}
	if m := Match(Spec{Name: "mute"}, nil, event.Delivery{}); m.Grade != event.NoMatch || m.Keys == nil || m.Missing == nil {
		t.Errorf("a partner without keys: %+v", m)
	}
}
