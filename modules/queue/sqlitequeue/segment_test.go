package sqlitequeue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/miq/pixel/modules/queue"
)

func TestADamagedSegmentIsRefusedAndTakesNoMemory(t *testing.T) {
	items := []queue.Item{{Body: bytes.Repeat([]byte("a body "), 100)}, {Body: []byte("another")}}
	good, _ := encode(items, nil)
	if entries, err := decode(good, 2); err != nil || !bytes.Equal(entries[0].body, items[0].Body) || !bytes.Equal(entries[1].body, items[1].Body) {
		t.Fatalf("a whole one: %v", err)
	}
	for name, b := range map[string][]byte{
		"empty":                {},
		"of no kind":           {9},
		"cut off":              good[:len(good)-1],
		"four gigabytes":       binary.AppendUvarint([]byte{compressed}, 1<<32-1),
		"more than is packed":  binary.AppendUvarint([]byte{compressed}, 2*compressTo+1),
		"accounts without end": {plain, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := decode(b, 2); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%s took %d bytes", name, took)
		}
	}
}
