package redisqueue

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// The sections that Peek goes through, in this order, each in all partitions.
var sections = [...]queue.State{queue.Ready, queue.Delayed, queue.InFlight}

// place of Peek: which section, partition, rank of a reference, and how many of
// its messages were shown.
type position struct{ section, partition, rank, shown int }

// Peek reads references, and the records and blocks that they name.
func (q *Queue) Peek(ctx context.Context, name, cursor string, limit int) ([]queue.Waiting, string, error) {
	found, next, err := q.peek(ctx, name, cursor, limit)
	if err != nil {
		return nil, "", fmt.Errorf("peek at %s: %w", name, err)
	}
	return found, next, nil
}

func (q *Queue) peek(ctx context.Context, name, cursor string, limit int) ([]queue.Waiting, string, error) {
	var at position
	if cursor != "" {
		if n, err := fmt.Sscanf(cursor, "%d-%d-%d-%d", &at.section, &at.partition, &at.rank, &at.shown); n != 4 || err != nil || min(at.section, at.partition, at.rank, at.shown) < 0 {
			return nil, "", fmt.Errorf("%q is not a cursor", cursor)
		}
	}
	if queue.IsDead(name) || limit < 1 {
		return nil, "", nil
	}
	all := q.every(ctx, name)
	var found []queue.Waiting
	for ; at.section < len(sections); at = (position{section: at.section + 1}) {
		for ; at.partition < len(all); at = (position{section: at.section, partition: at.partition + 1}) {
			for {
				refs, err := q.references(ctx, all[at.partition], at, 64)
				if err != nil {
					return nil, "", err
				}
				if len(refs) == 0 {
					break
				}
				for _, r := range refs {
					for _, w := range r[min(at.shown, len(r)):] {
						if len(found) == limit {
							return found, fmt.Sprintf("%d-%d-%d-%d", at.section, at.partition, at.rank, at.shown), nil
						}
						found = append(found, w)
						at.shown++
					}
					at.rank, at.shown = at.rank+1, 0
				}
			}
		}
	}
	return found, "", nil
}

