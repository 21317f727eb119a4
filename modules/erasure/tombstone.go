package erasure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

// keepTombstone is how long late events of an erased person are kept out: as long as
// those of a visitor who withdrew consent.
const keepTombstone = 400 * 24 * time.Hour

// tombstone is where it is written that a name was erased. It holds a digest: a
// tombstone must not itself keep what it says was erased.
func tombstone(pixel, name string) string {
	sum := sha256.Sum256([]byte(pixel + "\x00" + name))
	return "erased:" + pixel + ":" + hex.EncodeToString(sum[:16])
}

// bury writes tombstones for a person's names. For visitors it is their consent that
// keeps their events out.
func bury(ctx context.Context, keys state.Keys, p *Person, at time.Time) error {
	var entries []state.Entry
	for n := range p.Names {
		entries = append(entries, state.Entry{Key: tombstone(p.PixelID, n), Value: strconv.AppendInt(nil, at.UnixMicro(), 10), TTL: keepTombstone})
	}
	if len(entries) == 0 {
		return nil
	}
	if err := keys.Set(ctx, entries...); err != nil {
		return fmt.Errorf("write tombstones: %w", err)
	}
	return nil
}

// Getter is what Drops needs of the state.
type Getter interface {
	Get(ctx context.Context, keys ...string) ([][]byte, error)
}

// Drops says of each event whether somebody whom it names was erased after it was
// received. It costs one round trip for all, and none where no event names anybody.
func Drops(ctx context.Context, keys Getter, events ...*event.Event) ([]bool, error) {
	out := make([]bool, len(events))
	var ask []string
	var of []int
	for i, e := range events {
		if e.Subject.UserID == "" && e.Subject.Email == "" && e.Subject.PhoneE164 == "" && len(e.Subject.PartnerIDs) == 0 {
			continue
		}
		for _, n := range names(&e.Subject) {
			ask, of = append(ask, tombstone(e.PixelID, n)), append(of, i)
		}
	}
	if len(ask) == 0 {
		return out, nil
	}
	found, err := keys.Get(ctx, ask...)
	if err != nil {
		return nil, fmt.Errorf("read tombstones: %w", err)
	}
	for i, v := range found {
		if v == nil {
			continue
		}
		at, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil || events[of[i]].ReceivedAt.UnixMicro() <= at {
			out[of[i]] = true // what cannot be read is doubt
		}
	}
	return out, nil
}
