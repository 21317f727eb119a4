package admin

import (
	"context"

	"github.com/miq/pixel/modules/settings"
)

// inForce says on which processes a pixel's last change, its routes' switches
// included, is in force.
func (a *Admin) inForce(ctx context.Context, p settings.Pixel) ([]receiptView, error) {
	all, err := settings.Receipts(ctx, a.o.State)
	if err != nil || p.Revision == 0 {
		return nil, err
	}
	// Processes have one version of all pixels together: the time of theirs tells how
	// long this change took only as long as no other came after it.
	newest := true
	for _, other := range a.o.Settings.Pixels() {
		newest = newest && !other.UpdatedAt.After(p.UpdatedAt)
	}
	version, _ := a.o.Settings.Versions()
	out := make([]receiptView, 0, len(all))
	for _, r := range all {
		v := receiptView{Instance: r.Instance, Roles: r.Roles}
		if r.Pixels.Revision >= version {
			v.Applied = true
			if newest {
				v.AppliedAt = r.Pixels.At
				v.AfterMS = max(r.Pixels.At.Sub(p.UpdatedAt).Milliseconds(), 0)
			}
		}
		out = append(out, v)
	}
	return out, nil
}

func applied(list []receiptView) int {
	n := 0
	for _, r := range list {
		if r.Applied {
			n++
		}
	}
	return n
}
