package event

import (
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// CleanURL takes out of an address, of its path, query and fragment, e-mail addresses,
// telephone numbers, what stands behind personal names and what lets somebody in: who
// signs in, sessions, tokens. It finds them escaped, escaped twice, within an address in
// the query and, mail, in base64.
func CleanURL(address string, keys []string) (string, Cleaned) { return cleanURL(address, keys, 0) }

// maxNested is how many addresses within each other are looked through.
const maxNested = 3

func cleanURL(address string, keys []string, nested int) (string, Cleaned) {
	var found Cleaned
	if strings.IndexByte(address, '@') >= 0 || strings.IndexByte(address, '%') >= 0 {
		address, found = withoutLogin(address)
		if s := withoutMail(address); s != address {
			var more Cleaned
			address, more = withoutLogin(s)
			found |= cleanedMail | more
		}
	}
	c := cleaning{address: address, keys: keys, nested: nested}
	at := until(address)
	if path := address[:at]; strings.IndexByte(path, '+') >= 0 || strings.IndexByte(path, '%') >= 0 || strings.IndexByte(path, ';') >= 0 {
		c.path(0, at)
	}
	for at < len(address) {
		begin, end := at+1, at+1
		for end < len(address) && !separates(address[end]) {
			end++
		}
		c.part(begin, end)
		at = end
	}
	if c.b == nil {
		return address, found
	}
	return string(append(c.b, address[c.from:]...)), found | c.found
}

// cleaning is an address that is gone through. What changes nothing costs nothing: b is
// made with the first change.
type cleaning struct {
	address string
	keys    []string
	nested  int
	b       []byte
	from    int
	found   Cleaned
}

func (c *cleaning) replace(begin, end int, kind Cleaned) {
	c.b = append(append(c.b, c.address[c.from:begin]...), removedMail...)
	c.from = end
	c.found |= kind
}

// path goes through the segments of a path and their parameters.
func (c *cleaning) path(begin, end int) {
	for i := begin; i < end; {
		j := i
		for j < end && c.address[j] != '/' && c.address[j] != ';' {
			j++
		}
		if i > begin && c.address[i-1] == ';' {
			c.part(i, j)
		} else if phonelike(c.address[i:j]) {
			c.replace(i, j, cleanedPhone)
		}
		i = j + 1
	}
}

// part goes through a name with its value, or what has no name.
func (c *cleaning) part(begin, end int) {
	value := begin
	if i := strings.IndexByte(c.address[begin:end], '='); i >= 0 {
		value = begin + i + 1
	}
	v := c.address[value:end]
	if value == begin && strings.IndexByte(v, '/') >= 0 {
		c.path(begin, end) // behind a #
		return
	}
	if v == "" || v == removedMail {
		return
	}
	if value > begin {
		if name := c.address[begin : value-1]; personal(name, c.keys) || secret(name) {
			c.replace(value, end, cleanedKey)
			return
		}
	}
	switch {
	case phonelike(v):
		c.replace(value, end, cleanedPhone)
	case encodesMail(v):
		c.replace(value, end, cleanedMail)
	case c.nested < maxNested && len(v) > 5 && strings.IndexByte(v, '%') >= 0 && (strings.Contains(v, "%3") || strings.Contains(v, "%2")):
		// An address within the address, most likely.
		if inner, err := url.QueryUnescape(v); err == nil && inner != v {
			if inner[0] == '{' || inner[0] == '[' {
				if _, kind, err := cleanProperties(jsontext.Value(inner), c.keys); err == nil && kind != 0 {
					c.replace(value, end, kind)
				}
				return
			}
			if until(inner) == len(inner) {
				inner = "?" + inner // or a query within the query
			}
			if _, kind := cleanURL(inner, c.keys, c.nested+1); kind != 0 {
				c.replace(value, end, kind)
			}
		}
	}
}

// withoutLogin takes out who signs in by an address: https://name:password@host.
func withoutLogin(address string) (string, Cleaned) {
	i := strings.Index(address, "://")
	if i < 0 || i > 12 {
		return address, 0
	}
	i += len("://")
	end := len(address)
	if j := strings.IndexAny(address[i:], `/?#\`); j >= 0 {
		end = i + j
	}
	j := strings.LastIndexByte(address[i:end], '@')
	if j < 0 {
		return address, 0
	}
	return address[:i] + address[i+j+1:], cleanedKey
}

// secret reports whether what stands behind a name in an address lets whoever has it in.
func secret(name string) bool {
	if len(name) < 3 {
		return false
	}
	switch name[0] | 0x20 {
	case 'a':
		return oneOfFold(name, "access_token", "auth_token", "authtoken", "api_key", "apikey") || len(name) > 12 && strings.EqualFold(name[:12], "aspsessionid")
	case 'c':
		return oneOfFold(name, "cfid", "cftoken", "client_secret", "confirmation_token", "csrf_token")
	case 'i':
		return oneOfFold(name, "id_token", "invitation_token")
	case 'j':
		return oneOfFold(name, "jsessionid", "jwt")
	case 'l':
		return oneOfFold(name, "login_token")
	case 'm':
		return oneOfFold(name, "magic_token")
	case 'o':
		return oneOfFold(name, "otp", "oobcode")
	case 'p':
		return oneOfFold(name, "phpsessid", "passwd", "password_reset_token")
	case 'r':
		return oneOfFold(name, "refresh_token", "reset_token", "reset_password_token")
	case 's':
		return oneOfFold(name, "sessionid", "session_id", "sessid")
	case 't':
		return oneOfFold(name, "token")
	case 'u':
		return oneOfFold(name, "unsubscribe_token")
	}
	return false
}

// encodesMail reports whether a value is an e-mail address in base64, as links in letters
// have it.
func encodesMail(v string) bool {
	if len(v) < 12 || len(v) > 200 {
		return false
	}
	raw := strings.TrimRight(v, "=")
	for strings.HasSuffix(raw, "%3D") || strings.HasSuffix(raw, "%3d") {
		raw = raw[:len(raw)-3]
	}
	if raw == "" {
		return false
	}
	// Letters and digits of ASCII, which an address begins with, have no high bit: their
	// base64 begins with one of half of the letters.
	if c := raw[0]; c < 'L' || c > 'e' || c > 'Z' && c < 'a' {
		return false
	}
	var buf [160]byte
	n, err := base64.RawURLEncoding.Decode(buf[:], []byte(strings.NewReplacer("+", "-", "/", "_").Replace(raw)))
	if err != nil || n < 6 {
		return false
	}
	at := strings.IndexByte(string(buf[:n]), '@')
	if at < 1 {
		return false
	}
	for _, c := range buf[:n] {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	text := string(buf[:n])
	return withoutMail(text) == removedMail
}

// until is where an address's path ends.
func until(address string) int {
	at := len(address)
	for _, c := range [...]byte{'?', '#'} {
		if i := strings.IndexByte(address[:at], c); i >= 0 {
			at = i
		}
	}
	return at
}

func separates(c byte) bool {
	const set uint64 = 1<<'&' | 1<<';' | 1<<'?' | 1<<'#'
	return set>>c&1 != 0
}
