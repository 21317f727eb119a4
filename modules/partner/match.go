package partner

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// Key is something that a partner finds a person by.
type Key struct {
	Name   string // "email": short and stable, for reports
	Title  string // "E-mail (SHA-256)"
	Weight Weight
	// Usual is set where a site can give it without more ado, so that it is worth
	// saying that it is missing.
	Usual bool
}

// Weight is how much a Key is worth.
type Weight int

// The weights.
const (
	Sure  Weight = iota // names one person or click
	Guess               // narrows it down
	Adds                // makes a sure key better, and is nothing by itself
)

// Match grades a delivery by the keys of its partner that it carries. It is a pure
// function; settings are the partner's.
func Match(spec Spec, settings jsontext.Value, d event.Delivery) event.Match {
	e := d.Event
	m := event.Match{
		EventID: e.ID, PixelID: e.PixelID, Partner: spec.Name, Name: e.Name, ReceivedAt: e.ReceivedAt,
		Grade: event.NoMatch, Keys: []string{}, Missing: []string{},
	}
	if spec.Carries == nil {
		return m
	}
	has := map[string]bool{}
	for _, name := range spec.Carries(settings, d) {
		has[name] = true
	}
	var count [Adds + 1]int
	for _, k := range spec.Keys {
		switch {
		case has[k.Name]:
			m.Keys = append(m.Keys, k.Name)
			count[k.Weight]++
		case k.Usual:
			m.Missing = append(m.Missing, k.Name)
		}
	}
	switch sure := count[Sure]; {
	case sure > 1 || sure == 1 && count[Adds] > 0:
		m.Grade = event.HighMatch
	case sure == 1:
		m.Grade = event.MediumMatch
	case count[Guess] > 0:
		m.Grade = event.LowMatch
	}
	return m
}
