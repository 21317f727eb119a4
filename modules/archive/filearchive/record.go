package filearchive

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/archive"
)

const (
	maxBody  = 16 << 20 // of one record
	frame    = 4 << 20  // after which a batch's next record goes into a frame of its own
	maxFrame = 64 << 20 // that a reader unpacks
)

// pixelID is also what keeps a record inside the archive's folder.
var pixelID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$`)

// partition is where a record lies.
type partition struct {
	pixel string
	hour  int64 // since 1970
}

func (p partition) path() string {
	return "pixel=" + p.pixel + "/" + time.Unix(p.hour*3600, 0).UTC().Format("date=2006-01-02/hour=15")
}

// head is what of a record's JSON its reader needs.
type head struct {
	ID         string    `json:"id"`
	PixelID    string    `json:"pixel_id"`
	ReceivedAt time.Time `json:"received_at"`
}

// place says where a record belongs, or why it cannot be kept. Whatever passes
// here can be read back as it was given.
func place(r *archive.Record) (partition, error) {
	if !pixelID.MatchString(r.PixelID) {
		return partition{}, errors.New("its pixel id must match " + pixelID.String())
	}
	if y := r.ReceivedAt.UTC().Year(); y < 1970 || y > 9999 {
		return partition{}, fmt.Errorf("it was received in the year %d", y)
	}
	if len(r.Body) > maxBody {
		return partition{}, fmt.Errorf("its body has %d bytes, more than %d", len(r.Body), maxBody)
	}
	if bytes.IndexByte(r.Body, '\n') >= 0 {
		return partition{}, errors.New("its body has more than one line")
	}
	h, err := parse(r.Body)
	if err != nil {
		return partition{}, err
	}
	if h.ID != r.EventID || h.PixelID != r.PixelID || !h.ReceivedAt.Equal(r.ReceivedAt) {
		return partition{}, errors.New("its body has another id, pixel_id or received_at than the record")
	}
	return partition{r.PixelID, r.ReceivedAt.Unix() / 3600}, nil
}

func parse(line []byte) (h head, err error) {
	// Properties are the page's own, and nothing here depends on them.
	if err := json.Unmarshal(line, &h, jsontext.AllowDuplicateNames(true)); err != nil {
		return h, errors.New("its body is not an event's JSON")
	}
	return h, nil
}

// batch is what one Write has for one partition.
type batch struct {
	partition
	frames [][]byte // not yet compressed
}

// split sorts records into partitions, in the order they came.
func split(records []archive.Record) ([]*batch, error) {
	var all []*batch
	at := map[partition]*batch{}
	for i := range records {
		r := &records[i]
		p, err := place(r)
		if err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", i+1, len(records), err)
		}
		b := at[p]
		if b == nil {
			b = &batch{partition: p}
			at[p], all = b, append(all, b)
		}
		n := len(b.frames) - 1
		if n < 0 || len(b.frames[n])+len(r.Body) >= frame {
			b.frames, n = append(b.frames, nil), n+1
		}
		b.frames[n] = append(append(b.frames[n], r.Body...), '\n')
	}
	return all, nil
}
