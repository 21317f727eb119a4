package settings

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/slots"
	"github.com/miq/pixel/modules/state"
)

// Receipt says which settings one process has in force, and since when, so that
// whoever changed something sees that it reached all of them.
type Receipt struct {
	Instance string    `json:"instance"`
	Roles    string    `json:"roles"`
	At       time.Time `json:"at"` // of this receipt
	// Which build runs there, and since when. Processes of an older version do not say.
	Version string    `json:"version,omitempty"`
	Commit  string    `json:"commit,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// Ahead is by how much its clock is ahead of the one that all share, in
	// milliseconds; nil: it is not known.
	Ahead *int64 `json:"ahead_ms,omitempty"`
	// Spill is what waits on its own disk; nil: it has none for that.
	Spill *Spilled `json:"spill,omitempty"`
	// Keys are fingerprints of its secret_key and of those in secret_key_old, the one in
	// use first. Processes of an older version do not say.
	Keys []string `json:"keys,omitempty"`
	// Partners are the partners that somebody changed, by name.
	Partners map[string]Applied `json:"partners"`
	// Pixels is the version of all pixels and their routes together.
	Pixels Applied `json:"pixels"`
}

// Spilled is what a collector keeps on its disk, since its queue is or was away.
type Spilled struct {
	Items  int     `json:"items"`
	Oldest float64 `json:"oldest_seconds"`
	Used   int64   `json:"used_bytes"`
	Limit  int64   `json:"limit_bytes"`
	// Dead is how many can never be drained, and stay there as dead letters.
	Dead int `json:"dead_letters"`
}

// Share is how much of its room is taken.
func (s Spilled) Share() string {
	if s.Limit <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f%%", 100*float64(s.Used)/float64(s.Limit))
}

// Applied is a revision in force since a time, by that process's clock.
type Applied struct {
	Revision int64     `json:"revision"`
	At       time.Time `json:"at"`
}

const receiptPrefix = "applied:"

// receipts keeps what a process has in force.
type receipts struct {
	mu  sync.Mutex
	now Receipt
}

// applied notes what changed with a new copy of the settings.
func (r *receipts) applied(s *snapshot, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now.Pixels.Revision != s.pixelsVersion {
		r.now.Pixels = Applied{s.pixelsVersion, at}
	}
	next := make(map[string]Applied, len(s.partners))
	for name, p := range s.partners {
		next[name] = r.now.Partners[name]
		if next[name].Revision != p.Revision {
			next[name] = Applied{p.Revision, at}
		}
	}
	r.now.Partners = next
}

// Announcer tells the other processes what this one has in force.
func (s *Store) Announcer(shared state.Keys, p Process, log *slog.Logger) *slots.Publisher {
	keys := s.box.Fingerprints()
	return slots.New(shared, receiptPrefix, func() ([]byte, error) {
		s.receipts.mu.Lock()
		defer s.receipts.mu.Unlock()
		r := s.receipts.now
		r.Instance, r.Roles, r.At = p.Instance, p.Roles, time.Now().UTC()
		r.Version, r.Commit, r.Since, r.Keys = p.Version, p.Commit, p.Since, keys
		if p.Ahead != nil {
			if offset, known := p.Ahead(); known {
				ms := offset.Milliseconds()
				r.Ahead = &ms
			}
		}
		if p.Spill != nil {
			r.Spill = p.Spill()
		}
		return json.Marshal(r)
	}, log)
}

// Receipts are those of all processes that run, by instance.
func Receipts(ctx context.Context, keys state.Keys) ([]Receipt, error) {
	values, err := slots.Read(ctx, keys, receiptPrefix)
	if err != nil {
		return nil, fmt.Errorf("read the receipts: %w", err)
	}
	var out []Receipt
	for _, v := range values {
		var r Receipt
		if json.Unmarshal(v, &r) == nil { // another version's is as good as none
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Receipt) int { return strings.Compare(a.Instance, b.Instance) })
	return out, nil
}

// Strangers are those of all processes that run whose secret_key is another one: neither
// is the other's, or among those that the other's replaced. Wrong is whether the mistake is
// taken to be here: fewer run with our key, or as many, and one of the others was there first.
func (r Receipt) Strangers(all []Receipt) (instances []string, wrong bool) {
	with, first := 1, false
	for _, o := range all {
		switch {
		case o.Instance == r.Instance, len(o.Keys) == 0, len(r.Keys) == 0:
		case slices.Contains(o.Keys, r.Keys[0]), slices.Contains(r.Keys, o.Keys[0]):
			with++
		default:
			instances = append(instances, o.Instance)
			first = first || cmp.Or(o.Since.Compare(r.Since), strings.Compare(o.Instance, r.Instance)) < 0
		}
	}
	return instances, len(instances) > with || len(instances) == with && first
}
