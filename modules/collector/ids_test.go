package collector

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestIDsAreUUIDsInTheOrderOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Across a border of milliseconds, and one of seconds.
		time.Sleep(time.Second - 500*time.Microsecond)
		last := ""
		for range 2000 {
			text := newIDs(time.Now(), 1).at(0)
			id, err := uuid.Parse(text)
			if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
				t.Fatalf("%s: version %d, variant %s, %v", text, id.Version(), id.Variant(), err)
			}
			sec, nsec := id.Time().UnixTime()
			if off := time.Since(time.Unix(sec, nsec)); off < 0 || off >= time.Millisecond {
				t.Fatalf("%s is of %s ago", text, off)
			}
			if text <= last {
				t.Fatalf("%s came after %s", text, last)
			}
			last = text
			time.Sleep(time.Microsecond)
		}
	})
}

func TestIDsOfOneMomentDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[string]bool{}
		for range 10_000 {
			seen[newIDs(time.Now(), 1).at(0)] = true
		}
		if len(seen) != 10_000 {
			t.Errorf("%d of 10000 ids are different", len(seen))
		}
	})
}
