package redisqueue

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// dead is what stages of dead letters end in, in a partition's books.
const dead = "\x00dead"

// letter is what a dead letter says beside its body. It is stored as a line of
// JSON, so that people can read it, behind the byte that counts its deliveries
// and before the body, packed as a block is.
type letter struct {
	Origin  string        `json:"origin,omitzero"`
	Reason  string        `json:"reason"`
	Account queue.Account `json:"account,omitzero"`
}

// encode is the letter without its first byte.
func (l letter) encode(body []byte) string {
	head, err := json.Marshal(&l)
	if err != nil {
		// Only text that is not UTF-8 gets here.
		l.Reason = strings.ToValidUTF8(l.Reason, "\uFFFD")
		l.Account.Pixel = strings.ToValidUTF8(l.Account.Pixel, "\uFFFD")
		head, _ = json.Marshal(&l)
	}
	return string(head) + "\n" + string(pack(body, 1))
}

func decodeLetter(s string) (l letter, deliveries int, body []byte, err error) {
	if s == "" {
		return l, 0, nil, errForeign
	}
	head, rest, found := strings.Cut(s[1:], "\n")
	if !found {
		return l, 0, nil, errors.New("a letter without a body is not ours")
	}
	if body, err = unpack(rest); err == nil {
		err = json.Unmarshal([]byte(head), &l)
	}
	return l, int(s[0]), body, err
}

// burial is a message that becomes a letter.
type burial struct {
	message queue.Message
	size    int // messages in its block
	reason  string
}

