package crossing

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

var (
	secret = []byte("the pixel's own")
	noon   = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
)

func sealed(t testing.TB, secret []byte, pixel, visitor string, at time.Time) string {
	t.Helper()
	token, err := Seal(secret, pixel, visitor, at)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestATokenSaysWhoItWasToWhoeverHasTheKeyAndToNobodyElse(t *testing.T) {
	token := sealed(t, secret, "px_shop", "anon-1", noon)
	got, err := Open(secret, "px_shop", token, noon.Add(time.Minute))
	if err != nil || got.Visitor != "anon-1" || !got.Made.Equal(noon) || got.Use == "" {
		t.Errorf("got %+v, %v", got, err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || strings.Contains(string(raw), "anon-1") {
		t.Errorf("%v; it can be read without the key: %q", err, raw)
	}
	again, err := Open(secret, "px_shop", sealed(t, secret, "px_shop", "anon-1", noon), noon)
	if err != nil || again.Use == got.Use {
		t.Errorf("two tokens cannot be told apart: %+v, %v", again, err)
	}
}

func TestATokenThatIsNotOursOrTooOldIsRefused(t *testing.T) {
	token := sealed(t, secret, "px_shop", "anon-1", noon)
	flipped := []byte(token)
	flipped[20] ^= 1
	for name, c := range map[string]struct {
		secret       []byte
		pixel, token string
		at           time.Time
		want         error
	}{
		"just in time":         {secret, "px_shop", token, noon.Add(Lifetime), nil},
		"a clock behind ours":  {secret, "px_shop", token, noon.Add(-5 * time.Second), nil},
		"expired":              {secret, "px_shop", token, noon.Add(Lifetime + time.Second), ErrExpired},
		"from the future":      {secret, "px_shop", token, noon.Add(-time.Minute), ErrExpired},
		"another pixel's":      {secret, "px_other", token, noon, ErrForged},
		"another key's":        {[]byte("somebody else's"), "px_shop", token, noon, ErrForged},
		"changed":              {secret, "px_shop", string(flipped), noon, ErrForged},
		"cut short":            {secret, "px_shop", token[:len(token)-8], noon, ErrForged},
		"made up":              {secret, "px_shop", base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", 60))), noon, ErrForged},
		"no base64":            {secret, "px_shop", "<script>", noon, ErrForged},
		"nothing":              {secret, "px_shop", "", noon, ErrForged},
		"a visitor in clear":   {secret, "px_shop", "anon-1", noon, ErrForged},
		"very long":            {secret, "px_shop", strings.Repeat("A", 1<<16), noon, ErrForged},
		"with something after": {secret, "px_shop", token + "AAAA", noon, ErrForged},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Open(c.secret, c.pixel, c.token, c.at)
			if !errors.Is(err, c.want) || (err == nil) != (got.Visitor == "anon-1") {
				t.Errorf("got %+v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestNoTokenIsMadeWithoutASecretOrForSomethingThatIsNoID(t *testing.T) {
	for _, visitor := range []string{"", strings.Repeat("x", 200)} {
		if token, err := Seal(secret, "px_shop", visitor, noon); !errors.Is(err, ErrVisitor) {
			t.Errorf("%q, %v", token, err)
		}
	}
	if token, err := Seal(nil, "px_shop", "anon-1", noon); err == nil {
		t.Errorf("made %q without a secret", token)
	}
	if _, err := Open(nil, "px_shop", sealed(t, secret, "px_shop", "anon-1", noon), noon); err == nil {
		t.Error("opened without a secret")
	}
}

func TestATokenIsTakenOutOfTheAddressAndNothingElseIs(t *testing.T) {
	for address, want := range map[string][2]string{
		"":                                    {"", ""},
		"https://b.test/":                     {"https://b.test/", ""},
		"https://b.test/#_miq=T":              {"https://b.test/", "T"},
		"https://b.test/?a=1#_miq=T":          {"https://b.test/?a=1", "T"},
		"https://b.test/#prices&_miq=T":       {"https://b.test/#prices", "T"},
		"https://b.test/?_miq=T":              {"https://b.test/", "T"},
		"https://b.test/?_miq=T&a=1":          {"https://b.test/?a=1", "T"},
		"https://b.test/?a=1&_miq=T":          {"https://b.test/?a=1", "T"},
		"https://b.test/?a=1&_miq=T&b=2#c":    {"https://b.test/?a=1&b=2#c", "T"},
		"https://b.test/?a=1&_miq=T#c":        {"https://b.test/?a=1#c", "T"},
		"https://b.test/?_miq=":               {"https://b.test/", ""},
		"https://b.test/?not_miq=T":           {"https://b.test/?not_miq=T", ""},
		"https://b.test/_miq=T":               {"https://b.test/_miq=T", ""},
		"https://b.test/?a_miq=1&_miq=T":      {"https://b.test/?a_miq=1", "T"},
		"_miq=T":                              {"_miq=T", ""},
		"https://b.test/?x=%3F_miq=1#y=_miq=": {"https://b.test/?x=%3F_miq=1#y=_miq=", ""},
	} {
		if rest, token := Cut(address); rest != want[0] || token != want[1] {
			t.Errorf("%s: %q and %q, want %q", address, rest, token, want)
		}
	}
}

func FuzzOpenNeverPanics(f *testing.F) {
	f.Add("px_shop", "AAAA")
	f.Add("px_shop", sealed(f, secret, "px_shop", "anon-1", noon))
	f.Fuzz(func(t *testing.T, pixel, token string) {
		Cut("https://b.test/?" + token)
		_, _ = Open(secret, pixel, token, noon)
	})
}
