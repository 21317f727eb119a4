// Package crossing makes and reads the tokens by which a browser that goes from one of
// a pixel's domains to another says who it was on the first: each domain has a cookie of
// its own, and so an id of its own.
//
// What it promises: a token says nothing to whoever has no key, is of one pixel and one
// visitor, cannot be made up or changed, and is good for Lifetime from when it was made.
// That it is used by one browser alone is the worker's to see to: Token.Use tells one
// token from another.
package crossing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// Lifetime is how long a token may be used: for a page that loads slowly and a visitor
// who is asked for consent first, and not for one who passes the address on.
const Lifetime = 2 * time.Minute

// Parameter is what the token is called in an address, in its fragment or its query.
const Parameter = "_miq"

// maxVisitor bounds an id, in bytes, and so what a token may be.
const maxVisitor = 128

// Token is what one says.
type Token struct {
	Visitor string    // who came, by the id of the domain that was left
	Use     string    // tells tokens apart
	Made    time.Time // to the second
}

// The errors of a token. They hold nothing of it.
var (
	// ErrForged says that no key of ours made it for this pixel.
	ErrForged = errors.New("the token is none of ours")
	// ErrExpired says that it is older than Lifetime.
	ErrExpired = errors.New("the token has expired")
	// ErrVisitor says that no token is made for such an id.
	ErrVisitor = errors.New("the visitor's id is too long")
)

// ahead is by how much the clocks of two replicas may differ.
const ahead = 10 * time.Second

// Seal makes a token. The secret is the pixel's, the same on every replica.
func Seal(secret []byte, pixel, visitor string, now time.Time) (string, error) {
	if visitor == "" || len(visitor) > maxVisitor {
		return "", ErrVisitor
	}
	box, err := aead(secret)
	if err != nil {
		return "", err
	}
	b := make([]byte, box.NonceSize(), box.NonceSize()+4+len(visitor)+box.Overhead())
	rand.Read(b)
	plain := append(binary.BigEndian.AppendUint32(nil, uint32(now.Unix())), visitor...)
	return base64.RawURLEncoding.EncodeToString(box.Seal(b, b, plain, []byte(pixel))), nil
}

// Open reads a token that came at a time.
func Open(secret []byte, pixel, token string, now time.Time) (Token, error) {
	box, err := aead(secret)
	if err != nil {
		return Token{}, err
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < box.NonceSize() {
		return Token{}, ErrForged
	}
	nonce := b[:box.NonceSize()]
	plain, err := box.Open(nil, nonce, b[len(nonce):], []byte(pixel))
	if err != nil || len(plain) < 5 {
		return Token{}, ErrForged
	}
	t := Token{string(plain[4:]), base64.RawURLEncoding.EncodeToString(nonce), time.Unix(int64(binary.BigEndian.Uint32(plain)), 0).UTC()}
	if age := now.Sub(t.Made); age > Lifetime || age < -ahead {
		return Token{}, ErrExpired
	}
	return t, nil
}

// aead is by a key for this use alone.
func aead(secret []byte) (cipher.AEAD, error) {
	if len(secret) == 0 {
		return nil, errors.New("there is no secret to make tokens with")
	}
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("cross-domain token, first form"))
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Cut takes the token out of an address, if there is one: out of its query or its
// fragment, whichever holds it first.
func Cut(address string) (rest, token string) {
	for from := 0; ; {
		i := strings.Index(address[from:], Parameter+"=")
		if i < 0 {
			return address, ""
		}
		i += from
		if i > 0 && strings.IndexByte("?&#", address[i-1]) >= 0 {
			begin := i + len(Parameter) + 1
			end := begin
			for end < len(address) && address[end] != '&' && address[end] != '#' {
				end++
			}
			token = address[begin:end]
			// What stood before it goes too, unless more of the same follows.
			if end < len(address) && address[end] == '&' {
				return address[:i] + address[end+1:], token
			}
			return address[:i-1] + address[end:], token
		}
		from = i + 1
	}
}
