package redisclient

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// ClockOffset is by how much this machine's clock is ahead of the server's; negative:
// behind it. It is as exact as half the time that the answer took.
func ClockOffset(ctx context.Context, client redis.UniversalClient) (time.Duration, error) {
	asked := time.Now()
	there, err := client.Time(ctx).Result()
	if err != nil {
		return 0, err
	}
	return asked.Add(time.Since(asked) / 2).Sub(there), nil
}