// references reads some references of a section, and of each the messages that
// are what it says.
func (q *Queue) references(ctx context.Context, p *partition, at position, n int) ([][]queue.Waiting, error) {
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	var refs []string
	var until []time.Time
	state := sections[at.section]
	if state == queue.Ready {
		var err error
		if refs, err = q.redis.LRange(inner, p.ready(), int64(at.rank), int64(at.rank+n-1)).Result(); err != nil {
			return nil, q.unavailable(ctx, err)
		}
		until = make([]time.Time, len(refs))
	} else {
		set := p.delayed()
		if state == queue.InFlight {
			set = p.leases()
		}
		members, err := q.redis.ZRangeWithScores(inner, set, int64(at.rank), int64(at.rank+n-1)).Result()
		if err != nil {
			return nil, q.unavailable(ctx, err)
		}
		for _, z := range members {
			m, _ := z.Member.(string)
			refs = append(refs, m)
			until = append(until, time.UnixMilli(int64(z.Score)))
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	bases := make([]string, len(refs))
	for i, r := range refs {
		if len(r) < idSize {
			return nil, errForeign
		}
		bases[i] = r[:baseSize]
	}
	pipe := q.redis.Pipeline()
	records, payloads := pipe.HMGet(inner, p.units(), bases...), pipe.HMGet(inner, p.blocks(), bases...)
	if _, err := pipe.Exec(inner); err != nil && !errors.Is(err, redis.Nil) {
		return nil, q.unavailable(ctx, err)
	}
	out := make([][]queue.Waiting, len(refs))
	for i, r := range refs {
		record, _ := records.Val()[i].(string)
		payload, _ := payloads.Val()[i].(string)
		first, span := int(binary.BigEndian.Uint16([]byte(r[baseSize:]))), 0
		if state == queue.Ready && len(r) == idSize+2 {
			span = int(binary.BigEndian.Uint16([]byte(r[idSize:])))
		}
		if record == "" && payload != "" {
			record = string([]byte{0, 0, payload[1], payload[2], 0, 0, 1, 0})
		}
		for ; len(record) >= 8; record = record[8:] {
			f := int(record[0])<<8 | int(record[1])
			if sections[[...]int{0, 0, 2, 1}[record[6]&3]] != state || state == queue.Ready && (f < first || f >= first+span) || state != queue.Ready && f != first {
				continue
			}
			key, own := bases[i], payload
			if record[7] == 1 {
				key += record[:2]
				var err error
				if own, err = q.redis.HGet(inner, p.blocks(), key).Result(); err != nil && !errors.Is(err, redis.Nil) {
					return nil, q.unavailable(ctx, err)
				}
			}
			if own == "" {
				continue // done in the meantime
			}
			b, err := decodeBlock(key, own)
			if err != nil {
				return nil, fmt.Errorf("block %x: %w", key, err)
			}
			_ = part{b, record[:4] + record[4:5]}.each(func(_ string, m queue.Message) error {
				out[i] = append(out[i], queue.Waiting{Message: m, State: state, Until: until[i]})
				return nil
			})
		}
	}
	return out, nil
}

// Skip moves messages that nobody holds to the dead letters.
func (q *Queue) Skip(ctx context.Context, name, reason string, ids ...string) (int, error) {
	n, err := q.buryAll(ctx, name, reason, ids, true)
	if err != nil {
		return n, fmt.Errorf("skip in %s: %w", name, err)
	}
	return n, nil
}

// Drain takes out what Peek sees first, some at a time.
func (q *Queue) Drain(ctx context.Context, name, reason string, max int) (int, error) {
	total := 0
	var err error
	for more := true; more && total < max && err == nil; {
		var n int
		if queue.IsDead(name) {
			n, err = q.drainDead(ctx, name, reason, min(500, max-total))
		} else {
			n, err = q.drain(ctx, name, reason, min(500, max-total))
		}
		total += n
		more = n > 0
	}
	if err != nil {
		return total, fmt.Errorf("drain %s: %w", name, err)
	}
	return total, nil
}

func (q *Queue) drain(ctx context.Context, name, reason string, max int) (int, error) {
	found, _, err := q.peek(ctx, name, "", max)
	if err != nil {
		return 0, err
	}
	var ids []string
	by := map[queue.Account][]string{}
	for _, w := range found {
		if w.State != queue.InFlight {
			ids = append(ids, w.ID)
			by[w.Account] = append(by[w.Account], w.ID)
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	if reason != "" {
		return q.buryAll(ctx, name, reason, ids, true)
	}
	there, err := q.place(ctx, name, ids)
	if err != nil {
		return 0, err
	}
	sizes := map[string]int{}
	for _, l := range there {
		_, some, err := q.read(ctx, l.at, l.ids)
		if err != nil {
			return 0, err
		}
		for base, n := range some {
			raw, _ := hex.DecodeString(base)
			sizes[string(raw)] = n
		}
	}
	var ends []queue.End
	for a, ids := range by {
		ends = append(ends, queue.End{Account: a, Outcome: queue.Dropped, IDs: ids})
	}
	return q.settle(ctx, name, true, sizes, ends)
}

func (q *Queue) drainDead(ctx context.Context, name, reason string, max int) (int, error) {
	if reason != "" {
		return 0, errors.New("dead letters cannot be buried again")
	}
	graves, err := q.graves(ctx, name)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, p := range graves {
		if total >= max {
			break
		}
		inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
		found, err := q.redis.ZRange(inner, p.dead(), 0, int64(max-total-1)).Result()
		cancel()
		if err != nil {
			return total, q.unavailable(ctx, err)
		}
		ids := make([]id, 0, len(found))
		for _, s := range found {
			var one id
			if copy(one[:], s) == idSize {
				ids = append(ids, one)
			}
		}
		if len(ids) > 0 {
			n, err := q.exhumeFrom(ctx, p, ids, false)
			if total += n; err != nil {
				return total, err
			}
		}
	}
	return total, nil
}
