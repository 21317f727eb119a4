package event

import (
	"bytes"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Envelope is what POST /collect takes: events of one visitor on one page.
type Envelope struct {
	PixelID  string
	SentAt   time.Time // zero where it is absent
	Consent  Consent
	Identity Identity
	Context  Context
	// Cleaned is what Check found in Context and took out.
	Cleaned Cleaned
	// Events are the events as they were sent, each valid JSON and else unread,
	// so that a bad one does not spoil the others. They are parts of the body
	// that was decoded.
	Events []jsontext.Value
}

// LogValue keeps an Envelope out of the logs.
func (Envelope) LogValue() slog.Value { return slog.StringValue("[envelope]") }

// wire is the envelope's JSON.
type wire struct {
	PixelID  string   `json:"pixel_id"`
	SentAt   string   `json:"sent_at"`
	Consent  Consent  `json:"consent"`
	Identity Identity `json:"identity"`
	Context  Context  `json:"context"`
	Events   spans    `json:"events"`
}

// spans are the places of the events in the body. They cost 16 bytes an event
// whatever is in it, and the reading stops at the limit.
type spans struct {
	limit int
	at    [][2]int64
}

func (s *spans) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != '[' {
		return Fault{Code: "invalid_type", Message: "must be an array of events"}
	}
	s.at = make([][2]int64, 0, 8)
	for d.PeekKind() != ']' {
		if len(s.at) == s.limit {
			return Fault{Code: "too_many_events", Message: fmt.Sprintf("must hold at most %d events", s.limit)}
		}
		v, err := d.ReadValue()
		if err != nil {
			return err
		}
		end := d.InputOffset()
		s.at = append(s.at, [2]int64{end - int64(len(v)), end})
	}
	_, err = d.ReadToken()
	return err
}

// DecodeEnvelope reads an envelope with at most maxEvents events. Its error is
// one of the json package's, or a Fault that points at the field. Beside an error
// the envelope holds what had been read before it.
func DecodeEnvelope(body []byte, maxEvents int) (Envelope, error) {
	w := wire{Events: spans{limit: maxEvents}}
	err := json.Unmarshal(body, &w)
	env := Envelope{PixelID: w.PixelID, Consent: w.Consent, Identity: w.Identity, Context: w.Context}
	if err != nil {
		return env, err
	}
	// What only a server can know is never taken from a client.
	env.Context.IP, env.Context.UserAgent, env.Context.ClientHints, env.Context.Place = "", "", nil, Place{}
	if err := env.complete(w.SentAt, len(w.Events.at), false); err != nil {
		return env, err
	}
	env.Events = make([]jsontext.Value, len(w.Events.at))
	for i, at := range w.Events.at {
		env.Events[i] = jsontext.Value(body[at[0]:at[1]:at[1]])
	}
	return env, nil
}

// complete checks what all envelopes must have. Where its body is unmarked, less has to be
// looked through.
func (e *Envelope) complete(sent string, events int, unmarked bool) error {
	if e.PixelID == "" {
		return Fault{"/pixel_id", "required", "is required"}
	}
	if events == 0 {
		return Fault{"/events", "required", "must hold at least one event"}
	}
	if sent != "" {
		var err error
		if e.SentAt, err = parseTime(sent); err != nil {
			return Fault{"/sent_at", "invalid_time", errTime.Error()}
		}
	}
	return e.check(unmarked)
}

// Incoming is one event as a client sent it.
type Incoming struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Time       string         `json:"time"`
	Seq        int            `json:"seq"`
	Properties jsontext.Value `json:"properties"`

	// Raw is all that was sent, and Fault what is wrong with it; without a code
	// nothing is.
	Raw   jsontext.Value `json:"-"`
	Fault Fault          `json:"-"`

	order     orderFields // if orderRead
	orderRead bool
	compact   bool // Properties are as short as can be
	named     bool // one of their names is a personal one, which is known if orderRead
	unmarked  bool // the body is
}

// Order is the commercial part of the event's properties: see ParseOrder.
func (in *Incoming) Order() (Order, Fault) {
	if !in.orderRead {
		return ParseOrder(in.Name, in.Properties)
	}
	return in.order.of(in.Name)
}

// Compact is the event's properties without white space and needless escapes.
func (in *Incoming) Compact() (jsontext.Value, Fault) {
	if in.compact || in.Properties == nil {
		return in.Properties, Fault{}
	}
	v, err := jsontext.AppendFormat(nil, in.Properties)
	if err != nil {
		return nil, Fault{"/properties", "invalid_properties", "must be valid JSON"}
	}
	return v, Fault{}
}

// PeekPixel finds the pixel id in a body that cannot be decoded, so that the
// refusal can be told to whoever owns the pixel. It is a guess: "" is common.
func PeekPixel(body []byte) string {
	_, rest, found := bytes.Cut(body, []byte(`"pixel_id"`))
	if !found {
		return ""
	}
	rest, found = bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(":"))
	if !found {
		return ""
	}
	rest, found = bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(`"`))
	if !found {
		return ""
	}
	end := bytes.IndexByte(rest[:min(len(rest), 65)], '"')
	if end < 0 {
		return ""
	}
	return string(rest[:end])
}
