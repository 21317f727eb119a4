package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/state"
)

// link is what a one-time address may do. The store holds it under the digest
// of its secret.
type link struct {
	Kind   linkKind  `json:"kind"`
	UserID string    `json:"user_id,omitempty"`
	Until  time.Time `json:"until"`
}

type linkKind string

const (
	firstUser   linkKind = "first_user"   // makes the first administrator
	setPassword linkKind = "set_password" // sets a user's password
	signIn      linkKind = "sign_in"      // signs a user in
	secondStep  linkKind = "second_step"  // lets a user enter a code, after the password
)

const linkTTL = 24 * time.Hour

// links are addresses that work once.
type links struct {
	keys state.Keys
	now  func() time.Time
}

func linkKey(secret string) string { return "admin:link:" + digest(secret) }

func (l links) make(ctx context.Context, kind linkKind, userID string) (secret string, err error) {
	return l.makeFor(ctx, kind, userID, linkTTL)
}

// makeFor is make of a link that works for a shorter time.
func (l links) makeFor(ctx context.Context, kind linkKind, userID string, ttl time.Duration) (secret string, err error) {
	secret = rand.Text()
	body, err := json.Marshal(link{kind, userID, l.now().Add(ttl).UTC()})
	if err != nil {
		return "", err
	}
	if err := l.keys.Set(ctx, state.Entry{Key: linkKey(secret), Value: body, TTL: linkTTL}); err != nil {
		return "", fmt.Errorf("keep a one-time link: %w", err)
	}
	return secret, nil
}

// look returns what a link may do, and leaves it valid.
func (l links) look(ctx context.Context, secret string, kinds ...linkKind) (link, []byte, bool, error) {
	var k link
	values, err := l.keys.Get(ctx, linkKey(secret))
	if err != nil {
		return k, nil, false, err
	}
	body := values[0]
	if len(body) == 0 || bytes.Equal(body, used) {
		return k, nil, false, nil
	}
	if err := json.Unmarshal(body, &k); err != nil {
		return k, nil, false, err
	}
	if l.now().After(k.Until) {
		return k, nil, false, nil
	}
	for _, kind := range kinds {
		if k.Kind == kind {
			return k, body, true, nil
		}
	}
	return k, nil, false, nil
}

var used = []byte(`"used"`)

// spend returns what a link may do and makes it invalid; of several at once
// only one gets it.
func (l links) spend(ctx context.Context, secret string, kinds ...linkKind) (link, bool, error) {
	k, body, ok, err := l.look(ctx, secret, kinds...)
	if err != nil || !ok {
		return k, false, err
	}
	won, err := l.keys.Swap(ctx, body, state.Entry{Key: linkKey(secret), Value: used, TTL: linkTTL})
	return k, won, err
}
