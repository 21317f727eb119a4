package sqliteanalytics

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// byName begins the dimensions whose sums are apart by name too. Most questions are
// about all names, and there are far fewer sums of those.
const byName = "name+"

// bin holds the sums by value of one dimension in one hour or day of a pixel and, for
// a dimension that begins with byName, a name. They are one blob, since a report reads
// hundreds of thousands of them, and as rows each would cost a microsecond or more.
type bin struct {
	dimension string
	slot
}

func (b bin) compare(o bin) int {
	return cmp.Or(cmp.Compare(b.dimension, o.dimension), b.slot.compare(o.slot))
}

func (b bin) args(more ...any) []any {
	return append([]any{b.dimension, b.level, b.bucket, b.pixel, b.name}, more...)
}

const (
	inBin   = `dimension = ? AND level = ? AND bucket = ? AND pixel_id = ? AND name = ?`
	getPart = `SELECT part, sums FROM sums WHERE ` + inBin + ` ORDER BY part DESC LIMIT 1`
	putPart = `INSERT INTO sums (dimension, level, bucket, pixel_id, name, part, sums) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET sums = excluded.sums`
)

// valued is the sum of one value.
type valued struct {
	value string
	sum
}

func sorted(sums map[string]*sum) []valued {
	list := make([]valued, 0, len(sums))
	for _, v := range slices.Sorted(maps.Keys(sums)) {
		list = append(list, valued{v, *sums[v]})
	}
	return list
}

// A blob is a sum after the other, ascending by value: the value with its length before
// it, the number of events, and a byte that says which amounts follow, of eight bytes
// each.
const (
	hasRevenue = 1 << iota
	hasBase
)

func appendSum(blob, value []byte, s sum) []byte {
	blob = append(binary.AppendUvarint(blob, uint64(len(value))), value...)
	blob = binary.AppendVarint(blob, s.events)
	at := len(blob)
	blob = append(blob, 0)
	if s.revenue != 0 {
		blob[at] |= hasRevenue
		blob = binary.BigEndian.AppendUint64(blob, math.Float64bits(s.revenue))
	}
	if s.base != 0 {
		blob[at] |= hasBase
		blob = binary.BigEndian.AppendUint64(blob, math.Float64bits(s.base))
	}
	return blob
}

var errBroken = errors.New("the stored sums are not whole")

// cutSum takes the first sum off a blob.
func cutSum(blob []byte) (value []byte, s sum, rest []byte, err error) {
	n, used := binary.Uvarint(blob)
	if used <= 0 || uint64(len(blob)-used) < n {
		return nil, s, nil, errBroken
	}
	value, blob = blob[used:used+int(n)], blob[used+int(n):]
	if s.events, used = binary.Varint(blob); used <= 0 || len(blob) == used {
		return nil, s, nil, errBroken
	}
	flags := blob[used]
	blob = blob[used+1:]
	for _, f := range [...]struct {
		flag byte
		into *float64
	}{{hasRevenue, &s.revenue}, {hasBase, &s.base}} {
		if flags&f.flag == 0 {
			continue
		}
		if len(blob) < 8 {
			return nil, s, nil, errBroken
		}
		*f.into, blob = math.Float64frombits(binary.BigEndian.Uint64(blob)), blob[8:]
	}
	return value, s, blob, nil
}

// merged is what two blobs come to; sums without events are left out.
func merged(x, y []byte) (out []byte, err error) {
	out = make([]byte, 0, len(x)+len(y))
	for len(x) > 0 || len(y) > 0 {
		var a, b sum
		var va, vb, restA, restB []byte
		if len(x) > 0 {
			if va, a, restA, err = cutSum(x); err != nil {
				return nil, err
			}
		}
		if len(y) > 0 {
			if vb, b, restB, err = cutSum(y); err != nil {
				return nil, err
			}
		}
		order := bytes.Compare(va, vb)
		switch {
		case len(y) == 0 || len(x) > 0 && order < 0:
			x = restA
		case len(x) == 0 || order > 0:
			va, a, y = vb, b, restB
		default:
			a.add(b)
			x, y = restA, restB
		}
		if a.events > 0 {
			out = appendSum(out, va, a)
		}
	}
	return out, nil
}

// putSums adds to a bin. What is new is merged with the last part unless that is much
// larger: then it is a part of its own, so that an hour of a hundred thousand pages is
// not written anew for each that is added.
func (s *Store) putSums(ctx context.Context, tx *sql.Tx, b bin, list []valued) error {
	var blob []byte
	for _, v := range list {
		blob = appendSum(blob, []byte(v.value), v.sum)
	}
	get, put := tx.StmtContext(ctx, s.getPart), tx.StmtContext(ctx, s.putPart)
	for {
		var part int
		var was []byte
		err := get.QueryRowContext(ctx, b.args()...).Scan(&part, &was)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case len(was) > 4*len(blob)+512:
			part++
		default:
			if blob, err = merged(was, blob); err != nil {
				return fmt.Errorf("the sums of %s: %w", b.dimension, err)
			}
			if part > 0 {
				// By now it may be as large as the part before.
				if _, err := tx.ExecContext(ctx, `DELETE FROM sums WHERE `+inBin+` AND part = ?`, b.args(part)...); err != nil {
					return err
				}
				continue
			}
		}
		_, err = put.ExecContext(ctx, b.args(part, blob)...)
		return err
	}
}

// takeSums takes from a bin, whose parts become one: what was taken from is nowhere
// left.
func (s *Store) takeSums(ctx context.Context, tx *sql.Tx, b bin, list []valued) error {
	var blob []byte
	for _, v := range list {
		v.sum = sum{-v.events, -v.revenue, -v.base}
		blob = appendSum(blob, []byte(v.value), v.sum)
	}
	var parts [][]byte
	var part []byte
	err := each(ctx, tx, `SELECT sums FROM sums WHERE `+inBin, b.args(), []any{&part}, func() { parts = append(parts, bytes.Clone(part)) })
	if err != nil || len(parts) == 0 {
		return err
	}
	all := parts[0]
	for _, p := range append(parts[1:], blob) {
		if all, err = merged(all, p); err != nil {
			return fmt.Errorf("the sums of %s: %w", b.dimension, err)
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM sums WHERE `+inBin, b.args()...); err != nil || len(all) == 0 {
		return err
	}
	_, err = tx.StmtContext(ctx, s.putPart).ExecContext(ctx, b.args(0, all)...)
	return err
}
