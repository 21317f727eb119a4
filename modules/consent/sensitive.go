package consent

import (
	"bytes"
	"io"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// StripSensitive takes out of an event what it says of the visitor's health and of
// where exactly the visitor is (see Decider.Sensitive). Neither has a field of its
// own, but a page may send either among the properties, under names that we know.
func StripSensitive(e *event.Event) {
	e.Properties = unsensitive(e.Properties)
	e.Subject.Street = ""
}

// sensitiveWords are what such a property's name holds as a word.
var sensitiveWords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`
		lat latitude lon lng long longitude coordinate coordinates coord coords geo geolocation geohash gps location position altitude
		health healthcare medical medicine medication medications condition conditions diagnosis diagnoses symptom symptoms disease
		illness treatment therapy prescription prescriptions patient disability allergy allergies pregnant pregnancy blood`) {
		m[w] = true
	}
	return m
}()

// sensitiveName splits a name into words: at what is no letter, and where a capital
// follows a small letter.
func sensitiveName(name string) bool {
	var word []rune
	last := ' '
	for _, r := range name + " " {
		if !unicode.IsLetter(r) || unicode.IsUpper(r) && unicode.IsLower(last) {
			if sensitiveWords[string(word)] {
				return true
			}
			word = word[:0]
		}
		if unicode.IsLetter(r) {
			word = append(word, unicode.ToLower(r))
		}
		last = r
	}
	return false
}

// unsensitive copies properties without those names, however deep they are. What
// cannot be copied is dropped.
func unsensitive(properties jsontext.Value) jsontext.Value {
	if len(properties) == 0 {
		return properties
	}
	var out bytes.Buffer
	d, e := jsontext.NewDecoder(bytes.NewReader(properties)), jsontext.NewEncoder(&out)
	for {
		if d.PeekKind() == '"' {
			// In an object every other string is a name.
			if kind, n := d.StackIndex(d.StackDepth()); kind == '{' && n%2 == 0 {
				name, err := d.ReadToken()
				if err != nil {
					return nil
				}
				if sensitiveName(name.String()) {
					if d.SkipValue() != nil {
						return nil
					}
					continue
				}
				if e.WriteToken(name) != nil {
					return nil
				}
				continue
			}
		}
		t, err := d.ReadToken()
		if err == io.EOF {
			break
		}
		if err != nil || e.WriteToken(t) != nil {
			return nil
		}
	}
	return bytes.TrimSpace(out.Bytes())
}
