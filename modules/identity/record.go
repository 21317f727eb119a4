package identity

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/google/uuid"
)

// record is what the state keeps of an identifier: what it was seen with, and the
// profile that follows from it. The first is what is known, the second is worked out
// and can be again.
type record struct {
	value text // what it is in full; empty if nothing is known of it
	flags flags
	label ID // the profile's
	// rev grows with each change of the profile: the version of the map's row.
	rev  int64
	seen uint16 // the day of the last write
	// home is the visitor of events that carry this identifier and no browser's: the
	// one it was first seen with.
	home  text
	edges []edge // in the order of arrival
}

type flags byte

const (
	named      flags = 1 << iota // events carry its own name for a visitor
	blocked                      // quarantined by hand
	released                     // let go from quarantine
	overflowed                   // was seen with more than there is room for
	large                        // its profile has too many identifiers to be one
	mapped                       // the analytics store has its profile
	kept                         // is to be found by an order, though nothing is linked to it
	dirty                        // what follows from its links is not all written yet
)

func (r *record) has(f flags) bool { return r.flags&f != 0 }
func (r *record) put(f flags, on bool) {
	if on {
		r.flags |= f
	} else {
		r.flags &^= f
	}
}

// edge is one end of a link: that two identifiers came in one event. It links them
// while both ends are there.
type edge struct {
	to    ID
	last  uint16 // the day it was last seen
	flags edgeFlags
	// evidence is the event that first brought it, at the end of the smaller ID only.
	evidence evidence
	// via are the visitors whose events brought it, where neither end is one: what is
	// left of it when they withdraw consent depends on them. At both ends, four bytes
	// of each visitor's ID.
	via []byte
}

type edgeFlags byte

const (
	cut       edgeFlags = 1 << iota // undone by hand, and stays so
	anonymous                       // came without any visitor, so that none can take it back
	crowded                         // came by more visitors than via has room for
	proven                          // has evidence
)

func (e *edge) has(f edgeFlags) bool { return e.flags&f != 0 }

// maxVia is how many visitors a link between two other identifiers remembers.
const maxVia = 8

type evidence struct {
	at     uint32 // seconds since 1970
	source byte   // see sources
	event  text
}

// crossed is the source of a link that a cross-domain token brought.
const crossed = "crossing"

var sources = [...]string{"", "web", "pixel", "server", crossed}

func sourceOf(name string) byte {
	for i, s := range sources {
		if s == name {
			return byte(i)
		}
	}
	return 0
}

func (r *record) edge(to ID) *edge {
	for i := range r.edges {
		if r.edges[i].to == to {
			return &r.edges[i]
		}
	}
	return nil
}

// void reports whether nothing is known that is worth keeping.
func (r *record) void() bool {
	return len(r.edges) == 0 && r.flags&(named|blocked|released|overflowed|kept) == 0
}

// epoch is when days are counted from.
var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func day(t time.Time) uint16 {
	return uint16(max(0, min(t.Sub(epoch)/(24*time.Hour), 65535)))
}

func date(day uint16) time.Time { return epoch.Add(time.Duration(day) * 24 * time.Hour) }

const version = 1

// encode is the record's form in the state; id is its own.
func (r *record) encode(id ID) []byte {
	b := make([]byte, 0, 48+len(r.value)+len(r.home)+24*len(r.edges))
	b = append(b, version, byte(r.flags))
	b = binary.LittleEndian.AppendUint16(b, r.seen)
	b = binary.AppendUvarint(b, uint64(r.rev))
	b = r.home.append(r.value.append(b))
	b = binary.AppendUvarint(b, uint64(len(r.edges)))
	// Most profiles are named by the identifier itself or by a neighbour.
	at := len(b)
	b = append(b, 255)
	if r.label == id {
		b[at] = 0
	}
	for i := range r.edges {
		e := &r.edges[i]
		if r.label == e.to && i < 254 {
			b[at] = byte(i + 1)
		}
		b = append(b, e.to[:]...)
		b = append(b, byte(e.flags))
		b = binary.LittleEndian.AppendUint16(b, e.last)
		if id.Kind() != Visitor && e.to.Kind() != Visitor {
			b = append(b, byte(len(e.via)/4))
			b = append(b, e.via...)
		}
		if e.has(proven) {
			b = binary.LittleEndian.AppendUint32(b, e.evidence.at)
			b = append(b, e.evidence.source)
			b = e.evidence.event.append(b)
		}
	}
	if b[at] == 255 {
		b = append(b, r.label[:]...)
	}
	return b
}

