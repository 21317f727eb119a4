package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Personal data that a page sends where none belongs (in its address, in an event's
// properties, in place of an id) is taken out before the event leaves the collector's
// request, whatever the visitor allowed: what a partner may know of a person goes with
// the identity, as a digest.

// Cleaned says which kinds of it were found.
type Cleaned uint8

const (
	cleanedMail Cleaned = 1 << iota
	cleanedPhone
	cleanedKey // what stood behind a name such as "surname"
)

var cleanedNames = [...]string{"", "email", "phone", "email,phone", "key", "email,key", "phone,key", "email,phone,key"}

func (c Cleaned) String() string { return cleanedNames[c&7] }

// PersonalName reports whether a name, of a property or in a query, says that personal
// data stands behind it, such as customer_email, firstName or tel. It looks at the last
// four letters before anything else, so that most names cost next to nothing.
func PersonalName(name string) bool {
	if n := len(name); n > 0 && (!letter(name[n-1]) || n > 3 && name[n-3] == '%') {
		name = bare(name)
	}
	if len(name) < 4 {
		return len(name) == 3 && oneOfFold(name, "tel", "ssn", "dob", "cvv", "cvc", "pwd")
	}
	end := name[len(name)-4:]
	switch uint32(end[0]|0x20)<<24 | uint32(end[1]|0x20)<<16 | uint32(end[2]|0x20)<<8 | uint32(end[3]|0x20) {
	case 'm'<<24 | 'a'<<16 | 'i'<<8 | 'l':
		return true
	case 'h'<<24 | 'o'<<16 | 'n'<<8 | 'e':
		return endsIn(name, "phone") && !endsIn(name, "iphone")
	case 'n'<<24 | 'a'<<16 | 'm'<<8 | 'e':
		return endsIn(name, "firstname", "lastname", "surname", "fullname", "givenname", "familyname", "middlename", "maidenname", "vorname", "nachname") ||
			oneOfFold(name, "fname", "lname", "f_name", "l_name")
	case 'm'<<24 | 'b'<<16 | 'e'<<8 | 'r':
		return endsIn(name, "phonenumber", "mobilenumber", "telephonenumber", "cardnumber", "passportnumber", "socialsecuritynumber")
	case 'r'<<24 | 'e'<<16 | 's'<<8 | 's':
		return endsIn(name, "address")
	case 'w'<<24 | 'o'<<16 | 'r'<<8 | 'd':
		return endsIn(name, "password")
	case 'b'<<24 | 'i'<<16 | 'l'<<8 | 'e':
		return endsIn(name, "mobile")
	case 'r'<<24 | 'e'<<16 | 'e'<<8 | 't':
		return endsIn(name, "street")
	case 'i'<<24 | 'r'<<16 | 't'<<8 | 'h', 'h'<<24 | 'd'<<16 | 'a'<<8 | 'y', 'd'<<24 | 'a'<<16 | 't'<<8 | 'e':
		return endsIn(name, "dateofbirth", "birthday", "birthdate")
	case 'i'<<24 | 'b'<<16 | 'a'<<8 | 'n':
		return len(name) == 4
	case 'e'<<24 | 'f'<<16 | 'o'<<8 | 'n', 'f'<<24 | 'o'<<16 | 'n'<<8 | 'o', 'f'<<24 | 'o'<<16 | 'n'<<8 | 'e':
		return endsIn(name, "telefon", "telefono", "telefone")
	case 'e'<<24 | 's'<<16 | 's'<<8 | 'e', 'a'<<24 | 's'<<16 | 's'<<8 | 'e':
		return endsIn(name, "adresse", "strasse")
	case 'e'<<24 | 'n'<<16 | 'o'<<8 | 'm':
		return endsIn(name, "prenom")
	case 'n'<<24 | 'a'<<16 | 'a'<<8 | 'm':
		return endsIn(name, "voornaam", "achternaam")
	case 'l'<<24 | 'i'<<16 | 'd'<<8 | 'o', 'i'<<24 | 'd'<<16 | 'o'<<8 | 's':
		return endsIn(name, "apellido", "apellidos")
	case 'n'<<24 | 'o'<<16 | 'm'<<8 | 'e':
		return endsIn(name, "cognome")
	case 'r'<<24 | 'i'<<16 | 'e'<<8 | 'l', 'r'<<24 | 'r'<<16 | 'e'<<8 | 'o':
		return oneOfFold(name, "courriel", "correo")
	}
	return false
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// bare is a name without what forms put behind it: user[email], email%5B%5D, phone2.
func bare(name string) string {
	for {
		switch n := len(name); {
		case n >= 3 && name[n-3] == '%' && name[n-2] == '5' && (name[n-1]|0x20 == 'b' || name[n-1]|0x20 == 'd'):
			name = name[:n-3]
		case n > 0 && name[n-1] < 0x80 && !letter(name[n-1]):
			name = name[:n-1]
		default:
			return name
		}
	}
}

func oneOfFold(s string, any ...string) bool {
	for _, a := range any {
		if strings.EqualFold(s, a) {
			return true
		}
	}
	return false
}

// endsIn compares letters alone: First-Name, first_name and firstName are one.
func endsIn(name string, any ...string) bool {
	var letters [64]byte
	n := 0
	for i := 0; i < len(name) && n < len(letters); i++ {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c >= 'a' && c <= 'z' {
			letters[n] = c
			n++
		}
	}
	for _, a := range any {
		if n >= len(a) && string(letters[n-len(a):n]) == a {
			return true
		}
	}
	return false
}

// personal reports whether a name is one of those, or of the site's own.
func personal(name string, keys []string) bool {
	return PersonalName(name) || len(keys) > 0 && oneOfFold(name, keys...)
}

// phonelike reports whether a text is an international telephone number and nothing
// else: a plus, then 8 to 15 digits, with what people put between them. Numbers without
// a plus may be anything.
func phonelike(s string) bool {
	if len(s) > 4 && s[3] == ':' && strings.EqualFold(s[:3], "tel") {
		s = s[4:]
	}
	rest, ok := strings.CutPrefix(s, "+")
	if !ok {
		if len(s) < 3 || s[0] != '%' || s[1] != '2' {
			return false
		}
		rest = s[2:]
		for strings.HasPrefix(rest, "52") {
			rest = rest[2:] // escaped once more
		}
		if rest == "" || rest[0]|0x20 != 'b' {
			return false
		}
		rest = rest[1:]
	}
	digits := 0
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == ' ', c == '-', c == '.', c == '(', c == ')', c == '+':
		case c == '%' && blank(rest[i:]) > 0:
			i += blank(rest[i:]) - 1
		default:
			return false
		}
	}
	return digits >= 8 && digits <= 15
}

