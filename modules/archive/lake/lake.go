// Package lake keeps an archive in any store of objects: a folder, or a bucket.
//
// A Write adds its events to one object under wal/, whatever pixels and hours they
// are of, and returns once the store has it: one write for all that wait at the
// time, however many pixels there are. Filing them (File) is done later and for
// many at once, off the way of the events:
//
//	wal/{uuid}.wal                                  written before the ack
//	pixel=/date=/hour=/{uuid}.parquet               filed
//	pixel=/date=/hour=/manifest-{n}.json            which of those count
//	pixel=/date=/hour=/{writer}-{n}.ndjson.zst      of versions before this one
//
// An object is never changed, and appears whole or not at all. The manifest with
// the highest number says which Parquet files of an hour count; its successor is
// made under the next number, which the store gives to one only, so that two
// processes that file at once cannot undo each other's work. What no manifest
// names does not count: it is being made, was replaced, or is left of a crash.
// An hour without a manifest is all of its Parquet files.
package lake

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
)

var (
	// ErrGone says that there is no object of that name.
	ErrGone = errors.New("no such object")
	// ErrExists says that there is one already.
	ErrExists = errors.New("there is an object of that name already")

	errClosed = errors.New("the archive is closed")
)

// Store keeps objects by names with slashes between. It is safe for concurrent
// use, and what was put is seen by every later call, of any process.
type Store interface {
	// Put stores an object durably, whole or not at all, and replaces what was there;
	// where fresh is set it answers ErrExists instead.
	Put(ctx context.Context, name string, body []byte, fresh bool) error
	// Get reads one, or answers ErrGone. The bytes are the caller's.
	Get(ctx context.Context, name string) ([]byte, error)
	// List names what is below a folder, at any depth, in order.
	List(ctx context.Context, folder string) ([]Object, error)
	// Folders names the folders right in a folder ("" is the top), in order.
	Folders(ctx context.Context, folder string) ([]string, error)
	// Delete removes objects; absent ones are no error.
	Delete(ctx context.Context, names ...string) error
}

// Object is what a Store has.
type Object struct {
	Name string
	Size int64
}

// Options are the lake's; zero fields have the usual values.
type Options struct {
	// Rows is how many events a file holds at most; 131,072, which are about 20 MiB.
	Rows int
	// Lanes is how many writes are on their way to the store at once; 4. What is
	// written meanwhile shares the next one.
	Lanes int
	// Timeout bounds one write; 30 s.
	Timeout time.Duration
	// Observe is told of each write to the store; may be nil.
	Observe func(kind string, bytes int, took time.Duration, err error)
}

// Lake is an archive.Archive.
type Lake struct {
	store Store
	o     Options
	dec   *zstd.Decoder // for what versions before this one kept

	making     chan struct{} // one a file that is made
	fast, good sync.Pool     // of writers, by how they compress
	handled    atomic.Int64  // events that were taken apart to be filed or merged

	mu      sync.Mutex
	waiting *group // nil: none
	flying  int
	closed  bool
	idle    sync.Cond
}

var (
	_ archive.Archive = (*Lake)(nil)
	_ archive.Upkeep  = (*Lake)(nil)
)

const (
	walFolder = "wal"
	walSuffix = ".wal"
	maxEvent  = 16 << 20 // of one event's bytes
	maxFrame  = 64 << 20 // that a reader unpacks at once
	maxGroup  = 8 << 20  // of an object under wal/, packed; more begins the next
)

