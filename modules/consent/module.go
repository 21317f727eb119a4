package consent

import (
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
)

// Module decides on consent.
var Module = fx.Module("consent", fx.Provide(provide))

func provide(c config.Consent) *Decider {
	return New(Options{VendorID: c.VendorID, AllowLI: c.AllowLI})
}
