package redisqueue

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Room returns how much memory the fullest server uses, and how much it may: its
// maxmemory, or else what its machine has.
func (q *Queue) Room(ctx context.Context) (used, limit int64, err error) {
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	var mu sync.Mutex
	look := func(ctx context.Context, c redis.Cmdable) error {
		info, err := c.Info(ctx, "memory").Result()
		if err != nil {
			return err
		}
		u, l := memory(info)
		mu.Lock()
		defer mu.Unlock()
		if limit == 0 || l > 0 && float64(u)/float64(l) > float64(used)/float64(limit) {
			used, limit = u, l
		}
		return nil
	}
	if cluster, ok := q.redis.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(inner, func(ctx context.Context, c *redis.Client) error { return look(ctx, c) })
	} else {
		err = look(inner, q.redis)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ask redis for its memory: %w", q.unavailable(ctx, err))
	}
	return used, limit, nil
}

// memory reads the two figures from INFO memory.
func memory(info string) (used, limit int64) {
	figures := map[string]int64{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			figures[name], _ = strconv.ParseInt(value, 10, 64)
		}
	}
	if limit = figures["maxmemory"]; limit == 0 {
		limit = figures["total_system_memory"]
	}
	return figures["used_memory"], limit
}
