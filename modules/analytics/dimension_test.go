package analytics

import (
	"math/rand/v2"
	"testing"
)

// What is read at a glance is what parsing gives.
func TestAPathIsTheOneThatParsingGives(t *testing.T) {
	parts := []string{"http://", "https://", "HTTPS://", "ftp://", "shop.example", "a", "-", ":", "8080", "@", "/", "//", "?", "#", "%20", "%", "%zz", "=", "&", " ", "\x00", "\n", "\x7f", "é", "\xff", "..", ";", "[::1]", "path", "utm_source=x", "+", "\\", "^", "|", "'", "\""}
	r := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for range 200_000 {
		address := parts[r.IntN(2)]
		if r.IntN(4) == 0 {
			address = ""
		}
		for range r.IntN(8) {
			address += parts[r.IntN(len(parts))]
		}
		if got, ok := plainPath(address); ok {
			if plain++; got != parsedPath(address) {
				t.Fatalf("%q: %q, not %q", address, got, parsedPath(address))
			}
		}
	}
	if plain < 3_000 {
		t.Errorf("only %d were plain", plain)
	}
	for address, want := range map[string]string{
		"https://shop.example": "/", "https://shop.example/": "/", "https://shop.example/a/b?c=%zz": "/a/b", "https://shop.example?x": "/",
		"https://shop.example/a%20b#c": "/a b", "": "", "/relative": "/relative", "https://shop.example:8443/x": "/x",
	} {
		if got := pagePath(address); got != want {
			t.Errorf("%q: %q, not %q", address, got, want)
		}
	}
}
