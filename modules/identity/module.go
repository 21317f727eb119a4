package identity

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/state"
)

// Module holds people together.
var Module = fx.Module("identity", fx.Provide(provide))

func provide(c config.Identity, keys state.Keys, rows analytics.IdentityWriter, r prometheus.Registerer) (*Graph, error) {
	g := New(keys, rows, Limits{Customers: c.MaxCustomers, Contacts: c.MaxContacts, Browsers: c.MaxBrowsers, Profile: c.MaxProfile}, time.Now)
	return g, g.Register(r)
}
