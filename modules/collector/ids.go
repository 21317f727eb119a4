package collector

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
)

// ids are UUIDs of version 7, in one string: ordered by time, so that indexes
// grow at one end. They have to be unique and not secret, so their random bits
// are the runtime's own, which cost no system call.
type ids string

const idLength = 36

func newIDs(now time.Time, n int) ids {
	// 48 bits of milliseconds, and 12 of the rest, in 1/4096 ms.
	ms, rest := now.UnixMilli(), now.Nanosecond()%1e6
	when := uint64(ms)<<16 | 0x7000 | uint64(rest)<<12/1e6
	var few [16 * idLength]byte // on the stack
	b := slices.Grow(few[:0], n*idLength)
	for range n {
		var id uuid.UUID
		binary.BigEndian.PutUint64(id[:8], when)
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
		id[8] = id[8]&0x3f | 0x80
		b = appendID(b, id)
	}
	return ids(b)
}

// appendID appends an id's usual spelling.
func appendID(b []byte, id uuid.UUID) []byte {
	b = append(hex.AppendEncode(b, id[:4]), '-')
	b = append(hex.AppendEncode(b, id[4:6]), '-')
	b = append(hex.AppendEncode(b, id[6:8]), '-')
	b = append(hex.AppendEncode(b, id[8:10]), '-')
	return hex.AppendEncode(b, id[10:])
}

func (s ids) at(i int) string { return string(s[i*idLength : (i+1)*idLength]) }
