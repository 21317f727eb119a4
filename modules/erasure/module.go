package erasure

import (
	"time"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// Module offers the requests, and who is found by them. The worker runs them.
var Module = fx.Module("erasure", fx.Provide(
	func(docs state.Store, box *secret.Box) *Book { return NewBook(docs, box, time.Now) },
	func(whose *identity.Graph, events analytics.Store, s *settings.Store) Finder {
		return Finder{Whose: whose, Events: events, Pixels: func() []string {
			var ids []string
			for _, p := range s.Pixels() {
				ids = append(ids, p.ID)
			}
			return ids
		}}
	},
))
