// Package archive is the port to the raw copy of every stored event, kept for
// replays and for people with other tools.
//
// What every backend promises, and archivetest checks: when Write returns nil
// its records survive a crash; they lie under pixel=/date=/hour= of the time
// they were received (UTC); a torn write at the end of a file hides no record
// before it. A record may be written twice, after a crash: readers go by the
// event id.
package archive

import (
	"context"
	"iter"
	"time"
)

// Record is one event's JSON.
type Record struct {
	PixelID    string
	EventID    string
	ReceivedAt time.Time
	Body       []byte
}

// Filter bounds a reading; zero fields do not.
type Filter struct {
	PixelID      string
	Since, Until time.Time // of receipt, Until exclusive
}

// Archive keeps records.
type Archive interface {
	Write(ctx context.Context, records ...Record) error
	// Read goes through what matches, pixel by pixel and hour by hour. It ends
	// at the first error, which it yields.
	Read(ctx context.Context, filter Filter) iter.Seq2[Record, error]
}
