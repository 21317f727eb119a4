package collector

import (
	"testing"
	"time"

	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

func TestWhateverComesIsInTheBooksAndTheyBalance(t *testing.T) {
	f := newFixture(t)
	for _, body := range []string{
		`{"pixel_id":"px_demo","events":[{"name":"page_view"},{"name":"1st"},{"name":"purchase","properties":{"value":5,"currency":"GBP"}},{"name":"scroll"},{"name":"scroll"}]}`,
		`{"pixel_id":"px_demo","events":[{"name":"1st"},{"name":"2nd"}]}`,
		`{"pixel_id":"px_demo","events":[{"name":"scroll"}]}`,
		`{"pixel_id":"px_cmp","consent":{"gdpr_applies":true},"events":[{"name":"purchase"},{"name":"page_view"},{"name":"bad name"}]}`,
		`{"pixel_id":"px_demo","events":[{"name":"page_view"}`,
		`{"pixel_id":"px_nobody","events":[{"name":"page_view"}]}`,
	} {
		f.post(body)
	}
	f.do("GET", "/pixel.gif?pid=px_demo&e=page_view", nil)
	now := queue.Hour(time.Now())
	counts, err := f.queue.Counts(t.Context(), now-1, now+1)
	if err != nil {
		t.Fatal(err)
	}
	if found := (ledger.Reading{Before: counts, After: counts}).Check(); len(found) > 0 {
		t.Errorf("not balanced: %+v", found)
	}
	sums := map[string]ledger.Book{}
	for _, b := range ledger.Books(counts) {
		sum := sums[b.Pixel]
		sum.Add(b)
		sums[b.Pixel] = sum
	}
	for pixel, want := range map[string]ledger.Book{
		"px_demo": {Received: 9, Rejected: 3, Accepted: 6, Waiting: 6},
		"px_cmp":  {Received: 3, Rejected: 1, Suppressed: 2},
	} {
		if b := sums[pixel]; b.Received != want.Received || b.Rejected != want.Rejected || b.Suppressed != want.Suppressed || b.Accepted != want.Accepted || b.Waiting != want.Waiting {
			t.Errorf("%s: %+v, want %+v", pixel, b, want)
		}
	}
	if len(sums) != 2 {
		t.Errorf("books of %v", sums)
	}
}
