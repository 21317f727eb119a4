package s3archive

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/clickhousetest"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/s3test"
)

// The query that docs/decisions/0006 shows, by a real engine on a real S3 server.
func TestClickHouseReadsABucketByS3(t *testing.T) {
	server := s3test.Start(t, "")
	engine := clickhousetest.Start(t, "")
	c := settings(t, server.Endpoint)
	a := open(t, c, 200)
	begin := time.Date(2026, 11, 20, 21, 30, 0, 0, time.UTC)
	want := map[string]string{}
	counts := map[string]int{}
	worth := map[string]int{}
	for n := range 6 {
		var page []event.Event
		for i := range 100 {
			at := begin.Add(time.Duration(n*100+i) * time.Minute / 2)
			e := event.Event{
				ID: fmt.Sprintf("e-%d-%02d", n, i), PixelID: []string{"px_a", "px_b"}[i%2], Name: []string{"page_view", "purchase"}[i/2%2],
				Receipt: "r", ReceivedAt: at, Time: at, Source: "web", Priority: event.Standard, Verdict: event.Verdict{State: event.Full},
			}
			if e.Name == "purchase" {
				e.Order = event.Order{ID: e.ID, Value: event.Amount(fmt.Sprintf("%d.25", i)), Currency: "EUR"}
				worth[at.Format(time.DateOnly)+"\t"+e.Name] += 100*i + 25
			}
			counts[at.Format(time.DateOnly)+"\t"+e.Name]++
			page = append(page, e)
		}
		if err := a.Write(t.Context(), page...); err != nil {
			t.Fatal(err)
		}
		if n%2 == 1 {
			if _, err := a.File(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The first hours are one file each, the later ones several.
	if err := a.Merge(t.Context(), time.Time{}, begin.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for k, n := range counts {
		sum := "\\N"
		if v := worth[k]; v > 0 {
			sum = fmt.Sprint(float64(v) / 100)
		}
		want[k] = fmt.Sprintf("%d\t%s", n, sum)
	}
	bucket := strings.TrimPrefix(c.URL, "s3://")
	from := fmt.Sprintf("s3('%s/%s/pixel=*/date=*/hour=*/*.parquet', '%s', '%s', 'Parquet')", server.Endpoint, bucket, os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"))
	got := map[string]string{}
	for _, line := range engine.Query(t, `SELECT toDate(received_at) AS day, name, count(), sum(value)
		FROM (SELECT * FROM `+from+` LIMIT 1 BY pixel_id, event_id) GROUP BY day, name ORDER BY day, name`) {
		f := strings.SplitN(line, "\t", 3)
		got[f[0]+"\t"+f[1]] = f[2]
	}
	for k := range want {
		if got[k] != want[k] {
			t.Errorf("%s: %q, not %q", k, got[k], want[k])
		}
	}
	if len(got) != len(want) || len(want) != 4 {
		t.Errorf("%d rows, of %d", len(got), len(want))
	}
	// A pixel and a day are read by their folders alone.
	if n := engine.Query(t, "SELECT count() FROM "+strings.Replace(strings.Replace(from, "pixel=*", "pixel=px_a", 1), "date=*", "date=2026-11-20", 1)); len(n) != 1 || n[0] != fmt.Sprint(150) {
		t.Errorf("of one pixel and day: %v", n)
	}
}
