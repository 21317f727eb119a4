package worker

import (
	"context"
	"sync"
	"time"

	"github.com/miq/pixel/modules/session"
)

// session puts events into their visitors' visits.
func (w *Worker) session(ctx context.Context, b *batch) error {
	events := make([]session.Of, 0, len(b.items))
	for _, it := range b.items {
		p := &it.pixel.Processing
		if !p.Does("session") {
			continue
		}
		o := session.Of{Event: &it.event}
		if p.Midnight {
			o.Site = session.Site{Midnight: true, Zone: w.zones.of(p.Timezone)}
		}
		events = append(events, o)
	}
	return session.Assign(ctx, w.keys, events...)
}

// zoneCache has the time zones that sites are in, since finding one reads a file.
type zoneCache struct{ known sync.Map }

func (z *zoneCache) of(name string) *time.Location {
	if l, ok := z.known.Load(name); ok {
		return l.(*time.Location)
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		l = time.UTC // it was checked when it was set
	}
	z.known.Store(name, l)
	return l
}
