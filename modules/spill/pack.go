package spill

import (
	"encoding/binary"
	"errors"

	"github.com/miq/pixel/modules/queue"
)

// pack makes one body of an item: its fields, each text with its length before
// it, and then its body.
func pack(it queue.Item) []byte {
	b := make([]byte, 1, 1+len(it.Queue)+len(it.Reason)+len(it.Account.Pixel)+len(it.Stage)+6*binary.MaxVarintLen32+len(it.Body))
	b[0] = version
	for _, s := range []string{it.Queue, it.Reason, it.Account.Pixel, it.Stage} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendVarint(b, int64(it.Account.Hour))
	b = binary.AppendVarint(b, it.N)
	return append(b, it.Body...)
}

const version = 1

var errUnreadable = errors.New("an item that was spilled cannot be read")

// unpack reads it again.
func unpack(b []byte) (queue.Item, error) {
	if len(b) == 0 || b[0] != version {
		return queue.Item{}, errUnreadable
	}
	b = b[1:]
	var it queue.Item
	for _, s := range []*string{&it.Queue, &it.Reason, &it.Account.Pixel, &it.Stage} {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return queue.Item{}, errUnreadable
		}
		*s, b = string(b[k:k+int(n)]), b[k+int(n):]
	}
	for _, v := range []func(int64){
		func(v int64) { it.Account.Hour = int32(v) },
		func(v int64) { it.N = v },
	} {
		n, k := binary.Varint(b)
		if k <= 0 {
			return queue.Item{}, errUnreadable
		}
		v(n)
		b = b[k:]
	}
	if it.Body = b; len(b) == 0 && it.Stage != "" {
		it.Body = nil // it is a count
	}
	return it, nil
}
