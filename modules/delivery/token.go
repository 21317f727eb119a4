package delivery

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/miq/pixel/modules/partner"
)

const (
	tokenTimeout = 10 * time.Second
	maxToken     = 64 << 10
	// tokenLife is for servers that do not say how long a token lives.
	tokenLife = 5 * time.Minute
)

// Disconnected says that the partner refused our credentials, so that nothing
// can be sent until a person acts.
type Disconnected struct{ Reason string }

func (d *Disconnected) Error() string { return d.Reason }

// token is an access token and when it is renewed and ends.
type token struct {
	Secret  string    `json:"t"`
	RenewAt time.Time `json:"r"`
	Expires time.Time `json:"e"`
}

// tokens keeps the access tokens of one partner's accounts. The vault, where
// there is one, shares them with the other replicas.
type tokens struct {
	adapter partner.Adapter
	spec    partner.Spec
	client  *http.Client
	now     func() time.Time
	vault   *Vault
	renewed func(time.Time, error)

	mu       sync.Mutex
	accounts map[fingerprint]*standing
}

// fingerprint names what a token is for, without telling it.
type fingerprint [sha256.Size]byte

// standing is the token of one account.
type standing struct {
	renewing sync.Mutex // one renewal at a time; the others wait for its token
	mu       sync.Mutex
	token    token
}

func fingerprintOf(a Account) fingerprint {
	parts := []string{a.TokenURL}
	for _, name := range []string{partner.ClientID, partner.ClientSecret, partner.RefreshSecret, partner.ServiceAccount} {
		parts = append(parts, a.Credentials[name])
	}
	return sha256.Sum256([]byte(strings.Join(append(parts, string(a.Settings)), "\x00")))
}

func (t *tokens) of(f fingerprint) *standing {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.accounts[f]
	if s == nil {
		if len(t.accounts) >= 64 { // credentials that were replaced
			clear(t.accounts)
		}
		if t.accounts == nil {
			t.accounts = map[fingerprint]*standing{}
		}
		s = &standing{}
		t.accounts[f] = s
	}
	return s
}

// get returns a valid token: the one that stands unless it is old or refused,
// else another replica's, else a new one.
func (t *tokens) get(ctx context.Context, a Account) (string, error) {
	f := fingerprintOf(a)
	s := t.of(f)
	if old, fresh := s.look(t.now()); fresh {
		return old, nil
	}
	s.renewing.Lock()
	defer s.renewing.Unlock()
	old, fresh := s.look(t.now())
	if fresh {
		return old, nil
	}
	renew := func(ctx context.Context) (token, error) { return t.renew(ctx, a) }
	got, err := t.vault.get(ctx, t.spec.Name, f, t.now, old != "", renew)
	if err != nil {
		var gone *Disconnected
		if old != "" && !errors.As(err, &gone) {
			// Renewed early, so that a short outage of the token server costs nothing.
			return old, nil
		}
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = got
	return got.Secret, nil
}

// look is the token we have, if it still works, and whether it need not be
// renewed yet.
func (s *standing) look(now time.Time) (secret string, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.Secret == "" || !now.Before(s.token.Expires) {
		return "", false
	}
	return s.token.Secret, now.Before(s.token.RenewAt)
}

// drop forgets a token that the partner refused, for the other replicas too.
func (t *tokens) drop(ctx context.Context, a Account, secret string) {
	f := fingerprintOf(a)
	s := t.of(f)
	s.mu.Lock()
	if s.token.Secret == secret {
		s.token = token{}
	}
	s.mu.Unlock()
	t.vault.drop(ctx, t.spec.Name, f, secret)
}

func (t *tokens) renew(ctx context.Context, a Account) (token, error) {
	secret, life, err := t.ask(ctx, a)
	if err != nil {
		t.renewed(time.Time{}, err)
		return token{}, err
	}
	now := t.now()
	t.renewed(now.Add(life), nil)
	return token{Secret: secret, RenewAt: now.Add(life - min(life/5, 5*time.Minute)), Expires: now.Add(life)}, nil
}
