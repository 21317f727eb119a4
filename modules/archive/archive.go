// Package archive is the port to the raw copy of every stored event, kept for
// replays and for people with other tools.
//
// What every backend promises, and archivetest checks: when Write returns nil
// its events survive a crash and are seen by every reading that begins later;
// sooner or later they lie as Parquet under pixel=/date=/hour= of the time they
// were received (UTC); what is half written is never seen. An event may be there
// twice, after a crash or beside a reader: readers go by the event's id.
package archive

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/miq/pixel/modules/event"
)

// ErrInvalid says that an event cannot be kept, whatever is tried.
var ErrInvalid = errors.New("the event cannot be archived")

// Record is an event that was kept, and where.
type Record struct {
	Event event.Event
	// Position is where a reading can go on: see Filter.After.
	Position string
}

// Filter bounds a reading; zero fields do not.
type Filter struct {
	PixelID      string
	Since, Until time.Time // of receipt, Until exclusive
	// After goes on behind a Record that an earlier reading with the same filter
	// yielded. Where files were merged meanwhile, some are read again.
	After string
	// Filed leaves out what was written lately and is not filed yet (see
	// Upkeep.File): then the order holds for all.
	Filed bool
}

// Archive keeps events.
type Archive interface {
	Write(ctx context.Context, events ...event.Event) error
	// Read goes through what matches: what is filed pixel by pixel and hour by hour,
	// then what is not yet. It ends at the first error, which it yields.
	Read(ctx context.Context, filter Filter) iter.Seq2[Record, error]
}

// Upkeep is what has to be done to an archive now and then. Only one process may
// at a time: see package keeper. Each call may be cut short anywhere and done
// again; readers and writers beside it notice nothing.
type Upkeep interface {
	// File moves what was written lately into its pixel's, date's and hour's files,
	// and returns how many events.
	File(ctx context.Context) (int, error)
	// Merge makes few large files of many small ones in the hours that ended before
	// a time, and leaves out what is there twice. Since bounds how old they are; zero
	// does not.
	Merge(ctx context.Context, since, before time.Time) error
	// Expire deletes a pixel's days that ended before a time, and returns how many.
	Expire(ctx context.Context, pixelID string, before time.Time) (int, error)
	// Rewrite deletes the events that drop says true for, for good, and returns how
	// many: files that hold one are written anew without it. What is not filed yet is
	// filed first.
	Rewrite(ctx context.Context, filter Filter, drop func(*event.Event) bool) (int, error)
	// Backlog is what is not filed yet.
	Backlog(ctx context.Context) (Backlog, error)
}

// Backlog is what waits to be filed.
type Backlog struct {
	Objects int
	Bytes   int64
	Oldest  time.Time // zero: nothing waits
}
