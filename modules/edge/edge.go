// Package edge reads what the edge worker (sdk/edge) says of a request: where
// the visitor is, by which host the page reached us, and when. Anybody can write
// a header, so it is believed only under a signature of a key that both share,
// over the request's method, address and body, made a moment ago.
//
// The header is
//
//	X-Pixel-Edge: key id "." base64url(JSON claims) "." base64url(HMAC-SHA256(key, the claims as they stand here))
//
// so that what is signed and what is read are the same bytes, and nothing is read
// before it is proved. Several keys may be
// in force: the edge signs with one, we take any, and so a key is changed by
// adding the new one here, then there, then removing the old one here.
//
// A signed request that is sent again within the window is taken again: it can
// only repeat the very same body, whose events have the same ids.
package edge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Header carries the claims.
const Header = "X-Pixel-Edge"

// maxHeader bounds what is looked at: claims of honest edges are a few hundred
// bytes.
const maxHeader = 4 << 10

// Why a header is not believed.
var (
	ErrMalformed  = errors.New("the edge's header cannot be read")
	ErrUnknownKey = errors.New("the edge signed with a key that is not known here")
	ErrForged     = errors.New("the edge's signature is wrong")
	ErrExpired    = errors.New("the edge's signature is too old, or a clock is wrong")
	ErrMismatch   = errors.New("the edge signed another request")
)

// Claims are what the edge says.
type Claims struct {
	// Signed is when the signature was made, in ms since 1970.
	Signed int64 `json:"at"`
	// Received is when the visitor's request reached the edge, in ms; long before
	// Signed where the edge kept the request while we were away.
	Received int64 `json:"received"`
	// Host is the host that the visitor's browser asked.
	Host   string `json:"host"`
	Method string `json:"method"`
	// Target is the path and query that were asked of us.
	Target string `json:"target"`
	// Body is base64url(SHA-256(body as sent)).
	Body string `json:"body"`

	IP string `json:"ip"`
	// Country and Region are ISO 3166 codes, "US" and "CA". With Global Privacy
	// Control the edge says nothing more precise than these.
	Country    string `json:"country"`
	Region     string `json:"region"`
	City       string `json:"city"`
	PostalCode string `json:"postal_code"`
	Timezone   string `json:"timezone"`
	// ASN and Network are the visitor's network and who runs it.
	ASN     int    `json:"asn"`
	Network string `json:"network"`
	// GPC is the visitor's Global Privacy Control.
	GPC bool `json:"gpc"`
}

// Keys are shared with the edge, by their ids.
type Keys map[string][]byte

// minKey is how many bytes a key must have at least.
const minKey = 32

// ParseKeys reads "id:base64,id:base64"; "" is none.
func ParseKeys(s string) (Keys, error) {
	keys := Keys{}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		id, encoded, ok := strings.Cut(part, ":")
		if !ok || id == "" || strings.Contains(id, ".") {
			return nil, errors.New(`must be "id:key" with commas between, each key 32 bytes or more in base64`)
		}
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("the key %q is not base64", id)
		}
		if len(key) < minKey {
			return nil, fmt.Errorf("the key %q has %d bytes, which is less than %d: make one with openssl rand -base64 32", id, len(key), minKey)
		}
		if _, twice := keys[id]; twice {
			return nil, fmt.Errorf("the key %q is there twice", id)
		}
		keys[id] = key
	}
	return keys, nil
}

// Sign makes the header of claims by the key of an id; the edge's own code does
// the same in TypeScript.
func (k Keys) Sign(id string, c Claims) (string, error) {
	key, ok := k[id]
	if !ok {
		return "", ErrUnknownKey
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode the edge's claims: %w", err)
	}
	part := base64.RawURLEncoding.EncodeToString(payload)
	return id + "." + part + "." + base64.RawURLEncoding.EncodeToString(sum(key, part)), nil
}

func sum(key []byte, part string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(part))
	return h.Sum(nil)
}

// Verify reads the claims of a request, if they are true: signed by one of the keys, within
// the window around now, for this very request. The body is read only where the rest is, so
// that nobody without a key makes us hold one.
func (k Keys) Verify(r *http.Request, body func() ([]byte, error), now time.Time, window time.Duration) (Claims, error) {
	c, err := k.open(r.Header.Get(Header))
	if err != nil {
		return Claims{}, err
	}
	if age := now.Sub(time.UnixMilli(c.Signed)); age > window || age < -window {
		return Claims{}, ErrExpired
	}
	if c.Method != r.Method || c.Target != r.URL.RequestURI() {
		return Claims{}, ErrMismatch
	}
	b, err := body()
	if err != nil {
		return Claims{}, ErrMismatch
	}
	if digest := sha256.Sum256(b); c.Body != base64.RawURLEncoding.EncodeToString(digest[:]) {
		return Claims{}, ErrMismatch
	}
	if _, err := netip.ParseAddr(c.IP); err != nil {
		return Claims{}, ErrMalformed
	}
	return c, nil
}

// open checks the signature and only then reads what is signed.
func (k Keys) open(header string) (c Claims, err error) {
	if len(header) > maxHeader {
		return c, ErrMalformed
	}
	id, signed, ok := strings.Cut(header, ".")
	part, signature, whole := strings.Cut(signed, ".")
	if !ok || !whole {
		return c, ErrMalformed
	}
	key, ok := k[id]
	if !ok {
		return c, ErrUnknownKey
	}
	got, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		return c, ErrMalformed
	}
	if !hmac.Equal(got, sum(key, part)) {
		return c, ErrForged
	}
	payload, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	if err != nil {
		return Claims{}, ErrMalformed
	}
	return c, nil
}

// Outcome names an error of Verify for metrics.
func Outcome(err error) string {
	switch {
	case err == nil:
		return "valid"
	case errors.Is(err, ErrUnknownKey):
		return "unknown_key"
	case errors.Is(err, ErrForged):
		return "forged"
	case errors.Is(err, ErrExpired):
		return "expired"
	case errors.Is(err, ErrMismatch):
		return "mismatch"
	}
	return "malformed"
}
