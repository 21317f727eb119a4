package sqliteanalytics

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/event"
)

// BenchmarkCredits asks of what a million events of shops leave in a month: 15,000
// conversions of two or three touchpoints by six models, and 160,000 visits.
func BenchmarkCredits(b *testing.B) {
	s := openAt(b, filepath.Join(b.TempDir(), "analytics.db"))
	r := rand.New(rand.NewPCG(1, 9))
	const visits, month = 160_000, 30 * 24 * time.Hour
	visit := func(i, visitor int) event.Touchpoint {
		channel := [...]string{"paid_search", "organic_search", "direct", "email", "display"}[r.IntN(5)]
		return event.Touchpoint{
			ID: fmt.Sprintf("%020x", i), PixelID: "px_shop", VisitorID: fmt.Sprintf("%036x", visitor), EventID: fmt.Sprintf("%036x", i),
			At: analyticstest.Begin.Add(month / visits * time.Duration(i)), Kind: event.CampaignVisit, Channel: channel, Source: channel, Campaign: fmt.Sprintf("campaign-%02d", r.IntN(40)),
		}
	}
	before := map[int][]event.Touchpoint{}
	var batch analytics.Batch
	for i := range visits {
		visitor := r.IntN(visits / 2)
		t := visit(i, visitor)
		batch.Touches = append(batch.Touches, t)
		before[visitor] = append(before[visitor], t)
		if i%11 == 0 {
			path := before[visitor]
			for _, model := range []string{"last_non_direct", "first", "last", "linear", "time_decay", "position"} {
				c := event.Credits{PixelID: "px_shop", EventID: fmt.Sprint("sale-", i), Model: model, Version: 1, Name: "purchase", VisitorID: t.VisitorID, At: t.At, ReceivedAt: t.At, Currency: "GBP", Value: 1e7}
				for k := range path {
					c.Shares = append(c.Shares, event.Share{Touchpoint: path[k], Weight: int64(event.Whole / len(path)), Value: int64(1e7 / len(path))})
				}
				batch.Credits = append(batch.Credits, c)
			}
		}
		if len(batch.Touches) == 1000 {
			must(b, s.WriteBatch(b.Context(), batch))
			batch = analytics.Batch{}
		}
	}
	since, until := analyticstest.Begin.Add(90*time.Minute), analyticstest.Begin.Add(month+time.Hour)
	// What else the machine does is not to count.
	measure := func(b *testing.B, do func()) {
		begun, n := cpu(), 0
		for b.Loop() {
			do()
			n++
		}
		b.ReportMetric(float64((cpu()-begun).Microseconds())/1000/float64(n), "ms-cpu/op")
	}
	for _, first := range []bool{true, false} {
		name := map[bool]string{true: "first", false: "again"}[first]
		forget := func() {
			if first {
				s.owed.known, s.touched.known = nil, nil
			}
		}
		for _, dimension := range []string{"channel", "campaign"} {
			b.Run(name+"/"+dimension, func(b *testing.B) {
				measure(b, func() {
					forget()
					_, err := s.Attribution(b.Context(), analytics.AttributionQuery{Models: []string{"last_non_direct", "first", "last", "linear", "time_decay", "position"}, Dimension: dimension, Since: since, Until: until})
					must(b, err)
				})
			})
		}
		b.Run(name+"/paths", func(b *testing.B) {
			measure(b, func() {
				forget()
				_, err := s.Paths(b.Context(), analytics.PathQuery{Since: since, Until: until})
				must(b, err)
			})
		})
	}
}
