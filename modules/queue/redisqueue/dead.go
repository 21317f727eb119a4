package redisqueue

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// letter is what a dead letter says beside its body. It is stored as a line of
// JSON, so that people can read it, with the body behind.
type letter struct {
	Origin     string `json:"origin,omitzero"`
	Reason     string `json:"reason"`
	Deliveries int    `json:"deliveries"`
}

func (l letter) encode(body string) string {
	head, err := json.Marshal(&l)
	if err != nil {
		// Only a reason that is not UTF-8 gets here.
		l.Reason = strings.ToValidUTF8(l.Reason, "\uFFFD")
		head, _ = json.Marshal(&l)
	}
	return string(head) + "\n" + body
}

func decodeLetter(id, s string) (l letter, m queue.Message, err error) {
	head, rest, found := strings.Cut(s, "\n")
	if !found {
		return l, m, errors.New("a letter without a body is not ours")
	}
	if m, err = message("\x00" + id + rest); err != nil {
		return l, m, err
	}
	return l, m, json.Unmarshal([]byte(head), &l)
}

// burials gathers letters by dead-letter queue.
type burials map[string]*burial

type burial struct {
	index []redis.Z
	pairs []any // message id, letter, message id, letter …
}

func (b *burials) add(name string, l letter, element string, now time.Time) {
	if *b == nil {
		*b = burials{}
	}
	q := (*b)[name]
	if q == nil {
		q = &burial{}
		(*b)[name] = q
	}
	id := element[1:idEnd]
	q.index = append(q.index, redis.Z{Score: float64(now.UnixMilli()), Member: id})
	q.pairs = append(q.pairs, id, l.encode(element[idEnd:]))
}

// write adds the letters; doing it twice is the same as once.
func (b burials) write(ctx context.Context, pipe redis.Pipeliner) {
	for name, q := range b {
		for _, part := range parts(q.pairs) {
			pipe.HSet(ctx, letters(name), part...)
		}
		pipe.ZAddNX(ctx, name, q.index...)
	}
}

// Bury moves messages to the queue's dead letters. These lie in another slot, so
// the letters are written first and the messages forgotten after: a crash in
// between delivers them once more, and burying them again changes nothing.
func (q *Queue) Bury(ctx context.Context, name, reason string, ids ...string) error {
	all, err := raw(ids)
	if err == nil && len(all) > 0 {
		err = q.bury(ctx, name, reason, all)
	}
	if err != nil {
		return fmt.Errorf("bury from %s: %w", name, err)
	}
	return nil
}

// bury is Bury for raw ids; without a reason it is that they are poison.
func (q *Queue) bury(ctx context.Context, name, reason string, ids []any) error {
	var dead burials
	var entries books
	byAccount := map[queue.Account][]any{}
	now := time.Now()
	for _, part := range parts(ids) {
		elements, err := q.redis.HMGet(ctx, out(name), fields(part)...).Result()
		if err != nil {
			return err
		}
		for _, v := range elements {
			e, there := v.(string)
			if !there || len(e) < idEnd {
				continue // acked or buried before
			}
			l := letter{Origin: name, Reason: reason, Deliveries: int(e[0])}
			if reason == "" {
				l.Reason = fmt.Sprintf("delivered %d times without an end", l.Deliveries)
			}
			dead.add(queue.DeadLetters(name), l, e, now)
			m, err := message(e)
			if err != nil {
				return err
			}
			byAccount[m.Account] = append(byAccount[m.Account], e[1:idEnd])
			entries.add(queue.DeadLetters(name), m.Account, queue.In, 1)
		}
	}
	if len(dead) == 0 {
		return nil
	}
	if err := q.register(ctx, []string{queue.DeadLetters(name)}); err != nil {
		return err
	}
	pipe := q.redis.TxPipeline()
	dead.write(ctx, pipe)
	entries.write(ctx, pipe, q.opts.KeepBooks)
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for account, ids := range byAccount {
		if err := q.forget(ctx, name, account, queue.Buried, ids); err != nil {
			return err
		}
	}
	return nil
}

// Dead pages through dead letters. A cursor is the time and the id of the last
// one seen; where that is gone, letters of the same millisecond may come twice.
func (q *Queue) Dead(ctx context.Context, name, cursor string, limit int) ([]queue.DeadLetter, string, error) {
	found, next, err := q.page(ctx, name, cursor, limit)
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", name, err)
	}
	return found, next, nil
}

