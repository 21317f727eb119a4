package lake

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
)

const (
	dateDir = "date=2006-01-02"
	hourDir = "hour=15"
)

// place is where events of one pixel lie that were received in one hour.
type place struct {
	pixel string
	hour  int64 // since 1970
}

func (p place) begin() time.Time { return time.Unix(p.hour*3600, 0).UTC() }

func (p place) folder() string {
	return "pixel=" + p.pixel + "/" + p.begin().Format(dateDir+"/"+hourDir)
}

func placeOf(e *event.Event) place { return place{e.PixelID, e.ReceivedAt.Unix() / 3600} }

// parsePlace reads the beginning of an object's name.
func parsePlace(name string) (p place, ok bool) {
	parts := strings.SplitN(name, "/", 4)
	if len(parts) < 3 {
		return p, false
	}
	pixel, ok := strings.CutPrefix(parts[0], "pixel=")
	if !ok || !isPixel(pixel) {
		return p, false
	}
	t, err := time.Parse(dateDir+"/"+hourDir, parts[1]+"/"+parts[2])
	if err != nil || t.Unix() < 0 {
		return p, false
	}
	return place{pixel, t.Unix() / 3600}, true
}

// isPixel is also what keeps an event inside the archive's folder.
func isPixel(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case (c == '_' || c == '-') && i > 0:
		default:
			return false
		}
	}
	return true
}

var errPixel = errors.New("a pixel id must match ^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$")

// check says why an event cannot be kept. Whatever passes can be read back.
func check(e *event.Event) error {
	if !isPixel(e.PixelID) {
		return errPixel
	}
	if e.ID == "" {
		return errors.New("it has no id")
	}
	if y := e.ReceivedAt.UTC().Year(); y < 1970 || y > 9999 {
		return fmt.Errorf("it was received in the year %d", y)
	}
	if len(e.Properties) > 0 && e.Properties.Kind() == jsontext.KindInvalid {
		return errors.New("its properties are no JSON")
	}
	return nil
}

func matches(f archive.Filter, e *event.Event) bool {
	return (f.PixelID == "" || e.PixelID == f.PixelID) &&
		(f.Since.IsZero() || !e.ReceivedAt.Before(f.Since)) &&
		(f.Until.IsZero() || e.ReceivedAt.Before(f.Until))
}

// overlaps reports whether something received in [begin, begin+d) may match.
func overlaps(f archive.Filter, begin time.Time, d time.Duration) bool {
	return (f.Since.IsZero() || begin.Add(d).After(f.Since)) && (f.Until.IsZero() || begin.Before(f.Until))
}
