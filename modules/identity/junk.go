package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// junk tells values that stand for nobody: what tags send that were never filled in,
// what testers type, and what systems give out where they may not tell.
func junk(k Kind, value string) bool {
	switch k {
	case Email, Phone:
		return junkDigests[value]
	case User:
		if junkDigests[value] {
			return true // an address for an id: see customer
		}
	}
	if uniform(value) {
		return true
	}
	if len(value) > 24 {
		return false
	}
	return junkWords[strings.ToLower(value)]
}

// uniform reports whether all letters and digits of a value are the same one, as in
// an id that is all zeros.
func uniform(s string) bool {
	var first byte
	n := 0
	for i := range len(s) {
		c := s[i]
		if c == '-' || c == '_' || c == '.' || c == ':' || c == ' ' || c == '{' || c == '}' {
			continue
		}
		if n == 0 {
			first = c
		} else if c != first {
			return false
		}
		n++
	}
	return n == 0 || n >= 4 || first == '0'
}

var junkWords = set(
	"null", "nil", "none", "undefined", "unknown", "nan", "n/a", "na", "-", "?", "false", "true", "void", "empty", "default",
	"anonymous", "anon", "guest", "visitor", "user", "userid", "user_id", "customer", "customerid", "customer_id", "client", "id",
	"test", "tester", "testuser", "test_user", "test-user", "demo", "admin", "root", "system", "example", "dummy", "sample",
	"[object object]", "(not set)", "(none)", "notset", "not_set", "not provided", "optout", "opt-out", "opt_out", "redacted", "hidden",
	"%%user_id%%", "{{user_id}}", "{{userid}}", "{user_id}", "${user_id}", "{{ user.id }}", "-1",
	"1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890",
)

// junkDigests are those of addresses and numbers that forms are filled in with.
var junkDigests = func() map[string]bool {
	m := map[string]bool{}
	put := func(plain string) {
		sum := sha256.Sum256([]byte(plain))
		m[hex.EncodeToString(sum[:])] = true
	}
	for name := range set("test", "test1", "test123", "testing", "tester", "a", "aa", "abc", "asd", "asdf", "qwerty", "x", "xx", "xxx", "foo", "bar", "me", "you", "user", "email", "mail", "name",
		"none", "null", "undefined", "na", "no", "noemail", "no-email", "nomail", "noreply", "no-reply", "info", "admin", "guest", "anonymous", "unknown", "example", "demo", "fake", "nobody") {
		for domain := range set("test.com", "test.de", "test.co.uk", "example.com", "example.org", "example.net", "email.com", "mail.com", "gmail.com", "a.com", "aa.com", "abc.com", "asd.com", "asdf.com",
			"x.com", "xx.com", "xxx.com", "foo.com", "bar.com", "none.com", "null.com", "no.com", "na.com", "noemail.com", "fake.com", "domain.com", "guest.com", "anonymous.com") {
			put(name + "@" + domain)
		}
	}
	for _, mail := range []string{"null", "undefined", "none", "unknown", "n/a", "na", "-", "test", "guest", "anonymous"} {
		put(mail)
	}
	// One digit again and again, or one after the other, with any country's code.
	for code := range set("", "1", "31", "32", "33", "34", "39", "41", "43", "44", "45", "46", "47", "48", "49", "52", "55", "61", "81", "91", "351", "353", "358", "420") {
		for n := 6; n <= 12; n++ {
			for d := byte('0'); d <= '9'; d++ {
				put("+" + code + strings.Repeat(string(d), n))
				put(code + strings.Repeat(string(d), n))
			}
			put("+" + code + "123456789012"[:n])
			put(code + "123456789012"[:n])
		}
	}
	return m
}()

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}
