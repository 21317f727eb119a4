package admin

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"github.com/miq/pixel/modules/settings"
)

// hashing is argon2id at 19 MiB and 2 passes, OWASP's first choice.
var hashing = argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// nobody is the digest of a password that nobody knows, of the same cost:
// a sign-in under an unknown name takes as long as one under a known name.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXRoaW5nc2FsdHkxMg$dGhpcyBpcyBub3QgdGhlIGhhc2ggb2YgYW55dGhpbmc"

// atOnce bounds the memory that sign-ins take together.
const atOnce = 2

// hasher makes and compares password digests, two at a time.
type hasher chan struct{}

func newHasher() hasher { return make(hasher, atOnce) }

func (h hasher) enter(ctx context.Context) error {
	select {
	case h <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-h }()
	return argon2id.CreateHash(password, &hashing)
}

// matches compares a password with a digest; an empty digest matches nothing,
// and takes as long.
func (h hasher) matches(ctx context.Context, password, digest string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer func() { <-h }()
	known := digest != ""
	if !known {
		digest = nobody
	}
	ok, err := argon2id.ComparePasswordAndHash(password, digest)
	if err != nil {
		return false, fmt.Errorf("compare a password: %w", err)
	}
	return ok && known, nil
}

// checkPassword says what is wrong with a new password.
func checkPassword(password, login string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < 10:
		return settings.Invalid{{Field: "password", Message: "must have at least 10 characters"}}
	case n > 500:
		return settings.Invalid{{Field: "password", Message: "must have at most 500 characters"}}
	case normalLogin(password) == normalLogin(login):
		return settings.Invalid{{Field: "password", Message: "must not be your name"}}
	}
	return nil
}
