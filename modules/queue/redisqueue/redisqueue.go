// Package redisqueue keeps the queues in Redis lists, for any number of
// replicas, on a single server, behind Sentinel or on a cluster. How well they
// survive a crash of Redis itself is what its AOF, its replicas and
// Settings.Replicas are set to.
//
// A queue has one partition or several, each with its own hash tag, so that they
// lie on different masters of a cluster; a push goes to any of them and a pull
// takes from all. Everything about a message happens in its partition, in one
// script, which is why nothing is half done: a message that is buried leaves its
// queue, becomes a dead letter and is counted in one step.
//
//	{ingest:high:0}           list of references to blocks: ready, in order
//	{ingest:high:0}:blocks    hash of block → messages of one push, packed together
//	{ingest:high:0}:units     hash of block → which of its messages are where
//	{ingest:high:0}:leases    zset by the end of the lease: held
//	{ingest:high:0}:delayed   zset by the time: waits for it
//	{ingest:high:0}:n         hash: how many messages there are, held and delayed
//	{ingest:high:0}:dead      zset of dead letters by their burial
//	{ingest:high:0}:letters   hash of dead letters
//	{ingest:high:0}:books:495 hash of one hour's counts
//	queues                    set of the partitions that exist
//
// Messages pushed together travel and are claimed and ended together, which
// costs Redis little more than one message does; still each can be acked,
// retried, buried and counted alone. See lua/lib.lua, and docs/decisions/0005.
//
// Leases and delays go by the clock of Redis, so holders whose clocks differ
// agree when a lease ends. Needs Redis 7.0, and no more than that.
package redisqueue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// Settings are what Redis has beside queue.Options.
type Settings struct {
	// Partitions is into how many parts a queue is cut; less than 1 is 1.
	Partitions int
	// Replicas is how many replicas must have a push before it is answered.
	Replicas int
	// Timeout bounds each command, its repetitions included.
	Timeout time.Duration
}

// Queue is a queue.Queue, a queue.Inspector and queue.Books.
type Queue struct {
	redis redis.UniversalClient
	opts  queue.Options
	set   Settings
	turn  atomic.Uint64 // which partition is next

	mu       sync.Mutex
	names    map[string]*partitions
	listed   time.Time // when the registry was last read
	listing  bool
	registry map[string]bool // the tags that it has

	closing context.Context
	close   context.CancelFunc
	running sync.WaitGroup
}

// New keeps the queues on client, which stays its owner's to close.
func New(client redis.UniversalClient, opts queue.Options, set Settings) *Queue {
	set.Partitions = max(1, set.Partitions)
	if set.Timeout <= 0 {
		set.Timeout = 2 * time.Second
	}
	q := &Queue{redis: client, opts: opts, set: set, names: map[string]*partitions{}, registry: map[string]bool{}}
	q.closing, q.close = context.WithCancel(context.Background())
	return q
}

// Close waits for what runs in the background; the messages stay.
func (q *Queue) Close() error {
	q.close()
	q.running.Wait()
	return nil
}

// background runs fn until Close.
func (q *Queue) background(fn func(context.Context)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closing.Err() == nil {
		q.running.Go(func() { fn(q.closing) })
	}
}

// Check reports whether Redis answers.
func (q *Queue) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	if err := q.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis does not answer: %w", err)
	}
	return nil
}
