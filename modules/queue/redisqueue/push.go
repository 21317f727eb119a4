package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// Push stores the items of each queue in a partition of its turn, or in the next
// one where that one's master is away. Each queue's items and counts are stored
// in one step.
func (q *Queue) Push(ctx context.Context, items ...queue.Item) error {
	if err := ctx.Err(); err != nil || len(items) == 0 {
		return err
	}
	if !slices.ContainsFunc(items, func(i queue.Item) bool { return i.Queue != items[0].Queue }) {
		return q.pushed(q.push(ctx, items[0].Queue, items))
	}
	names := make([]string, 0, 4)
	by := make(map[string][]queue.Item, 4)
	for _, item := range items {
		list, there := by[item.Queue]
		if !there {
			names = append(names, item.Queue)
		}
		by[item.Queue] = append(list, item)
	}
	errs := make(chan error, len(names))
	for _, name := range names {
		go func() { errs <- q.push(ctx, name, by[name]) }()
	}
	var all []error
	for range names {
		all = append(all, <-errs)
	}
	return q.pushed(errors.Join(all...))
}

func (q *Queue) pushed(err error) error {
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	return nil
}

// push stores one queue's items.
func (q *Queue) push(ctx context.Context, name string, items []queue.Item) error {
	own := up(q.partitions(ctx, name).own)
	turn := int(q.turn.Add(1))
	giveUp := time.Now().Add(q.set.Timeout)
	for i := range own {
		p := own[(turn+i)%len(own)]
		q.register(ctx, p)
		err := q.store(ctx, p, name, items)
		if err == nil {
			return nil
		}
		q.failed(own, p, err)
		if i == len(own)-1 || !errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil || time.Now().After(giveUp) {
			return err
		}
	}
	return nil
}

// store stores items in a partition.
func (q *Queue) store(ctx context.Context, p *partition, name string, items []queue.Item) error {
	args, h, err := q.pushArgs(p, name, items)
	if err != nil {
		return err
	}
	if q.set.Replicas == 0 {
		_, err = q.run(ctx, p, pushScript, h, args)
		return err
	}
	return q.storeSafely(ctx, p, h, args)
}

// bookEntry is a count in a partition.
type bookEntry struct {
	account queue.Account
	stage   string
}

type tally map[bookEntry]*int64

// run is a count of a tally that was added to last. Items that follow each other are mostly
// of one account, and to look that up costs more than to see that it is the same.
type run struct {
	of bookEntry
	n  *int64
}

func (r *run) add(to tally, of bookEntry, n int64) {
	if r.n == nil || r.of != of {
		r.of, r.n = of, to[of]
		if r.n == nil {
			r.n = new(int64)
			to[of] = r.n
		}
	}
	*r.n += n
}

func (q *Queue) pushArgs(p *partition, name string, items []queue.Item) (args []any, h hours, err error) {
	var messages, letters []queue.Item
	counts := tally{}
	var staged, in run
	for i := range items {
		item := &items[i]
		if item.Stage != "" {
			staged.add(counts, bookEntry{item.Account, item.Stage}, item.N)
		}
		switch {
		case item.Counts():
			continue
		case queue.IsDead(name):
			letters = append(letters, *item)
			in.add(counts, bookEntry{item.Account, queue.In + dead}, 1)
		default:
			in.add(counts, bookEntry{item.Account, queue.In}, 1)
		}
	}
	messages = items
	if len(letters) > 0 || queue.IsDead(name) {
		messages = nil
	} else if len(counts) > 0 {
		messages = only(items)
	}
	const fixed = 4
	args = make([]any, fixed, fixed+2*(len(messages)/blockMessages+1+len(letters))+3*len(counts))
	blocks := 0
	for rest := messages; len(rest) > 0; blocks++ {
		n, size := 0, 0
		for n < len(rest) && n < blockMessages && (n == 0 || size+len(rest[n].Body) <= blockBytes) {
			size += len(rest[n].Body)
			n++
		}
		key, err := base(p.slot)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, append(key, 0, 0, byte(n>>8), byte(n)), encodeBlock(rest[:n]))
		rest = rest[n:]
	}
	for _, item := range letters {
		key, err := base(p.slot)
		if err != nil {
			return nil, nil, err
		}
		l := letter{Reason: item.Reason, Account: item.Account}
		args = append(args, append(key, 0, 0), "\x00"+l.encode(item.Body))
	}
	for c, n := range counts {
		if key := h.key(c.account); key > 0 && *n != 0 {
			args = append(args, key, c.account.Pixel+"\x00"+c.stage, *n)
		}
	}
	args[0], args[1], args[2], args[3] = q.opts.KeepBooks.Milliseconds(), blocks, len(letters), len(messages)
	return args, h, nil
}

// only are the items that are messages.
func only(items []queue.Item) []queue.Item {
	for i := range items {
		if items[i].Counts() {
			out := append(make([]queue.Item, 0, len(items)), items[:i]...)
			for _, item := range items[i:] {
				if !item.Counts() {
					out = append(out, item)
				}
			}
			return out
		}
	}
	return items
}

// storeSafely stores items and waits until enough replicas have them: WAIT tells
// of the writes of its own connection.
func (q *Queue) storeSafely(ctx context.Context, p *partition, h hours, args []any) error {
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	node, err := q.master(inner, p)
	if err != nil {
		return q.unavailable(ctx, err)
	}
	try := func() (int64, error) {
		pipe := node.Pipeline()
		pushScript.EvalSha(inner, pipe, h.keys(p), args...)
		wait := pipe.Do(inner, "WAIT", q.set.Replicas, (q.set.Timeout * 3 / 4).Milliseconds())
		_, err := pipe.Exec(inner)
		if err != nil {
			return 0, err
		}
		return wait.Int64()
	}
	n, err := try()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err = pushScript.Load(inner, node).Err(); err == nil {
			n, err = try()
		}
	}
	if cluster, is := q.redis.(*redis.ClusterClient); is && redis.HasErrorPrefix(err, "MOVED") {
		cluster.ReloadState(inner)
	}
	if err != nil {
		return q.unavailable(ctx, err)
	}
	if int(n) < q.set.Replicas {
		return fmt.Errorf("%w: stored, but on %d replicas and not on %d", queue.ErrUnavailable, n, q.set.Replicas)
	}
	return nil
}

// master is the client of a partition's own server.
func (q *Queue) master(ctx context.Context, p *partition) (redis.UniversalClient, error) {
	if cluster, is := q.redis.(*redis.ClusterClient); is {
		return cluster.MasterForKey(ctx, p.ready())
	}
	return q.redis, nil
}
