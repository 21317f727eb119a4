package redisqueue

import (
	"context"
	_ "embed" // for the scripts
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/redisclient"
)

var (
	//go:embed lua/lib.lua
	lib string
	//go:embed lua/push.lua
	pushLua string
	//go:embed lua/claim.lua
	claimLua string
	//go:embed lua/settle.lua
	settleLua string
	//go:embed lua/return.lua
	returnLua string
	//go:embed lua/bury.lua
	buryLua string
	//go:embed lua/exhume.lua
	exhumeLua string
	//go:embed lua/stats.lua
	statsLua string
	//go:embed lua/wipe.lua
	wipeLua string

	pushScript   = redis.NewScript(pushLua)
	claimScript  = redis.NewScript(emptying + lib + claimLua)
	settleScript = redis.NewScript(emptying + lib + settleLua)
	returnScript = redis.NewScript(emptying + lib + returnLua)
	buryScript   = redis.NewScript(emptying + lib + buryLua)
	exhumeScript = redis.NewScript(emptying + lib + exhumeLua)
	statsScript  = redis.NewScript(lib + statsLua)
	wipeScript   = redis.NewScript(emptying + wipeLua)
)

// emptying lets a script run on a server whose memory is full: what takes messages
// out must go on, or it never has room again.
const emptying = "#!lua flags=allow-oom\n"

// run runs a script in a partition, with the books of some hours.
func (q *Queue) run(ctx context.Context, p *partition, s *redis.Script, h hours, args []any) (*redis.Cmd, error) {
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	cmd := s.Run(inner, q.redis, h.keys(p), args...)
	return cmd, q.unavailable(ctx, cmd.Err())
}

// unavailable marks errors that say that Redis cannot be reached, or takes no
// writes for now. That the caller's own context ended says nothing of the kind.
func (q *Queue) unavailable(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, queue.ErrUnavailable) {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if redisclient.Unavailable(err) {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	return err
}
