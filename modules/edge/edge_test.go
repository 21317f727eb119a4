package edge

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

var (
	now    = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	window = 5 * time.Minute
	body   = `{"pixel_id":"px_1"}`
)

func key(b byte) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune('a'+b)), 32)))
}

func honest() Claims {
	digest := sha256.Sum256([]byte(body))
	return Claims{
		Signed: now.UnixMilli(), Received: now.UnixMilli(), Host: "www.shop.example",
		Method: "POST", Target: "/collect?x=1", Body: base64.RawURLEncoding.EncodeToString(digest[:]),
		IP: "203.0.113.7", Country: "US", Region: "CA", City: "San Francisco", ASN: 64500,
	}
}

func sent() ([]byte, error) { return []byte(body), nil }

func request(header string) *http.Request {
	r := httptest.NewRequest("POST", "/collect?x=1", strings.NewReader(body))
	r.Header.Set(Header, header)
	return r
}

func TestAnHonestHeaderIsBelievedAndAnyOtherIsNot(t *testing.T) {
	keys, err := ParseKeys("k1:" + key(1) + ", k2:" + key(2))
	if err != nil {
		t.Fatal(err)
	}
	stranger, _ := ParseKeys("k2:" + key(3) + ",k9:" + key(4))
	sign := func(k Keys, id string, change func(*Claims)) string {
		c := honest()
		change(&c)
		h, err := k.Sign(id, c)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	same := func(*Claims) {}
	good := sign(keys, "k2", same)
	for name, c := range map[string]struct {
		header string
		want   error
	}{
		"honest":                     {good, nil},
		"by the older key":           {sign(keys, "k1", same), nil},
		"almost too old":             {sign(keys, "k2", func(c *Claims) { c.Signed -= window.Milliseconds() }), nil},
		"too old":                    {sign(keys, "k2", func(c *Claims) { c.Signed -= window.Milliseconds() + 1 }), ErrExpired},
		"from the future":            {sign(keys, "k2", func(c *Claims) { c.Signed += window.Milliseconds() + 1 }), ErrExpired},
		"kept for a day, signed now": {sign(keys, "k2", func(c *Claims) { c.Received -= 86_400_000 }), nil},
		"by another's key":           {sign(stranger, "k2", same), ErrForged},
		"by an unknown key":          {sign(stranger, "k9", same), ErrUnknownKey},
		"another body":               {sign(keys, "k2", func(c *Claims) { c.Body = "" }), ErrMismatch},
		"another path":               {sign(keys, "k2", func(c *Claims) { c.Target = "/consent" }), ErrMismatch},
		"another method":             {sign(keys, "k2", func(c *Claims) { c.Method = "GET" }), ErrMismatch},
		"no address":                 {sign(keys, "k2", func(c *Claims) { c.IP = "somewhere" }), ErrMalformed},
		"a changed signature":        {good[:len(good)-4] + "AAAA", ErrForged},
		"changed claims":             {strings.Replace(good, ".e", ".x", 1), ErrForged},
		"no signature":               {good[:strings.LastIndex(good, ".")], ErrMalformed},
		"empty":                      {"", ErrMalformed},
		"not base64":                 {"k2.!.!", ErrMalformed},
		"huge":                       {"k2." + strings.Repeat("a", maxHeader) + ".a", ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := keys.Verify(request(c.header), sent, now, window)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("err = %v, want %v", err, c.want)
			}
			if err == nil && (got.IP != "203.0.113.7" || got.Region != "CA") {
				t.Errorf("claims = %+v", got)
			}
			if err != nil && got != (Claims{}) {
				t.Errorf("claims of a bad header came out: %+v", got)
			}
		})
	}
}

func TestTheBodyOfAStrangerIsNotRead(t *testing.T) {
	keys, _ := ParseKeys("k2:" + key(2))
	stranger, _ := ParseKeys("k2:" + key(3))
	forged, _ := stranger.Sign("k2", honest())
	good, _ := keys.Sign("k2", honest())
	for header, want := range map[string]error{forged: ErrForged, "k9.e30.e30": ErrUnknownKey, "": ErrMalformed} {
		_, err := keys.Verify(request(header), func() ([]byte, error) {
			t.Errorf("read behind %q", header)
			return nil, nil
		}, now, window)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", header, err, want)
		}
	}
	if _, err := keys.Verify(request(good), func() ([]byte, error) { return nil, errors.New("cut off") }, now, window); !errors.Is(err, ErrMismatch) {
		t.Errorf("half a body: %v", err)
	}
}

func TestKeysAreReadStrictly(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"k1:" + key(1):                   "",
		"k1":                             `must be "id:key"`,
		":" + key(1):                     `must be "id:key"`,
		"k.1:" + key(1):                  `must be "id:key"`,
		"k1:???":                         "not base64",
		"k1:c2hvcnQ=":                    "less than 32",
		"k1:" + key(1) + ",k1:" + key(2): "twice",
	} {
		_, err := ParseKeys(in)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
		if err != nil && strings.Contains(err.Error(), key(1)) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func FuzzVerifyNeverPanics(f *testing.F) {
	keys, _ := ParseKeys("k2:" + key(2))
	good, _ := keys.Sign("k2", honest())
	f.Add(good)
	f.Add("k2.e30.e30")
	f.Fuzz(func(t *testing.T, header string) {
		if _, err := keys.Verify(request(header), sent, now, window); err == nil && header != good {
			t.Errorf("%q is believed", header)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	keys, _ := ParseKeys("k2:" + key(2))
	good, _ := keys.Sign("k2", honest())
	r, raw := request(good), []byte(strings.Repeat("x", 725))
	digest := sha256.Sum256(raw)
	c := honest()
	c.Body = base64.RawURLEncoding.EncodeToString(digest[:])
	h, _ := keys.Sign("k2", c)
	r.Header.Set(Header, h)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.Verify(r, func() ([]byte, error) { return raw, nil }, now, window); err != nil {
			b.Fatal(err)
		}
	}
}
