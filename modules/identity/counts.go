package identity

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Counts are what a graph did since its process began.
type Counts struct {
	merges, quarantined, conflicts, forgotten atomic.Int64
}

// Register makes them metrics.
func (g *Graph) Register(r prometheus.Registerer) error {
	for _, c := range []struct {
		name, help string
		n          *atomic.Int64
	}{
		{"pixel_identity_merges_total", "Profiles that were joined or renamed.", &g.count.merges},
		{"pixel_identity_quarantined_total", "Identifiers that were seen with too many others and link nobody any more.", &g.count.quarantined},
		{"pixel_identity_conflicts_total", "Changes that were begun anew because another worker changed the same.", &g.count.conflicts},
		{"pixel_identity_forgotten_total", "Visitors whose links were taken back with their consent.", &g.count.forgotten},
	} {
		if err := r.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help}, func() float64 { return float64(c.n.Load()) })); err != nil {
			return err
		}
	}
	return nil
}
