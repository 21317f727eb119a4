package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// user is somebody who signs in. It never leaves the package whole.
type user struct {
	ID    string `json:"id"`
	Login string `json:"login"`
	Role  Role   `json:"role"`
	// Advertisers confine somebody to these advertisers' pixels; none: all.
	Advertisers []string      `json:"advertisers,omitempty"`
	Password    string        `json:"password,omitempty"` // argon2id; empty until the first is set
	Factor      *secondFactor `json:"factor,omitempty"`
	CreatedAt   time.Time     `json:"created_at"`
	// Issuer and Subject are who vouches for somebody and under which name that never
	// changes; empty for those who have a password here.
	Issuer  string `json:"issuer,omitempty"`
	Subject string `json:"subject,omitempty"`
	// Generation ends all sessions of an older one: it grows with each change of
	// password or role.
	Generation int `json:"generation"`
}

// Provided reports whether somebody signs in by the identity provider, and by nothing else.
func (u user) Provided() bool { return u.Subject != "" }

func (u user) principal() principal {
	return principal{Kind: "user", ID: u.ID, Name: u.Login, Role: u.Role, Advertisers: u.Advertisers}
}

// token is an API token; only its digest is kept.
type token struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Advertisers and Scopes narrow what the role may; none: all.
	Advertisers []string  `json:"advertisers,omitempty"`
	Scopes      []string  `json:"scopes,omitempty"`
	Digest      string    `json:"digest"`
	CreatedBy   string    `json:"created_by"`
	Behind      string    `json:"behind,omitempty"` // the id of the user that it acts for
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
}

const tokenPrefix = "pxt_"

var (
	errNoUser    = errors.New("no such user")
	errNoToken   = errors.New("no such token")
	errLastAdmin = errors.New("this is the last administrator; make somebody else one first")
	errUserTaken = errors.New("there is a user of that name already")
)

// people are the users and API tokens.
type people struct {
	users  *collection[user]
	tokens *collection[token]
	keys   state.Keys
	now    func() time.Time

	mu   sync.Mutex
	seen map[string]time.Time // when a token's use was last written down
}

func newPeople(store state.Store, now func() time.Time) *people {
	return &people{
		users: newCollection[user](store, "users"), tokens: newCollection[token](store, "tokens"), keys: store,
		now: now, seen: map[string]time.Time{},
	}
}

// userID is made of the login, so that the store itself refuses a second user
// of the same name, and no name stands in an address.
func userID(login string) string {
	sum := sha256.Sum256([]byte(normalLogin(login)))
	return "usr_" + hex.EncodeToString(sum[:8])
}

func normalLogin(login string) string { return strings.ToLower(strings.TrimSpace(login)) }

func (p *people) list(ctx context.Context) ([]user, error) {
	all, err := p.users.all(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]user, 0, len(all))
	for _, s := range all {
		out = append(out, s.value)
	}
	slices.SortFunc(out, func(a, b user) int { return cmp.Compare(a.Login, b.Login) })
	return out, nil
}

// of finds the user whom an identity provider knows by a name of its own.
func (p *people) of(ctx context.Context, issuer, subject string) (user, bool, error) {
	all, err := p.users.all(ctx)
	for _, s := range all {
		if s.value.Provided() && s.value.Issuer == issuer && s.value.Subject == subject {
			return s.value, true, err
		}
	}
	return user{}, false, err
}

func (p *people) any(ctx context.Context) (bool, error) {
	all, err := p.users.all(ctx)
	return len(all) > 0, err
}

// checkRole says what is wrong with a role and what it is confined to.
func checkRole(role Role, advertisers []string) (v settings.Invalid) {
	if !role.valid() {
		v = append(v, settings.Problem{Field: "role", Message: "must be one of viewer, marketer, admin"})
	}
	if role == Administrator && len(advertisers) > 0 {
		v = append(v, settings.Problem{Field: "advertisers", Message: "cannot confine an admin, who may do everything; choose marketer or viewer"})
	}
	for _, name := range advertisers {
		if name == "" || utf8.RuneCountInString(name) > 200 {
			v = append(v, settings.Problem{Field: "advertisers", Message: "must be names of advertisers, as pixels have them"})
			break
		}
	}
	if len(advertisers) > 100 {
		v = append(v, settings.Problem{Field: "advertisers", Message: "can be 100 at most"})
	}
	return v
}

