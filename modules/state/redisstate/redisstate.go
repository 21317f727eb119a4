// Package redisstate keeps the shared state in Redis, for any number of
// replicas, on a single server, behind Sentinel or on a cluster. A key is a Redis
// key of the same name, but for UUIDs in it, which are packed; a collection of
// documents is a hash and a counter that share a slot:
//
//	docs:{pixels}          hash of document id → "revision:body"
//	docs:{pixels}:version  counter
//
// Batches are one round trip to each server that has some of the keys, all at once: on a
// cluster pipelines of commands on one key each, else reads are MGETs, which cost both
// sides a third of that. How well writes survive a crash of Redis itself is what its AOF
// is set to. Needs Redis 7.0.
package redisstate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/redisclient"
	"github.com/miq/pixel/modules/state"
)

// Store is a state.Store.
type Store struct {
	redis redis.UniversalClient
}

// New keeps the state on client, which stays its owner's to close.
func New(client redis.UniversalClient) *Store { return &Store{redis: client} }

// Check reports whether Redis answers.
func (s *Store) Check(ctx context.Context) error {
	if err := s.redis.Ping(ctx).Err(); err != nil {
		return failed("ask Redis for an answer", err)
	}
	return nil
}

// most is how many keys one MGET asks for, so that it does not hold up others.
const most = 256

// Get is a few MGETs, or on a cluster a pipeline of GET.
func (s *Store) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, ctx.Err()
	}
	if _, ok := s.redis.(*redis.ClusterClient); !ok {
		return s.getMany(ctx, keys)
	}
	pipe := s.redis.Pipeline()
	cmds := make([]*redis.StringCmd, len(keys))
	for i, k := range keys {
		cmds[i] = pipe.Get(ctx, packKey(k))
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, failed("get keys", err)
	}
	out := make([][]byte, len(keys))
	for i, c := range cmds {
		if c.Err() == nil {
			out[i] = []byte(c.Val())
		}
	}
	return out, nil
}

func (s *Store) getMany(ctx context.Context, keys []string) ([][]byte, error) {
	pipe := s.redis.Pipeline()
	cmds := make([]*redis.SliceCmd, 0, len(keys)/most+1)
	for part := range slices.Chunk(keys, most) {
		packed := make([]string, len(part))
		for i, k := range part {
			packed[i] = packKey(k)
		}
		cmds = append(cmds, pipe.MGet(ctx, packed...))
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, failed("get keys", err)
	}
	out := make([][]byte, 0, len(keys))
	for _, c := range cmds {
		for _, v := range c.Val() {
			var value []byte
			if text, ok := v.(string); ok {
				value = []byte(text)
			}
			out = append(out, value)
		}
	}
	return out, nil
}

// Set is a pipeline of SET.
func (s *Store) Set(ctx context.Context, entries ...state.Entry) error {
	if len(entries) == 0 {
		return ctx.Err()
	}
	pipe := s.redis.Pipeline()
	for _, e := range entries {
		pipe.Do(ctx, command(e)...)
	}
	if err := exec(ctx, pipe); err != nil {
		return failed("set keys", err)
	}
	return nil
}

// Claim is a pipeline of SET NX GET, which answers what was there before.
func (s *Store) Claim(ctx context.Context, entries ...state.Entry) ([][]byte, error) {
	if len(entries) == 0 {
		return nil, ctx.Err()
	}
	pipe := s.redis.Pipeline()
	cmds := make([]*redis.Cmd, len(entries))
	for i, e := range entries {
		cmds[i] = pipe.Do(ctx, append(command(e), "NX", "GET")...)
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, failed("claim keys", err)
	}
	out := make([][]byte, len(entries))
	for i, c := range cmds {
		if standing, err := c.Text(); err == nil {
			out[i] = []byte(standing)
		} else {
			out[i] = append([]byte{}, entries[i].Value...)
		}
	}
	return out, nil
}

// command is the SET of an entry.
func command(e state.Entry) []any {
	args := make([]any, 0, 7)
	args = append(args, "SET", packKey(e.Key), e.Value)
	if e.Value == nil {
		args[2] = ""
	}
	switch {
	case e.TTL > 0:
		args = append(args, "PX", (e.TTL + time.Millisecond - 1).Milliseconds())
	case e.TTL == state.Kept:
		args = append(args, "XX", "KEEPTTL")
	}
	return args
}

