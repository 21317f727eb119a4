package analytics

import (
	"context"
	"time"
)

// History keeps for good what is elsewhere kept for a while: the queues forget an hour's
// counts after queue.keep_books, and the console's state the changes beyond the newest.
// Neither says anything of a visitor but by digests, so an erasure leaves both alone.
type History interface {
	LedgerHistory
	AuditHistory
}

// Counted is one count of the queues' books: how many messages of a pixel, received in
// an hour, came to a stage in a queue.
type Counted struct {
	Queue   string
	PixelID string
	Hour    time.Time // when it began
	Stage   string
	N       int64
}

// LedgerHistory keeps the queues' counts.
type LedgerHistory interface {
	// WriteCounts stores counts, each by its queue, pixel, hour and stage, as they were
	// read at a time. Of one count what was read last stands, in whatever order it is
	// written.
	WriteCounts(ctx context.Context, read time.Time, counts ...Counted) error
	// Counts are those of whole hours from since to before until, at most MaxBooks,
	// ordered by queue, hour, pixel and stage.
	Counts(ctx context.Context, since, until time.Time) ([]Counted, error)
}

// MaxBooks bounds the hours that one question reads the counts of.
const MaxBooks = 62 * 24 * time.Hour

// AuditEntry is a line of the audit log: what was changed, by whom. Body is all of it,
// as whoever wrote it encodes it.
type AuditEntry struct {
	ID     string // grows with time
	At     time.Time
	Actor  string // the id of a person or a token
	Action string
	Target string
	Body   []byte
}

// AuditHistory keeps the audit log.
type AuditHistory interface {
	// WriteAudit stores lines, each by its id; one that is stored already is left as it
	// is.
	WriteAudit(ctx context.Context, entries ...AuditEntry) error
	// Audit lists lines, newest first by their ids: those below before, where that is
	// not empty.
	Audit(ctx context.Context, before string, limit int) ([]AuditEntry, error)
}

// Books says what is wrong with the hours that counts are asked of.
func Books(since, until time.Time) error {
	switch {
	case since.IsZero() || until.IsZero():
		return invalid("since and until are needed")
	case until.Before(since):
		return invalid("until lies before since")
	case until.Sub(since) > MaxBooks:
		return invalid("since and until lie more than %d days apart", int(MaxBooks.Hours()/24))
	}
	return nil
}

// AuditLimit fills the limit in, or says what is wrong with it.
func AuditLimit(n int) (int, error) { return limit(n, 50) }