// named tidies a list of names.
func named(list []string) (out []string) {
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// add makes a user of a login, a role, advertisers and perhaps a password's digest.
func (p *people) add(ctx context.Context, u user) (user, error) {
	login := strings.TrimSpace(u.Login)
	var v settings.Invalid
	if n := utf8.RuneCountInString(login); n == 0 || n > 100 || strings.ContainsFunc(login, func(r rune) bool { return r < ' ' }) {
		v = append(v, settings.Problem{Field: "login", Message: "must be 1 to 100 characters: a name or an e-mail address"})
	}
	u.Advertisers = named(u.Advertisers)
	if v = append(v, checkRole(u.Role, u.Advertisers)...); len(v) > 0 {
		return user{}, v
	}
	u.ID, u.Login, u.CreatedAt = userID(login), login, p.now().UTC().Truncate(time.Millisecond)
	// Sessions of somebody of that name who was removed are not the new one's.
	u.Generation = int(u.CreatedAt.UnixMilli())
	err := p.users.put(ctx, u.ID, 0, u)
	if errors.Is(err, state.ErrConflict) {
		err = errUserTaken
	}
	return u, err
}

// change writes a user as edit leaves it, and ends the user's sessions.
func (p *people) change(ctx context.Context, id string, edit func(*user)) (before, after user, err error) {
	before, revision, ok, err := p.users.get(ctx, id)
	if err == nil && !ok {
		err = errNoUser
	}
	if err != nil {
		return before, before, err
	}
	after = before
	edit(&after)
	after.Generation++
	// The identity provider can make another administrator at any time.
	if before.Role == Administrator && after.Role != Administrator && !before.Provided() {
		if err := p.keepAdmin(ctx, id); err != nil {
			return before, before, err
		}
	}
	return before, after, p.users.put(ctx, id, revision, after)
}

// note writes a user as edit leaves it, and leaves the sessions alone.
func (p *people) note(ctx context.Context, id string, edit func(*user) error) error {
	u, revision, ok, err := p.users.get(ctx, id)
	if err == nil && !ok {
		err = errNoUser
	}
	if err != nil {
		return err
	}
	if err := edit(&u); err != nil {
		return err
	}
	return p.users.put(ctx, id, revision, u)
}

func (p *people) removeUser(ctx context.Context, id string) (user, error) {
	u, _, ok, err := p.users.get(ctx, id)
	if err == nil && !ok {
		err = errNoUser
	}
	if err == nil && u.Role == Administrator {
		err = p.keepAdmin(ctx, id)
	}
	if err != nil {
		return u, err
	}
	return u, p.users.remove(ctx, id)
}

// keepAdmin refuses to lose the last administrator, since nobody could make
// another.
func (p *people) keepAdmin(ctx context.Context, without string) error {
	all, err := p.users.all(ctx)
	if err != nil {
		return err
	}
	for id, s := range all {
		if id != without && s.value.Role == Administrator {
			return nil
		}
	}
	return errLastAdmin
}

func (p *people) listTokens(ctx context.Context) ([]token, error) {
	all, err := p.tokens.all(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]token, 0, len(all))
	for _, s := range all {
		out = append(out, s.value)
	}
	slices.SortFunc(out, func(a, b token) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return out, nil
}

// addToken makes a token and returns its secret, which is not kept.
func (p *people) addToken(ctx context.Context, t token) (token, string, error) {
	t.Name, t.Advertisers, t.Scopes = strings.TrimSpace(t.Name), named(t.Advertisers), named(t.Scopes)
	v := checkRole(t.Role, t.Advertisers)
	if n := utf8.RuneCountInString(t.Name); n == 0 || n > 100 {
		v = append(v, settings.Problem{Field: "name", Message: "must be 1 to 100 characters: what the token is for"})
	}
	if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(p.now()) {
		v = append(v, settings.Problem{Field: "expires_at", Message: "must lie in the future"})
	}
	if len(v) > 0 {
		return token{}, "", v
	}
	t.ID = "tok_" + strings.ToLower(rand.Text()[:12])
	secret := tokenPrefix + strings.TrimPrefix(t.ID, "tok_") + "_" + rand.Text()
	t.Digest, t.CreatedAt = digest(secret), p.now().UTC().Truncate(time.Millisecond)
	return t, secret, p.tokens.put(ctx, t.ID, 0, t)
}

const (
	usedEvery = time.Minute // how exactly a token's last use is known
	usedKept  = 400 * 24 * time.Hour
)

func usedKey(id string) string { return "admin:token-used:" + id }

// used writes down that a token was used, once a minute. That this fails is no
// reason to turn anybody away.
func (p *people) used(ctx context.Context, t token) {
	now := p.now()
	p.mu.Lock()
	due := now.Sub(p.seen[t.ID]) >= usedEvery
	if due {
		p.seen[t.ID] = now
	}
	p.mu.Unlock()
	if due {
		_ = p.keys.Set(context.WithoutCancel(ctx), state.Entry{Key: usedKey(t.ID), Value: now.UTC().AppendFormat(nil, time.RFC3339), TTL: usedKept})
	}
}

// lastUsed is when a token was last used; zero where it never was.
func (p *people) lastUsed(ctx context.Context, id string) (at time.Time, err error) {
	values, err := p.keys.Get(ctx, usedKey(id))
	if err != nil || values[0] == nil {
		return at, err
	}
	return time.Parse(time.RFC3339, string(values[0]))
}

func (p *people) removeToken(ctx context.Context, id string) (token, error) {
	t, _, ok, err := p.tokens.get(ctx, id)
	if err == nil && !ok {
		err = errNoToken
	}
	if err != nil {
		return t, err
	}
	return t, p.tokens.remove(ctx, id)
}

// bearer finds whose token a secret is.
func (p *people) bearer(ctx context.Context, secret string) (token, bool, error) {
	rest, ok := strings.CutPrefix(secret, tokenPrefix)
	if !ok {
		return token{}, false, nil
	}
	id, _, ok := strings.Cut(rest, "_")
	if !ok {
		return token{}, false, nil
	}
	t, _, ok, err := p.tokens.get(ctx, "tok_"+id)
	if err != nil {
		return token{}, false, fmt.Errorf("look up a token: %w", err)
	}
	if !ok || !same(t.Digest, digest(secret)) || !t.ExpiresAt.IsZero() && !p.now().Before(t.ExpiresAt) {
		return token{}, false, nil
	}
	return t, true, nil
}

// digest is enough for secrets of 128 random bits; passwords get argon2id.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
