package consent

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTheCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	c := newCache(64<<10, Parse)
	hot, _ := c.parse(acceptAll)
	for i := range 5000 {
		_, _ = c.parse(fmt.Sprintf("C%0200d", i))
		again, _ := c.parse(acceptAll)
		if again != hot {
			t.Fatal("a string in use was forgotten")
		}
	}
	// At 900 bytes each, either generation holds no more than 40 strings.
	assert.Less(t, len(c.young), 40)
	assert.Less(t, len(c.old), 40)
}

func TestTheCacheRemembersErrorsAndRefusesGiants(t *testing.T) {
	c := newCache(1<<20, Parse)
	_, first := c.parse("garbage")
	_, second := c.parse("garbage")
	assert.Same(t, first, second)
	_, err := c.parse(strings.Repeat("C", 1<<20))
	assert.Error(t, err)
	assert.Len(t, c.young, 1)
}

func TestTheCacheServesManyAtOnce(t *testing.T) {
	d := New(Options{CacheBytes: 8 << 10})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				s := build(tc{consents: every, vendors: partners, made: now.Add(-time.Duration(i%20+g) * 24 * time.Hour)})
				if _, err := d.tcs.parse(s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Different strings grow with a site's visitors: those of two million need as little
// decoding as those of ten thousand.
func TestTenThousandStringsAreDecodedOnceEach(t *testing.T) {
	d := New(Options{})
	decoded := 0
	d.tcs.decode = func(string) (*TCString, error) { decoded++; return &TCString{}, nil }
	for range 3 {
		for i := range 10_000 {
			if _, err := d.tcs.parse(fmt.Sprintf("%0315d", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if decoded != 10_000 {
		t.Errorf("%d were decoded", decoded)
	}
}
