package atrisk

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func body(id, value, currency string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"event":{"id":%q,"pixel_id":"px","time":%q,"order":{"id":"o-%s","value":%q,"currency":%q}},"partner":"acme"}`, id, at.Format(time.RFC3339), id, value, currency)
}

type boxes struct {
	waiting []queue.Waiting
	dead    []queue.DeadLetter
	endless bool
}

func (b boxes) Peek(_ context.Context, name, _ string, limit int) ([]queue.Waiting, string, error) {
	if name != queue.Partner("acme") {
		return nil, "", nil
	}
	if b.endless {
		return make([]queue.Waiting, limit), "more", nil
	}
	return b.waiting, "", nil
}

func (b boxes) Dead(context.Context, string, string, int) ([]queue.DeadLetter, string, error) {
	return b.dead, "", nil
}

func TestWhatIsAtRiskIsSummedAndTheMostUrgentComesFirst(t *testing.T) {
	b := boxes{
		waiting: []queue.Waiting{
			{Message: queue.Message{ID: "w1", Body: body("young", "100.00", "EUR", now.Add(-time.Hour))}},
			{Message: queue.Message{ID: "w2", Body: []byte(`{"event":{"id":"page","order":{}}}`)}}, // no money
			{Message: queue.Message{ID: "w3", Body: []byte(`not JSON`)}},
		},
		dead: []queue.DeadLetter{
			{ID: "d1", Reason: "http_400", Body: body("late", "40.10", "EUR", now.Add(-23*time.Hour))},
			{ID: "d2", Reason: "too_old", Body: body("gone", "1000.20", "EUR", now.Add(-25*time.Hour))},
			{ID: "d3", Reason: "http_400", Body: body("pounds", "5", "GBP", now.Add(-time.Hour))},
		},
	}
	r, err := Look(t.Context(), b, []Partner{{"acme", 24 * time.Hour}}, now, 3)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, i := range r.Items {
		got += i.EventID + " "
	}
	if got != "late young pounds " || !r.Items[0].Deadline.Equal(now.Add(time.Hour)) || r.Items[0].ID != "d1" {
		t.Errorf("order %s: %+v", got, r.Items)
	}
	sums := map[string]string{}
	for _, s := range r.Sums {
		sums[s.State+" "+s.Currency] = fmt.Sprint(s.Count, " ", s.Value, " ", s.Expired)
	}
	if sums["dead EUR"] != "2 1040.30 1000.20" || sums["waiting EUR"] != "1 100.00 0.00" || sums["dead GBP"] != "1 5.00 0.00" || len(sums) != 3 {
		t.Errorf("sums %v", sums)
	}
}

func TestALookIsBounded(t *testing.T) {
	r, err := Look(t.Context(), boxes{endless: true}, []Partner{{"acme", time.Hour}}, now, 10)
	if err != nil || len(r.Partial) != 1 || r.Partial[0] != "s2s:acme" {
		t.Errorf("%v, %+v", err, r.Partial)
	}
}
