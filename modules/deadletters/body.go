package deadletters

import (
	"cmp"
	"regexp"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/schema"
)

// Subject is which event a message is about.
type Subject struct {
	ID      string `json:"event_id,omitzero"`
	Event   string `json:"event,omitzero"` // its name
	PixelID string `json:"pixel_id,omitzero"`
}

// About reads a message's body, whether it is a delivery, an event or what is
// kept of refused input.
func About(body []byte) Subject {
	type names struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		PixelID string `json:"pixel_id"`
	}
	var d struct {
		names `json:",embed"`
		Event names `json:"event"`
	}
	if json.Unmarshal(event.AsJSON(body), &d, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return Subject{}
	}
	return Subject{cmp.Or(d.Event.ID, d.ID), cmp.Or(d.Event.Name, d.Name), cmp.Or(d.Event.PixelID, d.PixelID)}
}

// Mendable reports whether input that was refused is kept whole, so that it can go on
// once its properties are right.
func Mendable(body []byte) bool {
	var letter struct {
		Code  string `json:"code"`
		Event struct {
			Receipt string `json:"receipt"`
		} `json:"event"`
	}
	return len(body) > 0 && body[0] == '{' && json.Unmarshal(body, &letter, jsontext.AllowInvalidUTF8(true)) == nil && schema.Mendable(letter.Code) && letter.Event.Receipt != ""
}

var wholeAddress = regexp.MustCompile(`"ip":("(?:[^"\\]|\\.)*")`)

// Masked is a message's body as it may be shown, as JSON: of the visitor's address only
// what is stored of one. A delivery that waits has all of it, which its partner
// may want and no reader needs.
func Masked(body []byte) []byte {
	return wholeAddress.ReplaceAllFunc(event.AsJSON(body), func(member []byte) []byte {
		ip := ""
		if quoted := wholeAddress.FindSubmatch(member)[1]; json.Unmarshal(quoted, &ip) != nil {
			ip = ""
		}
		return strconv.AppendQuote([]byte(`"ip":`), consent.Truncate(ip))
	})
}