// New returns an archive in a store.
func New(store Store, o Options) (*Lake, error) {
	if o.Rows <= 0 {
		o.Rows = 1 << 17
	}
	if o.Lanes <= 0 {
		o.Lanes = 4
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Observe == nil {
		o.Observe = func(string, int, time.Duration, error) {}
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(4*maxFrame))
	if err != nil {
		return nil, fmt.Errorf("make the archive's decoder: %w", err)
	}
	l := &Lake{store: store, o: o, dec: dec, making: make(chan struct{}, makers)}
	l.idle.L = &l.mu
	return l, nil
}

// group is what is written together.
type group struct {
	body    []byte
	writers int
	done    chan struct{}
	err     error
}

// Write keeps the events, and waits until the store has them. After an error some
// may have been kept.
func (l *Lake) Write(ctx context.Context, events ...event.Event) error {
	if err := ctx.Err(); err != nil || len(events) == 0 {
		return err
	}
	packed, err := l.pack(events)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	g, err := l.join(packed)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.err != nil {
		return fmt.Errorf("archive: %w", g.err)
	}
	return nil
}

// join adds bytes to what is written next, and begins to write unless enough is on
// its way.
func (l *Lake) join(packed []byte) (*group, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	g := l.waiting
	switch {
	case g == nil:
		g = &group{body: packed, done: make(chan struct{})}
	case len(g.body)+len(packed) > maxGroup:
		l.begin(g)
		g = &group{body: packed, done: make(chan struct{})}
	default:
		g.body = append(g.body, packed...)
	}
	g.writers++
	if l.waiting = g; l.flying < l.o.Lanes {
		l.begin(g)
		l.waiting = nil
	}
	return g, nil
}

// begin writes a group in a goroutine of its own. l.mu is held.
func (l *Lake) begin(g *group) {
	l.flying++
	go func() {
		g.err = l.put(context.Background(), "wal", walFolder+"/"+newName()+walSuffix, g.body, true)
		close(g.done)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.flying--
		if next := l.waiting; next != nil && l.flying < l.o.Lanes {
			l.waiting = nil
			l.begin(next)
		}
		l.idle.Broadcast()
	}()
}

// put writes one object within the time that it may take.
func (l *Lake) put(ctx context.Context, kind, name string, body []byte, fresh bool) error {
	ctx, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	start := time.Now()
	err := l.store.Put(ctx, name, body, fresh)
	l.o.Observe(kind, len(body), time.Since(start), err)
	return err
}

// newName is a UUID that sorts by the time it was made at.
func newName() string { return uuid.Must(uuid.NewV7()).String() }

// Close waits for the writes that are under way.
func (l *Lake) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for l.flying > 0 {
		l.idle.Wait()
	}
	return nil
}

// Under wal/ an object is blocks, one after the other: how many bytes it has, their
// CRC-32C, and so many bytes of S2, which are events with their length before each.
// It lives for minutes, so that what it costs to write counts for more than its size.
const blockHead = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pack makes blocks of events.
func (l *Lake) pack(events []event.Event) ([]byte, error) {
	var enc event.Encoder
	plain := make([]byte, 0, 700*len(events))
	var packed []byte
	for i := range events {
		e := &events[i]
		if err := check(e); err != nil {
			return nil, fmt.Errorf("event %d of %d: %w: %s", i+1, len(events), archive.ErrInvalid, err.Error())
		}
		enc.Share(e)
		at := len(plain)
		plain = append(plain, 0, 0, 0, 0)
		plain = enc.Append(plain, e)
		n := len(plain) - at - 4
		if n > maxEvent {
			return nil, fmt.Errorf("event %d of %d: %w: it has %d bytes, more than %d", i+1, len(events), archive.ErrInvalid, n, maxEvent)
		}
		binary.LittleEndian.PutUint32(plain[at:], uint32(n))
		if len(plain) > maxFrame/4 {
			packed, plain = appendBlock(packed, plain), plain[:0]
		}
	}
	if len(plain) > 0 {
		packed = appendBlock(packed, plain)
	}
	return packed, nil
}

func appendBlock(b, plain []byte) []byte {
	at := len(b)
	b = slices.Grow(b, blockHead+s2.MaxEncodedLen(len(plain)))
	body := s2.Encode(b[at+blockHead:cap(b)], plain)
	b = b[:at+blockHead+len(body)]
	binary.LittleEndian.PutUint32(b[at:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(body, castagnoli))
	return b
}

var errDamaged = errors.New("damaged: a block is cut short, or not what was written")

// unpack goes through what pack made: whole events, or an error.
func (l *Lake) unpack(packed []byte, each func(raw []byte) error) error {
	for len(packed) > 0 {
		if len(packed) < blockHead {
			return errDamaged
		}
		n, sum := int(binary.LittleEndian.Uint32(packed)), binary.LittleEndian.Uint32(packed[4:])
		if packed = packed[blockHead:]; n > len(packed) || crc32.Checksum(packed[:n], castagnoli) != sum {
			return errDamaged
		}
		if size, err := s2.DecodedLen(packed[:n]); err != nil || size > maxFrame {
			return errDamaged
		}
		plain, err := s2.Decode(nil, packed[:n])
		if err != nil {
			return errDamaged
		}
		for packed = packed[n:]; len(plain) > 0; {
			if len(plain) < 4 {
				return errDamaged
			}
			n := int(binary.LittleEndian.Uint32(plain))
			if n > len(plain)-4 {
				return errDamaged
			}
			if err := each(plain[4 : 4+n : 4+n]); err != nil {
				return err
			}
			plain = plain[4+n:]
		}
	}
	return nil
}