// bury moves messages of a partition to the dead letters; waiting: only those
// that nobody holds.
func (q *Queue) bury(ctx context.Context, name string, p *partition, doomed []burial, waiting bool) (int, error) {
	total := 0
	for some := range slices.Chunk(doomed, 200) {
		var h hours
		args := []any{q.opts.KeepBooks.Milliseconds(), which(waiting)}
		for _, d := range some {
			raw, err := hex.DecodeString(d.message.ID)
			if err != nil {
				return total, err
			}
			a := d.message.Account
			l := letter{Origin: name, Reason: d.reason, Account: a}
			args = append(args, raw, d.size, h.key(a), a.Pixel, l.encode(d.message.Body))
		}
		cmd, err := q.run(ctx, p, buryScript, h, args)
		if err != nil {
			return total, err
		}
		n, err := cmd.Int()
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// Bury moves messages to the queue's dead letters.
func (q *Queue) Bury(ctx context.Context, name, reason string, ids ...string) error {
	if _, err := q.buryAll(ctx, name, reason, ids, false); err != nil {
		return fmt.Errorf("bury from %s: %w", name, err)
	}
	return nil
}

// buryAll reads the messages, whose bodies the letters need, and buries them.
func (q *Queue) buryAll(ctx context.Context, name, reason string, ids []string, waiting bool) (int, error) {
	there, err := q.place(ctx, name, ids)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, l := range there {
		messages, sizes, err := q.read(ctx, l.at, l.ids)
		if err != nil {
			return total, err
		}
		doomed := make([]burial, len(messages))
		for i, m := range messages {
			doomed[i] = burial{m, sizes[m.ID[:2*baseSize]], reason}
		}
		n, err := q.bury(ctx, name, l.at, doomed, waiting)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// read reads messages that are somewhere in a partition, by their ids, and how
// many each block has.
func (q *Queue) read(ctx context.Context, p *partition, ids []id) (found []queue.Message, sizes map[string]int, err error) {
	// A message with a payload of its own lies under its id, the others under their
	// block's base.
	keys := make([]string, 0, 2*len(ids))
	for i := range ids {
		keys = append(keys, string(ids[i][:]))
		if i == 0 || ids[i].base() != ids[i-1].base() {
			keys = append(keys, ids[i].base())
		}
	}
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	values, err := q.redis.HMGet(inner, p.blocks(), keys...).Result()
	if err != nil {
		return nil, nil, q.unavailable(ctx, err)
	}
	blocks, sizes := map[string]block{}, map[string]int{}
	for i, v := range values {
		if s, there := v.(string); there {
			if blocks[keys[i]], err = decodeBlock(keys[i], s); err != nil {
				return nil, nil, fmt.Errorf("block %x: %w", keys[i], err)
			}
			if len(keys[i]) == baseSize {
				sizes[hex.EncodeToString([]byte(keys[i]))] = count(s)
			}
		}
	}
	for _, i := range ids {
		b, own := blocks[string(i[:])]
		if !own {
			var there bool
			if b, there = blocks[i.base()]; !there || i.index() >= len(b.bodies) {
				continue // acked or buried before
			}
		}
		one := part{b, string([]byte{i[baseSize], i[baseSize+1], 0, 1, 0})}
		if err := one.each(func(_ string, m queue.Message) error {
			found = append(found, m)
			return nil
		}); err != nil {
			return nil, nil, err
		}
	}
	return found, sizes, nil
}

// graves are the partitions that hold letters of a dead-letter queue: those of
// the queues that they come from, and its own for what was refused at once.
func (q *Queue) graves(ctx context.Context, name string) ([]*partition, error) {
	names, err := q.existing(ctx)
	if err != nil {
		return nil, err
	}
	var out []*partition
	for _, n := range names {
		if n == name || !queue.IsDead(n) && queue.DeadLetters(n) == name {
			out = append(out, q.every(ctx, n)...)
		}
	}
	slices.SortFunc(out, func(a, b *partition) int { return strings.Compare(a.tag, b.tag) })
	return out, nil
}

// seen is a letter that was found.
type seen struct {
	queue.DeadLetter
	score int64 // its burial in us, unique in its partition
	at    *partition
}

// Dead pages through the letters of all partitions. A cursor is the burial of
// the last one seen, and its partition's slot.
func (q *Queue) Dead(ctx context.Context, name, cursor string, limit int) ([]queue.DeadLetter, string, error) {
	found, next, err := q.page(ctx, name, cursor, limit)
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", name, err)
	}
	letters := make([]queue.DeadLetter, len(found))
	for i, f := range found {
		letters[i] = f.DeadLetter
	}
	return letters, next, nil
}

func (q *Queue) page(ctx context.Context, name, cursor string, limit int) ([]seen, string, error) {
	score, tag := int64(1)<<62, ""
	if cursor != "" {
		at, rest, _ := strings.Cut(cursor, "-")
		n, err := strconv.ParseInt(at, 10, 64)
		raw, bad := hex.DecodeString(rest)
		if err != nil || bad != nil {
			return nil, "", fmt.Errorf("%q is not a cursor", cursor)
		}
		score, tag = n, string(raw)
	}
	graves, err := q.graves(ctx, name)
	if err != nil {
		return nil, "", err
	}
	var found []seen
	for _, p := range graves {
		// Of letters of the same instant, those of later tags come first.
		top := "(" + strconv.FormatInt(score, 10)
		if p.tag < tag {
			top = top[1:]
		}
		// One more than asked tells whether there is a next page.
		some, err := q.letters(ctx, p, name, top, limit+1)
		if err != nil {
			return nil, "", err
		}
		found = append(found, some...)
	}
	slices.SortStableFunc(found, func(a, b seen) int {
		return cmp.Or(cmp.Compare(b.score, a.score), strings.Compare(b.at.tag, a.at.tag))
	})
	if len(found) <= limit {
		return found, "", nil
	}
	found = found[:limit]
	last := found[limit-1]
	return found, fmt.Sprintf("%d-%x", last.score, last.at.tag), nil
}

// letters reads a partition's letters, newest first.
func (q *Queue) letters(ctx context.Context, p *partition, name, top string, limit int) ([]seen, error) {
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	index, err := q.redis.ZRevRangeByScoreWithScores(inner, p.dead(), &redis.ZRangeBy{Max: top, Min: "-inf", Count: int64(limit)}).Result()
	if err != nil || len(index) == 0 {
		return nil, q.unavailable(ctx, err)
	}
	ids := make([]string, len(index))
	for i, z := range index {
		ids[i], _ = z.Member.(string)
	}
	values, err := q.redis.HMGet(inner, p.letters(), ids...).Result()
	if err != nil {
		return nil, q.unavailable(ctx, err)
	}
	var found []seen
	for i, v := range values {
		s, there := v.(string)
		if !there {
			continue // dropped since
		}
		l, deliveries, body, err := decodeLetter(s)
		if err != nil {
			return nil, fmt.Errorf("letter %x: %w", ids[i], err)
		}
		at := int64(index[i].Score)
		found = append(found, seen{queue.DeadLetter{
			ID: hex.EncodeToString([]byte(ids[i])), Body: body, Reason: l.Reason, Origin: l.Origin, Account: l.Account,
			Deliveries: deliveries, BuriedAt: time.UnixMicro(at),
		}, at, p})
	}
	return found, nil
}

// Revive moves letters back to the queue they came from, in one step each
// partition.
func (q *Queue) Revive(ctx context.Context, name string, ids ...string) (int, error) {
	n, err := q.exhume(ctx, name, ids, true)
	if err != nil {
		return n, fmt.Errorf("revive from %s: %w", name, err)
	}
	return n, nil
}

// Drop deletes letters.
func (q *Queue) Drop(ctx context.Context, name string, ids ...string) (int, error) {
	n, err := q.exhume(ctx, name, ids, false)
	if err != nil {
		return n, fmt.Errorf("drop from %s: %w", name, err)
	}
	return n, nil
}

func (q *Queue) exhume(ctx context.Context, name string, ids []string, revive bool) (int, error) {
	all, err := parse(ids)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	graves, err := q.graves(ctx, name)
	if err != nil {
		return 0, err
	}
	total := 0
	// A slot may be that of several queues' partitions; a letter is in one of them.
	for _, l := range place(graves, all) {
		for some := range slices.Chunk(l.ids, 200) {
			n, err := q.exhumeFrom(ctx, l.at, some, revive)
			if total += n; err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

func (q *Queue) exhumeFrom(ctx context.Context, p *partition, ids []id, revive bool) (int, error) {
	fields := make([]string, len(ids))
	for i := range ids {
		fields[i] = string(ids[i][:])
	}
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	values, err := q.redis.HMGet(inner, p.letters(), fields...).Result()
	if err != nil {
		return 0, q.unavailable(ctx, err)
	}
	var h hours
	args := []any{q.opts.KeepBooks.Milliseconds()}
	for i, v := range values {
		s, there := v.(string)
		if !there {
			continue
		}
		l, _, body, err := decodeLetter(s)
		if err != nil {
			return 0, fmt.Errorf("letter %x: %w", fields[i], err)
		}
		var payload []byte
		if revive {
			if l.Origin == "" {
				continue
			}
			payload = encodeBlock([]queue.Item{{Body: body, Account: l.Account}})
		}
		args = append(args, fields[i], h.key(l.Account), l.Account.Pixel, payload)
	}
	if len(args) == 1 {
		return 0, nil
	}
	cmd, err := q.run(ctx, p, exhumeScript, h, args)
	if err != nil {
		return 0, err
	}
	return cmd.Int()
}
