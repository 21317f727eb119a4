package app

import (
	"context"
	"sync"
	"time"
)

// looking looks at something again and again, at once for the first time.
type looking struct {
	quit context.CancelFunc
	done sync.WaitGroup
}

func (l *looking) start(every time.Duration, look func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	l.quit = cancel
	l.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			look(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

func (l *looking) stop() {
	if l.quit != nil {
		l.quit()
	}
	l.done.Wait()
}