// blank is how long an escaped space, hyphen or bracket is that a text begins with, 0 if
// it begins with none.
func blank(s string) int {
	i := 1
	for strings.HasPrefix(s[i:], "25") {
		i += 2
	}
	if len(s) < i+2 {
		return 0
	}
	switch strings.ToLower(s[i : i+2]) {
	case "20", "28", "29", "2d", "2b":
		return i + 2
	}
	return 0
}

// hidden is what stands for an id that is personal data: it tells people apart and
// names none.
func hidden(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "h_" + hex.EncodeToString(sum[:16])
}

// HideID is an id as it may be kept: one that is an e-mail address or a telephone
// number is hidden, any other stays.
func HideID(id string) string {
	if id != "" && (strings.IndexByte(id, '@') >= 0 && withoutMail(id) != id || phonelike(id)) {
		return hidden(id)
	}
	return id
}

// Clean takes personal data out of the event's properties, and out of the order that
// is made of them. Names of the site's own are keys. Where nothing looks like any it
// costs a look.
func (in *Incoming) Clean(keys []string) (Cleaned, Fault) {
	if len(in.Properties) == 0 {
		return 0, Fault{}
	}
	compact, f := in.Compact()
	if f.Code != "" {
		return 0, f
	}
	in.Properties, in.compact = compact, true
	if in.orderRead && !in.named && len(keys) == 0 && (in.unmarked || !marked(compact)) {
		return 0, Fault{}
	}
	cleaned, found, err := cleanProperties(compact, keys)
	if err != nil {
		return 0, Fault{"/properties", "invalid_properties", "must be valid JSON"}
	}
	if found != 0 {
		in.Properties, in.orderRead = cleaned, false
	}
	return found, Fault{}
}

// unmarked reports whether no text in a body holds an e-mail address or a telephone number,
// as it is or encoded as in an address, unless it has escapes. A body is looked at once, and
// its parts only where there may be any.
func unmarked(body []byte) bool {
	return bytes.IndexByte(body, '@') < 0 && bytes.IndexByte(body, '%') < 0 && bytes.IndexByte(body, '+') < 0
}

// marked reports whether a text in JSON may hold one.
func marked(b []byte) bool {
	return bytes.IndexByte(b, '@') >= 0 || bytes.IndexByte(b, '%') >= 0 || bytes.Contains(b, []byte(`"+`))
}

// cleanProperties copies an object without the personal data in it.
func cleanProperties(properties jsontext.Value, keys []string) (_ jsontext.Value, found Cleaned, err error) {
	var out bytes.Buffer
	d, e := jsontext.NewDecoder(bytes.NewReader(properties)), jsontext.NewEncoder(&out)
	name := ""
	for {
		if d.PeekKind() == '"' {
			// In an object every other string is a name.
			if kind, n := d.StackIndex(d.StackDepth()); kind == '{' && n%2 == 0 {
				t, err := d.ReadToken()
				if err != nil {
					return nil, found, err
				}
				name = t.String()
				switch kind := d.PeekKind(); {
				case withoutMail(name) != name || phonelike(name):
					found |= cleanedMail
					if err := d.SkipValue(); err != nil {
						return nil, found, err
					}
				case personal(name, keys) && kind != 't' && kind != 'f' && kind != 'n': // "mobile": true is nobody's number
					found |= cleanedKey
					if err := d.SkipValue(); err != nil {
						return nil, found, err
					}
				default:
					if err := e.WriteToken(jsontext.String(name)); err != nil {
						return nil, found, err
					}
				}
				continue
			}
			t, err := d.ReadToken()
			if err != nil {
				return nil, found, err
			}
			s, kind := cleanText(name, t.String(), keys)
			found |= kind
			if err := e.WriteToken(jsontext.String(s)); err != nil {
				return nil, found, err
			}
			continue
		}
		if d.PeekKind() == '0' { // with the digits that came
			v, err := d.ReadValue()
			if err != nil {
				return nil, found, err
			}
			if err := e.WriteValue(v); err != nil {
				return nil, found, err
			}
			continue
		}
		t, err := d.ReadToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, found, err
		}
		if err := e.WriteToken(t); err != nil {
			return nil, found, err
		}
	}
	return bytes.TrimSpace(out.Bytes()), found, nil
}

func cleanText(name, s string, keys []string) (string, Cleaned) {
	if phonelike(s) {
		return removedMail, cleanedPhone
	}
	if strings.Contains(s, "://") {
		return CleanURL(s, keys)
	}
	without := withoutMail(s)
	switch {
	case without == s:
		return s, 0
	case name == "order_id" || name == "transaction_id":
		return hidden(s), cleanedMail // orders have to be told apart
	}
	return without, cleanedMail
}
