// Package redisqueue keeps the queues in Redis lists, for any number of
// replicas. How well they survive a crash of Redis itself is what its AOF is
// set to.
//
// The list of a queue bears the queue's plain name, "ingest:high", so that any
// client finds it; what belongs to it is tagged with that name,
// "{ingest:high}:out", so that on a cluster they share a slot (a key without
// braces is hashed as a whole, and so is what stands between braces):
//
//	ingest:high            list of elements: ready, in order
//	{ingest:high}:out      hash of message id → element: handed out at least once
//	{ingest:high}:leases   zset of message id by the end of its lease, in ms: held
//	{ingest:high}:delayed  zset of message id by its time, in ms: waits for it
//	dlq:acme               zset of message id by its burial, in ms
//	{dlq:acme}:letters     hash of message id → letter
//	queues                 set of the names of the queues that exist
//
// An element is a byte that counts its deliveries, the message id's 16 bytes
// (a UUIDv7, whose time is when it was pushed), and the body: 17 bytes over the
// body, and Redis never has to look a message up.
//
// Leases and delays go by the clock of Redis, so holders whose clocks differ
// agree when a lease ends. Needs Redis 7.0, and no more than that.
package redisqueue

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// Queue is a queue.Queue and a queue.Inspector.
type Queue struct {
	redis redis.UniversalClient
	opts  queue.Options
	known sync.Map // names of queues that are in the set "queues"
}

// New keeps the queues on client, which stays its owner's to close.
func New(client redis.UniversalClient, opts queue.Options) *Queue {
	return &Queue{redis: client, opts: opts}
}

// Check reports whether Redis answers.
func (q *Queue) Check(ctx context.Context) error {
	if err := q.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis does not answer: %w", err)
	}
	return nil
}

const registry = "queues"

func out(name string) string     { return "{" + name + "}:out" }
func leases(name string) string  { return "{" + name + "}:leases" }
func delayed(name string) string { return "{" + name + "}:delayed" }
func letters(name string) string { return "{" + name + "}:letters" }

// idEnd is where an element's id ends, and its account begins: the hour, the
// length of the pixel's name, and the pixel.
const idEnd = 1 + len(uuid.UUID{})

// element makes a new message.
func element(body []byte, a queue.Account) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	return elementOf(string(id[:]), body, a), nil
}

func elementOf(id string, body []byte, a queue.Account) string {
	pixel := a.Pixel[:min(len(a.Pixel), 255)]
	b := make([]byte, 0, idEnd+5+len(pixel)+len(body))
	b = append(b, 0)
	b = append(b, id...)
	b = binary.BigEndian.AppendUint32(b, uint32(a.Hour))
	b = append(b, byte(len(pixel)))
	b = append(b, pixel...)
	return string(append(b, body...))
}

// message reads an element.
func message(e string) (queue.Message, error) {
	if len(e) < idEnd+5 || len(e) < idEnd+5+int(e[idEnd+4]) {
		return queue.Message{}, fmt.Errorf("an element of %d bytes is not ours", len(e))
	}
	body := idEnd + 5 + int(e[idEnd+4])
	return queue.Message{
		ID:         hex.EncodeToString([]byte(e[1:idEnd])),
		Body:       []byte(e[body:]),
		Deliveries: int(e[0]),
		PushedAt:   pushedAt(e[1:idEnd]),
		Account:    queue.Account{Pixel: e[idEnd+5 : body], Hour: int32(binary.BigEndian.Uint32([]byte(e[idEnd : idEnd+4])))},
	}, nil
}

// pushedAt is the time in an id's 16 bytes.
func pushedAt(raw string) time.Time {
	var ms int64
	for i := range 6 {
		ms = ms<<8 | int64(raw[i])
	}
	return time.UnixMilli(ms)
}

// raw turns ids into what Redis has, each once.
func raw(ids []string) ([]any, error) {
	seen := make(map[string]bool, len(ids))
	out := make([]any, 0, len(ids))
	for _, id := range ids {
		b, err := hex.DecodeString(id)
		if err != nil || len(b) != len(uuid.UUID{}) {
			return nil, fmt.Errorf("%q is not a message id", id)
		}
		if !seen[string(b)] {
			seen[string(b)] = true
			out = append(out, string(b))
		}
	}
	return out, nil
}

// parts cuts args into what one command takes.
func parts(args []any) [][]any {
	const most = 1000 // Lua's unpack ends somewhat below 8000
	return slices.Collect(slices.Chunk(args, most))
}

// fields are raw ids as the fields of a hash.
func fields(ids []any) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.(string)
	}
	return out
}

// Push appends to each queue's list, all lists in one round trip. An element
// lies in its list as soon as its own command has run, whatever became of the
// others.
func (q *Queue) Push(ctx context.Context, items ...queue.Item) error {
	if err := ctx.Err(); err != nil || len(items) == 0 {
		return err
	}
	lists := map[string][]any{}
	var dead burials
	var entries books
	now := time.Now()
	for _, item := range items {
		if item.Stage != "" {
			entries.add(item.Queue, item.Account, item.Stage, item.N)
			continue
		}
		e, err := element(item.Body, item.Account)
		if err != nil {
			return fmt.Errorf("push: %w", err)
		}
		entries.add(item.Queue, item.Account, queue.In, 1)
		if queue.IsDead(item.Queue) {
			dead.add(item.Queue, letter{Reason: item.Reason}, e, now)
		} else {
			lists[item.Queue] = append(lists[item.Queue], e)
		}
	}
	err := q.register(ctx, slices.AppendSeq(slices.Collect(maps.Keys(lists)), maps.Keys(dead)))
	if err == nil {
		pipe := q.redis.TxPipeline()
		entries.write(ctx, pipe, q.opts.KeepBooks)
		for name, elements := range lists {
			for _, part := range parts(elements) {
				pipe.RPush(ctx, name, part...)
			}
		}
		dead.write(ctx, pipe)
		_, err = pipe.Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("push: %w", unavailable(err))
	}
	return nil
}

// register adds to the queues that exist those that this process pushes to for
// the first time.
func (q *Queue) register(ctx context.Context, names []string) error {
	names = slices.DeleteFunc(names, func(name string) bool {
		_, known := q.known.Load(name)
		return known
	})
	if len(names) == 0 {
		return nil
	}
	members := make([]any, len(names))
	for i, name := range names {
		members[i] = name
	}
	if err := q.redis.SAdd(ctx, registry, members...).Err(); err != nil {
		return err
	}
	for _, name := range names {
		q.known.Store(name, true)
	}
	return nil
}
