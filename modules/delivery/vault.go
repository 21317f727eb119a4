package delivery

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/state"
)

// Vault shares access tokens between the replicas, sealed, so that one of them
// asks for a new one and the others take it. Where the shared state is away
// each replica asks for itself. A nil Vault shares nothing.
type Vault struct {
	keys state.Keys
	box  *secret.Box
}

// NewVault keeps tokens in keys, sealed by box.
func NewVault(keys state.Keys, box *secret.Box) *Vault { return &Vault{keys, box} }

const (
	// renewal is how long a replica may take to get a token before another tries.
	renewal = tokenTimeout + 2*time.Second
	peek    = 100 * time.Millisecond
)

func vaultKey(partner string, f fingerprint) string {
	return "token:" + partner + ":" + hex.EncodeToString(f[:16])
}

// get returns the token that the replicas share, or has it renewed: by one of
// them at a time. Where the caller's own still works it is not worth a wait.
func (v *Vault) get(ctx context.Context, partner string, f fingerprint, now func() time.Time, works bool, renew func(context.Context) (token, error)) (token, error) {
	if v == nil {
		return renew(ctx)
	}
	key := vaultKey(partner, f)
	mine := state.Entry{Key: key + ":renewing", Value: []byte(rand.Text()), TTL: renewal}
	until := time.Now().Add(renewal)
	for {
		shared, err := v.read(ctx, key)
		if err != nil {
			return renew(ctx)
		}
		if shared.Secret != "" && now().Before(shared.RenewAt) {
			return shared, nil
		}
		held, err := v.keys.Claim(ctx, mine)
		if err != nil {
			return renew(ctx)
		}
		if string(held[0]) == string(mine.Value) {
			break
		}
		if shared.Secret != "" && now().Before(shared.Expires) {
			// Another renews it early; meanwhile this one works.
			shared.RenewAt = now().Add(time.Second)
			return shared, nil
		}
		if works || time.Now().After(until) {
			return renew(ctx)
		}
		wait := time.NewTimer(peek)
		select {
		case <-ctx.Done():
			wait.Stop()
			return token{}, ctx.Err()
		case <-wait.C:
		}
	}
	defer func() {
		_ = v.keys.Delete(context.WithoutCancel(ctx), mine.Key) // else it ends by itself
	}()
	// Somebody may have renewed it between the look and the claim.
	if shared, err := v.read(ctx, key); err == nil && shared.Secret != "" && now().Before(shared.RenewAt) {
		return shared, nil
	}
	got, err := renew(ctx)
	if err != nil {
		return token{}, err
	}
	body, err := json.Marshal(got)
	if err != nil {
		return token{}, err
	}
	// If it cannot be shared the next replica asks for one of its own.
	_ = v.keys.Set(ctx, state.Entry{Key: key, Value: v.box.Seal(key, body), TTL: max(got.Expires.Sub(now()), time.Second)})
	return got, nil
}

// read returns the shared token, none where it is absent or cannot be read.
func (v *Vault) read(ctx context.Context, key string) (token, error) {
	values, err := v.keys.Get(ctx, key)
	if err != nil || values[0] == nil {
		return token{}, err
	}
	body, err := v.box.Open(key, values[0])
	if err != nil {
		return token{}, nil // sealed with another key
	}
	var t token
	if json.Unmarshal(body, &t) != nil {
		return token{}, nil
	}
	return t, nil
}

// drop forgets a shared token that a partner refused, unless it was replaced.
func (v *Vault) drop(ctx context.Context, partner string, f fingerprint, refused string) {
	if v == nil {
		return
	}
	key := vaultKey(partner, f)
	values, err := v.keys.Get(ctx, key)
	if err != nil || values[0] == nil {
		return
	}
	if t, err := v.read(ctx, key); err != nil || t.Secret != refused {
		return
	}
	_, _ = v.keys.Swap(ctx, values[0], state.Entry{Key: key, Value: []byte("refused"), TTL: time.Second})
}
