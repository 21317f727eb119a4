package dispatcher

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/miq/pixel/config"
)

// delay is the wait after the nth attempt: doubled each time, and anywhere in
// its upper half, so that what failed together does not come back together.
func delay(c config.Retry, n int) time.Duration {
	d := max(c.Min, time.Millisecond)
	for range n - 1 {
		if d *= 2; d >= c.Max {
			break
		}
	}
	d = min(d, max(c.Max, c.Min))
	return d/2 + rand.N(d/2+1)
}

// insist does a write of ours, and again for about a second if it fails: what a
// partner has taken must be remembered.
func insist(ctx context.Context, write func() error) error {
	var err error
	for try := range 4 {
		if try > 0 {
			pause := time.NewTimer(100 * time.Millisecond << try)
			select {
			case <-ctx.Done():
				pause.Stop()
			case <-pause.C:
			}
		}
		if err = write(); err == nil {
			return nil
		}
	}
	return err
}
