package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func box(t *testing.T, fill byte) *Box {
	t.Helper()
	b, err := New(bytes.Repeat([]byte{fill}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealedValuesOpenOnlyWithTheirKeyAndName(t *testing.T) {
	sealed := box(t, 1).Seal("partner:amazon", []byte("s3cret"))
	if bytes.Contains(sealed, []byte("s3cret")) {
		t.Fatal("the sealed value holds the plain one")
	}
	got, err := box(t, 1).Open("partner:amazon", sealed)
	if err != nil || string(got) != "s3cret" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another key":  func() ([]byte, error) { return box(t, 2).Open("partner:amazon", sealed) },
		"another name": func() ([]byte, error) { return box(t, 1).Open("partner:ttd", sealed) },
		"a changed bit": func() ([]byte, error) {
			return box(t, 1).Open("partner:amazon", changed)
		},
		"too short": func() ([]byte, error) { return box(t, 1).Open("partner:amazon", sealed[:5]) },
	} {
		if _, err := open(); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: err = %v, want ErrOpen", name, err)
		}
	}
}

func TestKeyFileIsMadeOnceAndReadableByTheOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "secret.key")
	first, err := KeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := KeyFile(path)
	if err != nil || !bytes.Equal(first, again) {
		t.Fatalf("the second start has another key (%v)", err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, want 0600", info.Mode().Perm())
	}
}

func TestParseKeySaysWhatIsWrong(t *testing.T) {
	for _, bad := range []string{"", "not base64!", base64.StdEncoding.EncodeToString([]byte("short"))} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("ParseKey(%q) took it", bad)
		}
	}
	key := bytes.Repeat([]byte{0xfb}, KeySize)
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if got, err := ParseKey(enc.EncodeToString(key)); err != nil || !bytes.Equal(got, key) {
			t.Errorf("ParseKey(%s) = %v", enc.EncodeToString(key), err)
		}
	}
}

func TestDerivedSecretsAreStableAndApart(t *testing.T) {
	derive := func(b *Box, name string) string {
		s, err := b.Derive(name)
		if err != nil || len(s) != KeySize {
			t.Fatalf("%d bytes, %v", len(s), err)
		}
		return string(s)
	}
	if derive(box(t, 1), "a") != derive(box(t, 1), "a") {
		t.Error("the same purpose gave another secret")
	}
	if derive(box(t, 1), "a") == derive(box(t, 1), "b") || derive(box(t, 1), "a") == derive(box(t, 2), "a") {
		t.Error("two purposes or two keys gave the same secret")
	}
}

func TestAReplacedKeyStillOpensAndSaysWhatIsStale(t *testing.T) {
	first, second := bytes.Repeat([]byte{1}, KeySize), bytes.Repeat([]byte{2}, KeySize)
	before, err := New(first)
	if err != nil {
		t.Fatal(err)
	}
	after, err := New(second, first)
	if err != nil {
		t.Fatal(err)
	}
	sealed := before.Seal("partner:amazon", []byte("s3cret"))
	if got, err := after.Open("partner:amazon", sealed); err != nil || string(got) != "s3cret" {
		t.Errorf("Open with the old key: %q, %v", got, err)
	}
	if !after.Stale("partner:amazon", sealed) || after.Stale("partner:amazon", after.Seal("partner:amazon", []byte("x"))) || after.Stale("partner:amazon", []byte("junk")) {
		t.Error("Stale takes the wrong ones")
	}
	if _, err := before.Open("partner:amazon", after.Seal("partner:amazon", nil)); !errors.Is(err, ErrOpen) {
		t.Errorf("the old key opens what the new one sealed: %v", err)
	}
	if keys, err := ParseKeys(" , " + base64.StdEncoding.EncodeToString(first) + ", " + base64.StdEncoding.EncodeToString(second)); err != nil || len(keys) != 2 {
		t.Errorf("ParseKeys: %d, %v", len(keys), err)
	}
}

func TestFingerprintsTellKeysApartAndNoMore(t *testing.T) {
	first, second := bytes.Repeat([]byte{1}, KeySize), bytes.Repeat([]byte{2}, KeySize)
	after, err := New(second, first)
	if err != nil {
		t.Fatal(err)
	}
	before, prints := box(t, 1).Fingerprints(), after.Fingerprints()
	if len(before) != 1 || len(prints) != 2 || prints[1] != before[0] || prints[0] == prints[1] {
		t.Errorf("%v, %v", before, prints)
	}
	if strings.Contains(prints[0], hex.EncodeToString(second[:4])) {
		t.Error("a fingerprint shows the key")
	}
	if got := new(Box).Fingerprints(); got != nil {
		t.Errorf("a box without a key has %v", got)
	}
}
