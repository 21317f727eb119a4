package worker

import (
	"context"

	"github.com/miq/pixel/modules/identity"
)

// identity gives each event the visitor that it belongs to.
func (w *Worker) identity(ctx context.Context, b *batch) error {
	return identity.Resolve(ctx, w.keys, b.events()...)
}
