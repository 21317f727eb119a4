package consent

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"

	"github.com/miq/pixel/modules/event"
)

func TestHealthAndPreciseLocationAreTakenOut(t *testing.T) {
	for in, want := range map[string]string{
		`{"value":9.5,"latitude":51.5,"lng":-0.1}`:                                        `{"value":9.5}`,
		`{"userLocation":{"lat":1,"lon":2},"items":[{"item_id":"a","health_topic":"x"}]}`: `{"items":[{"item_id":"a"}]}`,
		`{"a":"latitude","list":["health",{"Diagnosis":1,"b":2}]}`:                        `{"a":"latitude","list":["health",{"b":2}]}`,
		`{"platform":"web","relation":1,"geography_lesson":true}`:                         `{"platform":"web","relation":1,"geography_lesson":true}`,
		`{"medicalHistory":[1,[2,{"x":3}]],"z":null}`:                                     `{"z":null}`,
		``:           ``,
		`{"broken":`: ``,
	} {
		e := event.Event{Properties: jsontext.Value(in), Subject: event.Subject{Street: "digest", PostalCode: "digest"}}
		StripSensitive(&e)
		assert.Equal(t, want, string(e.Properties), in)
		assert.Empty(t, e.Subject.Street)
		assert.NotEmpty(t, e.Subject.PostalCode)
	}
}
