package direct

import (
	"sync"
	"time"
)

// lazy is a deadline whose timer is set anew only where it would ring too late, since most are
// moved before they end. One that rings too early is set anew by whoever it woke.
type lazy struct {
	set func(time.Time) error

	mu         sync.Mutex
	end, rings time.Time // zero: never
}

func (d *lazy) until(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end = t
	if t.IsZero() || !d.rings.IsZero() && !t.Before(d.rings) {
		return nil
	}
	d.rings = t
	return d.set(t)
}

// passed reports whether the deadline is over, after its timer has rung.
func (d *lazy) passed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.end.IsZero() && !time.Now().Before(d.end) {
		return true
	}
	d.rings = d.end
	return d.set(d.end) != nil
}
