package event

import (
	"errors"
	"unicode/utf8"
)

// Reader reads envelopes in one pass over the body, which costs a tenth of what
// the json package takes. It keeps its memory for the next one, so what it has
// read is only good until then. What its scanner finds unusual, it leaves to
// DecodeEnvelope and Incoming.Decode; so those alone say what is wrong.
type Reader struct {
	scanner

	body   []byte
	clean  bool // no text in it is of a person by its look: see unmarked
	events []Incoming
	items  []Item
}

// Read reads an envelope with at most maxEvents events. Its error is that of
// DecodeEnvelope. The body must not change while env is in use.
func (r *Reader) Read(body []byte, maxEvents int, env *Envelope) ([]Incoming, error) {
	if err := r.quick(body, maxEvents, env); err == nil || !errors.Is(err, errUnusual) {
		return r.events, err
	}
	r.empty()
	raw, err := DecodeEnvelope(body, maxEvents)
	*env = raw
	if err != nil {
		return nil, err
	}
	for _, v := range raw.Events {
		var in Incoming
		in.Fault = in.Decode(v)
		r.events = append(r.events, in)
	}
	return r.events, nil
}

// Forget lets go of what was read last.
func (r *Reader) Forget() {
	r.empty()
	clear(r.names[:cap(r.names)])
	r.s, r.body = "", nil
	const kept = 512 // of a few large envelopes no memory should remain
	if cap(r.events) > kept || cap(r.items) > kept {
		*r = Reader{}
	}
}

// empty empties what was filled; what lies behind that is empty already.
func (r *Reader) empty() {
	clear(r.events)
	clear(r.items)
	r.events, r.items = r.events[:0], r.items[:0]
}

var errUnusual = errors.New("not as programs write it")

func (r *Reader) quick(body []byte, maxEvents int, env *Envelope) error {
	// One string for all: whoever keeps a part of it keeps all of it.
	text := string(body)
	if !utf8.ValidString(text) {
		return errUnusual
	}
	r.empty()
	r.scanner = scanner{s: text, names: r.names[:0]}
	r.body, r.clean = body, unmarked(body)
	*env = Envelope{}
	sent := r.envelope(env, maxEvents)
	if r.peek(); r.bad || r.i != len(r.s) {
		return errUnusual
	}
	return env.complete(sent, len(r.events), r.clean)
}

// envelope reads what wire is, and returns sent_at.
func (r *Reader) envelope(env *Envelope, maxEvents int) (sent string) {
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "pixel_id":
			r.know(&seen, 0)
			env.PixelID = r.text()
		case "sent_at":
			r.know(&seen, 1)
			sent = r.text()
		case "consent":
			r.know(&seen, 2)
			r.consent(&env.Consent)
		case "identity":
			r.know(&seen, 3)
			r.identity(&env.Identity)
		case "context":
			r.know(&seen, 4)
			r.context(&env.Context)
		case "events":
			r.know(&seen, 5)
			outside := r.depth
			for more := r.open('[', ']'); more; more = r.next(']') {
				if len(r.events) == maxEvents {
					r.fail()
					break
				}
				inside := r.depth
				r.depth = 0 // an event's depth is its own
				r.event()
				r.depth = inside
			}
			r.depth = outside
		default:
			r.fail()
		}
	}
	return sent
}
