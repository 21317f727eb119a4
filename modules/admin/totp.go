package admin

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/miq/pixel/modules/state"
)

// secondFactor is a person's authenticator: a secret that an app shares with us, from
// which both make six digits every half minute (RFC 6238).
type secondFactor struct {
	Sealed []byte `json:"sealed"` // the secret, encrypted (modules/secret)
	// On is set once a first code proved that the app has the secret.
	On bool `json:"on,omitempty"`
	// Step is the newest half minute whose code was taken: none is taken twice.
	Step int64 `json:"step,omitempty"`
	// Recovery are the digests of codes that stand for the app once each.
	Recovery []string `json:"recovery,omitempty"`
}

const (
	period        = 30 // seconds
	recoveryCodes = 10
	// codeTries bounds guesses at one person's code in a window, from wherever: whoever
	// guesses knows the password already.
	codeTries = 10
)

var errBadCode = errors.New("that code is not right, was used already, or came too late")

func (a *Admin) totpName(userID string) string { return "totp:" + userID }

// offerFactor makes a secret for a person, to be proven by a first code.
func (a *Admin) offerFactor(ctx context.Context, u user) (*otp.Key, error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "pixel", AccountName: u.Login, SecretSize: 20})
	if err != nil {
		return nil, fmt.Errorf("make a secret: %w", err)
	}
	sealed := a.o.Box.Seal(a.totpName(u.ID), []byte(key.Secret()))
	return key, a.people.note(ctx, u.ID, func(u *user) error {
		if u.Factor != nil && u.Factor.On {
			return errBadCode
		}
		u.Factor = &secondFactor{Sealed: sealed}
		return nil
	})
}

// stepOf finds the half minute whose code this is: the present one, or one before or
// after it, as clocks differ; later than the newest one that was taken.
func (a *Admin) stepOf(u user, code string) (int64, error) {
	if u.Factor == nil {
		return 0, errBadCode
	}
	secret, err := a.o.Box.Open(a.totpName(u.ID), u.Factor.Sealed)
	if err != nil {
		return 0, fmt.Errorf("the second factor of a user: %w", err)
	}
	now := a.now().Unix() / period
	found := int64(0)
	for step := now - 1; step <= now+1; step++ {
		want, err := hotp.GenerateCode(string(secret), uint64(step))
		if err != nil {
			return 0, fmt.Errorf("make a code: %w", err)
		}
		if same(want, code) && step > u.Factor.Step {
			found = step
		}
	}
	if found == 0 {
		return 0, errBadCode
	}
	return found, nil
}

// takeCode takes a person's code, of the app or for recovery, once. Of two that come
// with the same at once, one is refused.
func (a *Admin) takeCode(ctx context.Context, id, code string) (recovery bool, err error) {
	if n, err := a.limit.count(ctx, "admin:try:code:"+id); err != nil || n > codeTries {
		return false, errors.Join(err, errBadCode)
	}
	code = strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(code))
	err = a.people.note(ctx, id, func(u *user) error {
		if u.Factor == nil || !u.Factor.On {
			return errBadCode
		}
		f := *u.Factor
		if i := slices.Index(f.Recovery, digest(code)); i >= 0 {
			f.Recovery, recovery = slices.Delete(slices.Clone(f.Recovery), i, i+1), true
			u.Factor = &f
			return nil
		}
		if f.Step, err = a.stepOf(*u, code); err != nil {
			return err
		}
		u.Factor = &f
		return nil
	})
	if errors.Is(err, state.ErrConflict) {
		err = errBadCode
	}
	if err == nil {
		err = a.o.State.Delete(ctx, "admin:try:code:"+id)
	}
	return recovery, err
}

// proveFactor switches the second factor on, once a code shows that the app has the
// secret, and returns the recovery codes, which are not kept.
func (a *Admin) proveFactor(ctx context.Context, id, code string) ([]string, error) {
	if n, err := a.limit.count(ctx, "admin:try:code:"+id); err != nil || n > codeTries {
		return nil, errors.Join(err, errBadCode)
	}
	var codes, digests []string
	for range recoveryCodes {
		b := make([]byte, 10)
		_, _ = rand.Read(b)
		c := base32.StdEncoding.EncodeToString(b) // 16 characters, 80 bits
		codes, digests = append(codes, c[:4]+"-"+c[4:8]+"-"+c[8:12]+"-"+c[12:]), append(digests, digest(c))
	}
	return codes, a.people.note(ctx, id, func(u *user) error {
		if u.Factor == nil || u.Factor.On {
			return errBadCode
		}
		step, err := a.stepOf(*u, strings.ReplaceAll(code, " ", ""))
		if err != nil {
			return err
		}
		u.Factor = &secondFactor{Sealed: u.Factor.Sealed, On: true, Step: step, Recovery: digests}
		return nil
	})
}

// qrPath draws an address as the path of an SVG, a square a module.
func qrPath(address string) (path string, size int, err error) {
	code, err := qr.Encode(address, qr.M, qr.Auto)
	if err != nil {
		return "", 0, fmt.Errorf("draw a QR code: %w", err)
	}
	var b strings.Builder
	size = code.Bounds().Dx()
	for y := range size {
		for x := range size {
			if dark(code, x, y) {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+4, y+4)
			}
		}
	}
	return b.String(), size + 8, nil // with the quiet zone that readers want
}

func dark(code barcode.Barcode, x, y int) bool {
	r, _, _, _ := code.At(x, y).RGBA()
	return r == 0
}

// ticketTTL is how long somebody has for the code after the password.
const ticketTTL = 5 * time.Minute
