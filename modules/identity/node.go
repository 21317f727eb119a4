package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// Kind is what an identifier is. The numbers are stored; the smaller one names the
// profile, so that what changes least does.
type Kind byte

// The kinds. Click ids are none of them: each names a click and nobody. Tokens of
// UID2 and the like are none either, since they change with every refresh.
const (
	User    Kind = 1 // the advertiser's own id of a customer
	Email   Kind = 2 // a digest
	Phone   Kind = 3 // a digest
	UID2    Kind = 4 // a raw UID2 or EUID
	Device  Kind = 5 // a mobile advertising id
	Browser Kind = 6 // The Trade Desk's cookie
	Visitor Kind = 7 // the first-party id of a browser

	kinds = 8
)

var kindNames = [kinds]string{User: "customer", Email: "email", Phone: "phone", UID2: "uid2", Device: "device", Browser: "tdid", Visitor: "visitor"}

func (k Kind) String() string {
	if int(k) < len(kindNames) && k > 0 {
		return kindNames[k]
	}
	return "unknown"
}

// ID stands for an identifier: its kind, and a digest of its value. It holds no pixel,
// so that a person has one name at all of them; what is known is kept for each apart.
type ID [12]byte

// Of is the ID of a value.
func Of(k Kind, value string) ID {
	var buf [160]byte
	b := append(append(buf[:0], byte(k)), value...)
	sum := sha256.Sum256(b)
	var id ID
	id[0] = byte(k)
	copy(id[1:], sum[:])
	return id
}

// Kind is the identifier's.
func (id ID) Kind() Kind { return Kind(id[0]) }

// String is the name of the profile that id names.
func (id ID) String() string {
	var buf [2 + 2*len(id)]byte
	copy(buf[:], "p_")
	hex.Encode(buf[2:], id[:])
	return string(buf[:])
}

// ParseID reads what String wrote.
func ParseID(s string) (id ID, ok bool) {
	digits, ok := strings.CutPrefix(s, "p_")
	if !ok || len(digits) != 2*len(id) {
		return id, false
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil || id.Kind() == 0 || id.Kind() >= kinds {
		return ID{}, false
	}
	return id, true
}

func (id ID) less(other ID) bool { return string(id[:]) < string(other[:]) }

// named is the visitor of events that carry id and no browser's.
func (id ID) named() string { return "v_" + hex.EncodeToString(id[:]) }

// key is where the state keeps what is known of an identifier.
func key(pixel string, id ID) string {
	var buf [128]byte
	b := append(append(append(buf[:0], "id:"...), pixel...), ':')
	return string(base64.RawURLEncoding.AppendEncode(b, id[:]))
}

// ident is an identifier of an event.
type ident struct {
	id    ID
	value string
}

// appendIdents adds the identifiers of a subject that can hold a person together, the
// strongest first. Junk, which half the world sends, is none.
func appendIdents(list []ident, s *event.Subject) []ident {
	add := func(k Kind, value string) {
		if value == "" || len(value) > maxValue || junk(k, value) {
			return
		}
		id := Of(k, value)
		list = append(list, ident{id, value})
	}
	add(User, s.UserID)
	add(Email, s.Email)
	add(Phone, s.PhoneE164)
	if ids := s.PartnerIDs; len(ids) > 0 {
		for _, name := range [...]string{"uid2", "euid"} {
			if v := ids[name]; len(v) == 44 { // base64 of 32 bytes
				add(UID2, v)
				break
			}
		}
		for _, name := range [...]string{"maid", "idfa", "aaid", "afai", "daid", "naid"} {
			if v := partner.GUID(ids[name]); v != "" {
				add(Device, v)
				break
			}
		}
		add(Browser, partner.GUID(ids["tdid"]))
	}
	add(Visitor, s.AnonymousID)
	return list
}

// maxValue bounds a value, in bytes.
const maxValue = 128
