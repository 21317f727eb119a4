package identity

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/state"
)

// memory is the state and the map in memory. With trouble it fails now and then, after
// it has done a part of what it was asked, as a process that is killed would.
type memory struct {
	mu      sync.Mutex
	keys    map[string][]byte
	rows    map[[2]string]analytics.Identity
	trouble *rand.Rand
	reads   int
	writes  int
	asked   int // keys
	written int // keys
	wrote   int // rows
}

func newMemory() *memory {
	return &memory{keys: map[string][]byte{}, rows: map[[2]string]analytics.Identity{}}
}

var errKilled = errors.New("killed")

func (m *memory) Get(_ context.Context, keys ...string) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads, m.asked = m.reads+1, m.asked+len(keys)
	if m.trouble != nil && m.trouble.IntN(20) == 0 {
		return nil, errKilled
	}
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = m.keys[k]
	}
	return out, nil
}

func (m *memory) SwapAll(_ context.Context, changes ...state.Change) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes, m.written = m.writes+1, m.written+len(changes)
	n := len(changes)
	killed := m.trouble != nil && m.trouble.IntN(6) == 0
	if killed {
		n = m.trouble.IntN(n + 1)
		m.trouble.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	}
	out := make([][]byte, len(changes))
	for i, c := range changes[:n] {
		held, there := m.keys[c.Key]
		if there == (c.Old != nil) && string(held) == string(c.Old) {
			if held = c.Value; c.TTL == emptied {
				delete(m.keys, c.Key) // as if it were over at once
			} else {
				m.keys[c.Key] = c.Value
			}
		} else if !there {
			held = nil
		}
		out[i] = held
	}
	if killed {
		return nil, errKilled
	}
	return out, nil
}

func (m *memory) WriteIdentities(_ context.Context, rows ...analytics.Identity) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrote += len(rows)
	for _, r := range rows {
		if m.trouble != nil && m.trouble.IntN(8) == 0 {
			return errKilled
		}
		at := [2]string{r.PixelID, r.VisitorID}
		if old, ok := m.rows[at]; !ok || r.Version > old.Version {
			m.rows[at] = r
		}
	}
	return nil
}

// label is whose an identifier is by its record.
func (m *memory) label(pixel string, id ID) ID {
	var r record
	if err := r.decode(id, m.keys[key(pixel, id)]); err != nil {
		panic(err)
	}
	return r.label
}

// person is whose a stored event's visitor is by the map.
func (m *memory) person(pixel, visitor string) string {
	if r := m.rows[[2]string{pixel, visitor}]; r.ProfileID != "" {
		return r.ProfileID
	}
	return visitor
}
