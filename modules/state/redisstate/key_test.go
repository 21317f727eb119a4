package redisstate

import (
	"strings"
	"testing"
)

func TestUUIDsInKeysArePackedAndNoTwoKeysBecomeOne(t *testing.T) {
	const id, raw = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "\x01\x01\x93\xa1\xb2\xc3\xd4\x7e\x5f\x8a\x9b\x0c\x1d\x2e\x3f\x4a\x5b"
	keys := map[string]string{
		"seen:px_demo:" + id:                   "seen:px_demo:" + raw,
		id:                                     raw,
		id + id:                                raw + raw,
		"a-" + id + "-b":                       "a-" + raw + "-b",
		"pair:" + id + ":" + id:                "pair:" + raw + ":" + raw,
		strings.ToUpper(id):                    strings.ToUpper(id),
		"0193a1b2-c3d4-7e5f-8a9b-0c1d2e":       "0193a1b2-c3d4-7e5f-8a9b-0c1d2e",
		"0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5x": "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5x",
		"no uuid":                              "no uuid",
		"":                                     "",
		raw:                                    "\x02" + raw,
		"\x02" + raw:                           "\x02\x02" + raw,
		"\x02":                                 "\x02\x02",
	}
	seen := map[string]string{}
	for key, want := range keys {
		got := packKey(key)
		if got != want {
			t.Errorf("%q became %q, want %q", key, got, want)
		}
		if other, is := seen[got]; is {
			t.Errorf("%q and %q became the same", key, other)
		}
		seen[got] = key
	}
}

func FuzzPackKey(f *testing.F) {
	f.Add("a0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "a\x01\x01\x93\xa1\xb2\xc3\xd4\x7e\x5f\x8a\x9b\x0c\x1d\x2e\x3f\x4a\x5b")
	f.Fuzz(func(t *testing.T, a, b string) {
		if a != b && packKey(a) == packKey(b) {
			t.Errorf("%q and %q became the same", a, b)
		}
	})
}
