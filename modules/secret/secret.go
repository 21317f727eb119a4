// Package secret encrypts what must not lie readable in the store, such as
// partners' credentials, with AES-256-GCM.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
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

// Box seals and opens values with one key. The zero Box does neither.
type Box struct {
	aead cipher.AEAD
	key  []byte
}

// New returns a box for a key of 32 bytes.
func New(key []byte) (*Box, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("must be %d bytes, base64; it has %d", KeySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Box{aead, slices.Clone(key)}, nil
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
	n := b.aead.NonceSize()
	if len(sealed) < n {
		return nil, ErrOpen
	}
	value, err := b.aead.Open(nil, sealed[:n], sealed[n:], []byte(name))
	if err != nil {
		return nil, ErrOpen
	}
	return value, nil
}

// Derive returns a secret of its own for a purpose, always the same for the same
// key, from which neither the key nor another purpose's secret can be told.
func (b *Box) Derive(name string) ([]byte, error) {
	return hkdf.Key(sha256.New, b.key, nil, name, KeySize)
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
