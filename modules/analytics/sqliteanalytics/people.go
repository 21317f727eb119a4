package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/miq/pixel/modules/analytics"
)

// people keeps in memory whose a visitor is, by digests, to count sets of visitors
// as people. Nobody but this process writes the store.
type people struct {
	mu     sync.RWMutex
	loaded bool
	by     map[string]map[uint64]uint64 // by pixel, the profile of a visitor
	state  int                          // another with each change
}

// load reads all identities, once. It must not be called within a snapshot: an
// older one would miss what was written since.
func (p *people) load(ctx context.Context, db *sql.DB) error {
	p.mu.RLock()
	loaded := p.loaded
	p.mu.RUnlock()
	if loaded {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loaded {
		return nil
	}
	p.by = map[string]map[uint64]uint64{}
	rows, err := db.QueryContext(ctx, `SELECT pixel_id, visitor_id, profile_id FROM identities WHERE profile_id <> ''`)
	if err != nil {
		return told(ctx, "read whose visitors are", err)
	}
	defer rows.Close()
	var i analytics.Identity
	for rows.Next() {
		if err := rows.Scan(&i.PixelID, &i.VisitorID, &i.ProfileID); err != nil {
			return fmt.Errorf("read whose visitors are: %w", err)
		}
		p.put(i)
	}
	if err := rows.Err(); err != nil {
		return told(ctx, "read whose visitors are", err)
	}
	p.loaded = true
	return nil
}

// changed takes in what was committed.
func (p *people) changed(list []analytics.Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.loaded {
		return // it will be read
	}
	for _, i := range list {
		p.put(i)
	}
}

// forget lets them be read anew.
func (p *people) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded, p.by = false, nil
	p.state++
}

func (p *people) put(i analytics.Identity) {
	of := p.by[i.PixelID]
	visitor := digest(i.VisitorID)
	was, known := of[visitor]
	if i.ProfileID == "" {
		if known {
			delete(of, visitor)
			p.state++
		}
		return
	}
	profile := digest(i.ProfileID)
	if known && was == profile {
		return
	}
	if of == nil {
		of = map[uint64]uint64{}
		p.by[i.PixelID] = of
	}
	of[visitor] = profile
	p.state++
}

// count puts people in place of a pixel's visitors.
func (p *people) count(pixel string, visitors []uint64) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	of := p.by[pixel]
	if len(of) == 0 {
		return
	}
	for i, v := range visitors {
		if profile, ok := of[v]; ok {
			visitors[i] = profile
		}
	}
}

// of calls f with the profiles of the visitors of each pixel, which it must not keep, and the
// state that they are of.
func (p *people) of(pixels []string, f func(state int, of []map[uint64]uint64)) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := make([]map[uint64]uint64, len(pixels))
	for i, pixel := range pixels {
		list[i] = p.by[pixel]
	}
	f(p.state, list)
}