// swapScript writes a key that holds what is expected.
//
//	KEYS  1 the key
//	ARGV  1 expected  2 new value  3 expiry in ms, 0 for ever
//	→     1 if it was written
var swapScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
`)

// Swap is a SET NX where the key must be absent, else a script.
func (s *Store) Swap(ctx context.Context, old []byte, e state.Entry) (swapped bool, err error) {
	if old == nil {
		err = s.redis.Do(ctx, append(command(e), "NX")...).Err()
		if swapped = err == nil; errors.Is(err, redis.Nil) {
			err = nil
		}
	} else {
		ms := (max(0, e.TTL) + time.Millisecond - 1).Milliseconds()
		swapped, err = swapScript.Run(ctx, s.redis, []string{packKey(e.Key)}, old, string(e.Value), ms).Bool()
	}
	if err != nil {
		return false, failed("swap a key", err)
	}
	return swapped, nil
}

// swapAllScript writes a key that holds what is expected, or says what stands.
//
//	KEYS  1 the key
//	ARGV  1 expected  2 new value  3 expiry in ms, 0 for ever
//	→     nothing if it was absent, 1 if it was written, else {what stands}
var swapAllScript = redis.NewScript(`
local standing = redis.call('GET', KEYS[1])
if standing == false then return false end
if standing ~= ARGV[1] then return {standing} end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
`)

// SwapAll is a pipeline of SET NX GET and of that script.
func (s *Store) SwapAll(ctx context.Context, changes ...state.Change) ([][]byte, error) {
	if len(changes) == 0 {
		return nil, ctx.Err()
	}
	out, err := s.swapAll(ctx, changes)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		// A server that was started or joined since. Those changes that were made are
		// recognised: what stands is what they wrote.
		if err = s.load(ctx, swapAllScript); err == nil {
			out, err = s.swapAll(ctx, changes)
		}
	}
	if err != nil {
		return nil, failed("swap keys", err)
	}
	return out, nil
}

func (s *Store) swapAll(ctx context.Context, changes []state.Change) ([][]byte, error) {
	pipe := s.redis.Pipeline()
	cmds := make([]*redis.Cmd, len(changes))
	for i, c := range changes {
		if c.Old == nil {
			cmds[i] = pipe.Do(ctx, append(command(c.Entry), "NX", "GET")...)
			continue
		}
		ms := (max(0, c.TTL) + time.Millisecond - 1).Milliseconds()
		cmds[i] = swapAllScript.EvalSha(ctx, pipe, []string{packKey(c.Key)}, c.Old, string(c.Value), ms)
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, err
	}
	out := make([][]byte, len(changes))
	for i, c := range changes {
		standing, err := cmds[i].Result()
		switch v := standing.(type) {
		case string: // of SET NX GET: it was there
			out[i] = []byte(v)
		case []any:
			if len(v) == 1 {
				text, _ := v[0].(string)
				out[i] = []byte(text)
			}
		case int64:
			out[i] = append([]byte{}, c.Value...)
		default:
			if c.Old == nil && errors.Is(err, redis.Nil) {
				out[i] = append([]byte{}, c.Value...)
			}
		}
	}
	return out, nil
}

// load teaches a script to every server that may be asked for it.
func (s *Store) load(ctx context.Context, script *redis.Script) error {
	if c, ok := s.redis.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, one *redis.Client) error {
			return script.Load(ctx, one).Err()
		})
	}
	return script.Load(ctx, s.redis).Err()
}

// Delete is a pipeline of UNLINK.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return ctx.Err()
	}
	pipe := s.redis.Pipeline()
	for _, k := range keys {
		pipe.Unlink(ctx, packKey(k))
	}
	if err := exec(ctx, pipe); err != nil {
		return failed("delete keys", err)
	}
	return nil
}

// exec sends a pipeline, for which an absent key is no error.
func exec(ctx context.Context, pipe redis.Pipeliner) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	cmds, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	// Exec returns the first error, which may be an absent key before a real one.
	for _, c := range cmds {
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// failed says what could not be done, and whether Redis is why.
func failed(what string, err error) error {
	if !errors.Is(err, context.Canceled) && redisclient.Unavailable(err) {
		return fmt.Errorf("%s: %w: %w", what, state.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
