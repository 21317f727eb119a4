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
	most   int  // events
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
	r.empty()
	r.scanner = scanner{s: text, names: r.names[:0]}
	r.body, r.clean = body, unmarked(body)
	*env = Envelope{}
	r.most = maxEvents
	var sent string
	r.object( // what wire is
		member{`"pixel_id":`, &env.PixelID}, member{`"sent_at":`, &sent}, member{`"consent":`, &env.Consent}, member{`"identity":`, &env.Identity},
		member{`"context":`, &env.Context}, member{`"events":`, &r.events})
	if r.peek(); r.bad || r.i != len(r.s) || r.bytes&tops != 0 && !utf8.ValidString(text) {
		return errUnusual
	}
	return env.complete(sent, len(r.events), r.clean && !r.escaped)
}
