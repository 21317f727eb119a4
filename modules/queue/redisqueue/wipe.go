package redisqueue

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// wipeUnits is about how many blocks are looked at in one round trip.
const wipeUnits = 200

// Wipe takes the bodies of messages that are done out of the blocks which they share
// with messages that are not. What is done never comes back into a block, so that of a
// block which changes meanwhile no more than what was done is taken.
func (q *Queue) Wipe(ctx context.Context) error {
	stats, err := q.Stats(ctx)
	if err != nil {
		return fmt.Errorf("wipe what is done: %w", err)
	}
	for _, s := range stats {
		if queue.IsDead(s.Queue) {
			continue // a letter lies alone
		}
		for _, p := range q.every(ctx, s.Queue) {
			if err := q.wipe(ctx, p); err != nil {
				return fmt.Errorf("wipe what is done in %s: %w", s.Queue, err)
			}
		}
	}
	return nil
}

func (q *Queue) wipe(ctx context.Context, p *partition) error {
	for cursor := uint64(0); ; {
		inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
		found, next, err := q.redis.HScan(inner, p.units(), cursor, "", wipeUnits).Result()
		cancel()
		if err != nil {
			return q.unavailable(ctx, err)
		}
		records := map[string]string{}
		var bases []string
		for i := 0; i+1 < len(found); i += 2 {
			if len(found[i]) == baseSize {
				records[found[i]] = found[i+1]
				bases = append(bases, found[i])
			}
		}
		if len(bases) > 0 {
			if err := q.wipeBlocks(ctx, p, bases, records); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (q *Queue) wipeBlocks(ctx context.Context, p *partition, bases []string, records map[string]string) error {
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	payloads, err := q.redis.HMGet(inner, p.blocks(), bases...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return q.unavailable(ctx, err)
	}
	var args []any
	for i, base := range bases {
		payload, _ := payloads[i].(string)
		if payload == "" {
			continue
		}
		b, err := decodeBlock(base, payload)
		if err != nil {
			return fmt.Errorf("block %x: %w", base, err)
		}
		items := make([]queue.Item, len(b.bodies))
		for j := range items {
			items[j].Account = b.of[j]
		}
		for r := records[base]; len(r) >= 8; r = r[8:] {
			if r[7] == 1 {
				continue // it has a payload of its own
			}
			first, n := int(r[0])<<8|int(r[1]), int(r[2])<<8|int(r[3])
			for j := first; j < min(first+n, len(items)); j++ {
				items[j].Body = b.bodies[j]
			}
		}
		if anew := encodeBlock(items); string(anew) != payload {
			args = append(args, base, anew)
		}
	}
	if len(args) == 0 {
		return nil
	}
	_, err = q.run(ctx, p, wipeScript, hours{}, args)
	return err
}