func (q *Queue) page(ctx context.Context, name, cursor string, limit int) ([]queue.DeadLetter, string, error) {
	start, err := q.seek(ctx, name, cursor)
	if err != nil {
		return nil, "", err
	}
	// One more than asked tells whether there is a next page.
	index, err := q.redis.ZRevRangeWithScores(ctx, name, start, start+int64(limit)).Result()
	if err != nil || len(index) == 0 {
		return nil, "", err
	}
	next := ""
	if len(index) > limit {
		index = index[:limit]
		last := index[limit-1]
		next = fmt.Sprintf("%d-%x", int64(last.Score), last.Member)
	}
	ids := make([]string, len(index))
	for i, z := range index {
		ids[i] = z.Member.(string)
	}
	values, err := q.redis.HMGet(ctx, letters(name), ids...).Result()
	if err != nil {
		return nil, "", err
	}
	var found []queue.DeadLetter
	for i, v := range values {
		s, there := v.(string)
		if !there {
			continue // dropped since
		}
		l, m, err := decodeLetter(ids[i], s)
		if err != nil {
			return nil, "", fmt.Errorf("letter %x: %w", ids[i], err)
		}
		found = append(found, queue.DeadLetter{
			ID: m.ID, Body: m.Body, Reason: l.Reason, Origin: l.Origin, Account: m.Account,
			Deliveries: l.Deliveries, BuriedAt: time.UnixMilli(int64(index[i].Score)),
		})
	}
	return found, next, nil
}

// seek returns the rank behind a cursor.
func (q *Queue) seek(ctx context.Context, name, cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	score, id, _ := strings.Cut(cursor, "-")
	member, err := hex.DecodeString(id)
	if _, bad := strconv.ParseInt(score, 10, 64); bad != nil || err != nil {
		return 0, fmt.Errorf("%q is not a cursor", cursor)
	}
	rank, err := q.redis.ZRevRank(ctx, name, string(member)).Result()
	if errors.Is(err, redis.Nil) {
		return q.redis.ZCount(ctx, name, "("+score, "+inf").Result()
	}
	return rank + 1, err
}

// Revive pushes dead letters to the queues they came from, as new messages, and
// removes them after: a crash in between leaves a letter that was revived.
func (q *Queue) Revive(ctx context.Context, name string, ids ...string) (int, error) {
	n, err := q.revive(ctx, name, ids)
	if err != nil {
		return n, fmt.Errorf("revive from %s: %w", name, err)
	}
	return n, nil
}

func (q *Queue) revive(ctx context.Context, name string, ids []string) (int, error) {
	all, err := raw(ids)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, part := range parts(all) {
		values, err := q.redis.HMGet(ctx, letters(name), fields(part)...).Result()
		if err != nil {
			return total, err
		}
		var moved []any
		var entries books
		pipe := q.redis.TxPipeline()
		for i, v := range values {
			s, there := v.(string)
			if !there {
				continue
			}
			l, m, err := decodeLetter(part[i].(string), s)
			if err != nil {
				return total, fmt.Errorf("letter %x: %w", part[i], err)
			}
			if l.Origin != "" {
				pipe.RPush(ctx, l.Origin, elementOf(part[i].(string), m.Body, m.Account))
				entries.add(l.Origin, m.Account, queue.Revived, 1)
				moved = append(moved, part[i])
			}
		}
		entries.write(ctx, pipe, q.opts.KeepBooks)
		if _, err := pipe.Exec(ctx); err != nil {
			return total, err
		}
		n, err := q.remove(ctx, name, queue.Revived, moved)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Drop deletes dead letters.
func (q *Queue) Drop(ctx context.Context, name string, ids ...string) (int, error) {
	all, err := raw(ids)
	total := 0
	for _, part := range parts(all) {
		n, failed := q.remove(ctx, name, queue.Dropped, part)
		if total += n; failed != nil {
			err = failed
			break
		}
	}
	if err != nil {
		return total, fmt.Errorf("drop from %s: %w", name, err)
	}
	return total, nil
}

// remove deletes letters and returns how many there were.
func (q *Queue) remove(ctx context.Context, name, stage string, ids []any) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	values, err := q.redis.HMGet(ctx, letters(name), fields(ids)...).Result()
	if err != nil {
		return 0, err
	}
	var entries books
	for i, v := range values {
		if s, there := v.(string); there {
			if _, m, err := decodeLetter(ids[i].(string), s); err == nil {
				entries.add(name, m.Account, stage, 1)
			}
		}
	}
	pipe := q.redis.TxPipeline()
	pipe.HDel(ctx, letters(name), fields(ids)...)
	removed := pipe.ZRem(ctx, name, ids...)
	entries.write(ctx, pipe, q.opts.KeepBooks)
	_, err = pipe.Exec(ctx)
	return int(removed.Val()), err
}
