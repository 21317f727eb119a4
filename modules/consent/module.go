package consent

import (
	"fmt"

	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/state"
)

// Module decides on consent and remembers it.
var Module = fx.Module("consent", fx.Provide(provide, book))

func book(keys state.Keys, d *Decider, box *secret.Box) (*Book, error) {
	seals, err := box.Derivations("consent receipts")
	if err != nil {
		return nil, fmt.Errorf("derive the key of consent receipts: %w", err)
	}
	return NewBook(keys, d, seals...), nil
}

func provide(c config.Consent) *Decider {
	return New(Options{VendorID: c.VendorID, AllowLI: c.AllowLI})
}
