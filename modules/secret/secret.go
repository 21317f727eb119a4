// Package secret encrypts what must not lie readable in the store, such as
// partners' credentials, with AES-256-GCM.
//
// A key is replaced without a pause: values are sealed with the new one and opened
// with it or any older one that is still given; Stale tells which are left to be
// sealed anew before an old key may go.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// KeySize is a key's length in bytes.
const KeySize = 32

// ErrOpen says that a sealed value cannot be read: it was changed, or sealed
// with another key.
var ErrOpen = errors.New("cannot be decrypted: secret_key is not the one it was encrypted with")

// Box seals values with one key, and opens them with it or an older one. The zero
// Box does neither.
type Box struct {
	aead cipher.AEAD
	keys [][]byte // the first seals
	old  []cipher.AEAD
}

// New returns a box for a key of 32 bytes, and for those that it replaced.
func New(key []byte, old ...[]byte) (*Box, error) {
	b := new(Box)
	for i, k := range append([][]byte{key}, old...) {
		if len(k) != KeySize {
			return nil, fmt.Errorf("must be %d bytes, base64; it has %d", KeySize, len(k))
		}
		block, err := aes.NewCipher(k)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		b.keys = append(b.keys, slices.Clone(k))
		if i == 0 {
			b.aead = aead
		} else {
			b.old = append(b.old, aead)
		}
	}
	return b, nil
}

// Seal encrypts value. Name is what the value is for; Open must be given the
// same, so that a sealed value cannot be moved to another place.
func (b *Box) Seal(name string, value []byte) []byte {
	nonce := make([]byte, b.aead.NonceSize(), b.aead.NonceSize()+len(value)+b.aead.Overhead())
	rand.Read(nonce)
	return b.aead.Seal(nonce, nonce, value, []byte(name))
}

// Open decrypts what Seal made, or returns ErrOpen.
func (b *Box) Open(name string, sealed []byte) ([]byte, error) {
	value, _, err := b.open(name, sealed)
	return value, err
}

// Stale reports whether a value can be opened, but only with an old key, so that it
// should be sealed again.
func (b *Box) Stale(name string, sealed []byte) bool {
	_, old, err := b.open(name, sealed)
	return err == nil && old
}

func (b *Box) open(name string, sealed []byte) (value []byte, old bool, err error) {
	n := b.aead.NonceSize()
	if len(sealed) < n {
		return nil, false, ErrOpen
	}
	for i, aead := range append([]cipher.AEAD{b.aead}, b.old...) {
		if value, err = aead.Open(nil, sealed[:n], sealed[n:], []byte(name)); err == nil {
			return value, i > 0, nil
		}
	}
	return nil, false, ErrOpen
}

// Derive returns a secret of its own for a purpose, always the same for the same
// key, from which neither the key nor another purpose's secret can be told.
func (b *Box) Derive(name string) ([]byte, error) {
	all, err := b.Derivations(name)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// Derivations are what Derive returns, and behind it what it returned under the keys
// that were replaced: for what has to be recognised long after it was made.
func (b *Box) Derivations(name string) ([][]byte, error) {
	if len(b.keys) == 0 {
		return nil, errors.New("there is no key to derive from")
	}
	out := make([][]byte, len(b.keys))
	for i, key := range b.keys {
		var err error
		if out[i], err = hkdf.Key(sha256.New, key, nil, name, KeySize); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Fingerprints tell keys apart and nothing else of them: that of the one which seals, and
// behind it those of the keys that it replaced. A box without a key has none.
func (b *Box) Fingerprints() []string {
	all, err := b.Derivations("fingerprint")
	if err != nil {
		return nil
	}
	out := make([]string, len(all))
	for i, f := range all {
		out[i] = hex.EncodeToString(f[:8])
	}
	return out
}

// ParseKey reads a key written in base64, standard or URL alphabet.
func ParseKey(s string) ([]byte, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(strings.TrimSpace(s), "="))
	key, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("is not base64; make one with: head -c 32 /dev/urandom | base64")
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("must be %d bytes, base64; it has %d; make one with: head -c 32 /dev/urandom | base64", KeySize, len(key))
	}
	return key, nil
}

// ParseKeys reads several keys with commas between; none is no error.
func ParseKeys(list string) ([][]byte, error) {
	var keys [][]byte
	for s := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(s) == "" {
			continue
		}
		key, err := ParseKey(s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// KeyFile reads the key kept in a file, and makes one on the first start, which
// only the owner can read.
func KeyFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		key, err := ParseKey(string(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key := make([]byte, KeySize)
	rand.Read(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// O_EXCL: two first starts at once must not each believe in their own key.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, werr := f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	return key, errors.Join(werr, f.Sync(), f.Close())
}
