package erasure

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// Certificate proves an erasure: what was asked, what was deleted where and that
// nothing was left. Each holds the hash of the one issued before, so that none can be
// changed, left out or added later without its showing; and it is signed.
type Certificate struct {
	Request  string    `json:"request"`
	PixelID  string    `json:"pixel_id,omitempty"` // empty: all
	By       string    `json:"by"`
	Asked    time.Time `json:"asked"`
	Finished time.Time `json:"finished"`
	Named    []Named   `json:"named"`
	Found    Found     `json:"found"`
	// Erased counts by store what was deleted. Where Interrupted is not 0, so often
	// the work was cut short and begun again, and a count may lack what was deleted
	// just before.
	Erased      map[string]map[string]int `json:"erased"`
	Interrupted int                       `json:"interrupted,omitempty"`
	// Left counts by store what was found by looking again right afterwards: nothing.
	Left   map[string]int `json:"left"`
	SentTo map[string]int `json:"sent_to,omitempty"`
	// Of is the hash of the certificate that this one comes after: of a later look it is
	// all that is new, with what was left then.
	Of string `json:"of,omitempty"`

	Prev string `json:"prev,omitempty"` // the hash of the certificate issued before
	Hash string `json:"hash"`           // SHA-256 of this one as JSON without hash and signature
	// Signature is Ed25519's over the hash, base64; Key the public key that checks it.
	Signature string `json:"signature"`
	Key       string `json:"key"`
}

// hashed is what a certificate's hash is of: JSON with its members in order of their
// names.
func (c Certificate) hashed() ([]byte, error) {
	c.Hash, c.Signature, c.Key = "", "", ""
	return json.Marshal(c, json.Deterministic(true))
}

// sign issues a certificate behind another.
func (b *Book) sign(c *Certificate, prev string) error {
	c.Prev = prev
	body, err := c.hashed()
	if err != nil {
		return err
	}
	key, err := b.key()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	c.Hash = hex.EncodeToString(sum[:])
	c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, sum[:]))
	c.Key = base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	return nil
}

func (b *Book) key() (ed25519.PrivateKey, error) {
	seed, err := b.box.Derive("erasure certificates")
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// keys are the public keys of this installation, today's and those before.
func (b *Book) keys() ([]string, error) {
	seeds, err := b.box.Derivations("erasure certificates")
	if err != nil {
		return nil, err
	}
	out := make([]string, len(seeds))
	for i, s := range seeds {
		out[i] = base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(s).Public().(ed25519.PublicKey))
	}
	return out, nil
}

// Verify says what is wrong with a certificate; keys are those to be trusted.
func (c Certificate) Verify(keys []string) error {
	body, err := c.hashed()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if c.Hash != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("certificate of %s: it was changed after it was issued", c.Request)
	}
	if !slices.Contains(keys, c.Key) {
		return fmt.Errorf("certificate of %s: it was signed with a key that is not ours", c.Request)
	}
	key, err := base64.StdEncoding.DecodeString(c.Key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("certificate of %s: its key is no key", c.Request)
	}
	sig, err := base64.StdEncoding.DecodeString(c.Signature)
	if err != nil || !ed25519.Verify(key, sum[:], sig) {
		return fmt.Errorf("certificate of %s: its signature is not by its key", c.Request)
	}
	return nil
}

// Chain checks the certificates of all requests, and that they follow one another.
func (b *Book) Chain(all []Request) []error {
	keys, err := b.keys()
	if err != nil {
		return []error{err}
	}
	var list []*Certificate
	for i := range all {
		list = append(list, all[i].certificates()...)
	}
	var wrong []error
	hashes := map[string]string{"": ""}
	for _, c := range list {
		if err := c.Verify(keys); err != nil {
			wrong = append(wrong, err)
		}
		hashes[c.Hash] = c.Request
	}
	follows := map[string]string{}
	for _, c := range list {
		if _, ok := hashes[c.Prev]; !ok {
			wrong = append(wrong, fmt.Errorf("certificate of %s: the one before it is missing or was changed", c.Request))
		}
		if other, ok := follows[c.Prev]; ok {
			wrong = append(wrong, fmt.Errorf("certificates of %s and %s: both follow the same one", other, c.Request))
		}
		follows[c.Prev] = c.Request
	}
	return wrong
}

// certificates are those of a request, in order.
func (r *Request) certificates() (list []*Certificate) {
	for _, c := range []*Certificate{r.Certificate, r.LookedAgain} {
		if c != nil {
			list = append(list, c)
		}
	}
	return list
}

// last is the hash that the next certificate follows.
func last(all []Request) string {
	hashes, followed := map[string]bool{}, map[string]bool{}
	for i := range all {
		for _, c := range all[i].certificates() {
			hashes[c.Hash], followed[c.Prev] = true, true
		}
	}
	ends := slices.DeleteFunc(slices.Sorted(maps.Keys(hashes)), func(h string) bool { return followed[h] })
	if len(ends) == 0 {
		return ""
	}
	return ends[0]
}

// JSON is a certificate as it is handed out.
func (c Certificate) JSON() ([]byte, error) {
	var out bytes.Buffer
	err := json.MarshalWrite(&out, c, json.Deterministic(true))
	return out.Bytes(), err
}