var errRecord = errors.New("an identifier's record cannot be read")

// decode reads what encode wrote into r, which goes on to use b.
func (r *record) decode(id ID, b []byte) error {
	*r = record{edges: r.edges[:0]}
	if len(b) == 0 {
		r.label = id
		return nil
	}
	d := reader{b: b}
	if d.byte() != version {
		return errRecord
	}
	r.flags = flags(d.byte())
	r.seen = d.uint16()
	r.rev = int64(d.uvarint())
	r.value = d.text()
	r.home = d.text()
	n := d.uvarint()
	at := int(d.byte())
	if n > uint64(len(b)) {
		return errRecord
	}
	if cap(r.edges) < int(n) {
		r.edges = make([]edge, 0, n)
	}
	for i := range int(n) {
		var e edge
		copy(e.to[:], d.take(len(e.to)))
		e.flags = edgeFlags(d.byte())
		e.last = d.uint16()
		if id.Kind() != Visitor && e.to.Kind() != Visitor {
			if m := int(d.byte()); m <= maxVia {
				e.via = d.take(4 * m)
			} else {
				d.bad = true
			}
		}
		if e.has(proven) {
			e.evidence = evidence{at: d.uint32(), source: d.byte(), event: d.text()}
		}
		if at == i+1 && at < 255 {
			r.label = e.to
		}
		r.edges = append(r.edges, e)
	}
	switch at {
	case 0:
		r.label = id
	case 255:
		copy(r.label[:], d.take(len(r.label)))
	}
	if d.bad || len(d.b) > 0 || r.label == (ID{}) {
		return errRecord
	}
	return nil
}

// text is one as a record has it: most are UUIDs, digests and names that we made, and
// those are packed. nil is the empty one.
type text []byte

const (
	plain = iota
	asUUID
	asNamed
	asDigest
)

// pack makes a text of up to 255 bytes.
func pack(s string) text {
	switch len(s) {
	case 0:
		return nil
	case 36:
		if id, err := uuid.Parse(s); err == nil && id.String() == s {
			return append(text{asUUID}, id[:]...)
		}
	case 26:
		if raw, err := hex.DecodeString(s[2:]); err == nil && s == "v_"+hex.EncodeToString(raw) {
			return append(text{asNamed}, raw...)
		}
	case 64:
		if raw, err := hex.DecodeString(s); err == nil && s == hex.EncodeToString(raw) {
			return append(text{asDigest}, raw...)
		}
	}
	s = s[:min(len(s), 255)]
	return append(text{plain, byte(len(s))}, s...)
}

func (t text) append(b []byte) []byte {
	if len(t) == 0 {
		return append(b, plain, 0)
	}
	return append(b, t...)
}

func (t text) String() string {
	if len(t) == 0 {
		return ""
	}
	switch raw := t[1:]; t[0] {
	case asUUID:
		return uuid.UUID(raw).String()
	case asNamed:
		return "v_" + hex.EncodeToString(raw)
	case asDigest:
		return hex.EncodeToString(raw)
	default:
		return string(raw[1:])
	}
}

// reader takes a record apart; once it is bad it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

var zeros [255]byte

func (d *reader) take(n int) []byte {
	if d.bad || len(d.b) < n {
		d.bad, d.b = true, nil
		return zeros[:n]
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *reader) byte() byte     { return d.take(1)[0] }
func (d *reader) uint16() uint16 { return binary.LittleEndian.Uint16(d.take(2)) }
func (d *reader) uint32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }

func (d *reader) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *reader) text() text {
	n := 0
	switch b := d.b; {
	case len(b) < 2:
		d.bad = true
	case b[0] == asUUID:
		n = 17
	case b[0] == asNamed:
		n = 13
	case b[0] == asDigest:
		n = 33
	case b[0] == plain:
		n = 2 + int(b[1])
	default:
		d.bad = true
	}
	if len(d.b) < n {
		d.bad = true
	}
	if d.bad {
		d.b = nil
		return nil
	}
	t := text(d.b[:n:n])
	d.b = d.b[n:]
	if n == 2 {
		return nil
	}
	return t
}
