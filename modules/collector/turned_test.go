package collector

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/pressure"
	"github.com/miq/pixel/modules/queue"
)

// crowd is a backlog of so many events.
type crowd int

func (c *crowd) Stats(context.Context) ([]queue.Stats, error) {
	return []queue.Stats{{Queue: "ingest:low", Ready: int(*c)}}, nil
}

func TestUnderPressureLowPriorityIsTurnedAwayFirstAndEachEventIsTold(t *testing.T) {
	var waiting crowd
	g := pressure.New(pressure.Options{Limits: pressure.Limits{Depth: 100}, Queues: &waiting, Log: slog.New(slog.DiscardHandler)})
	f := newFixture(t, func(o *Options) { o.Pressure = g })
	mixed := `{"pixel_id":"px_demo","consent":{"gdpr_applies":false,"tcf":"","gcm":{"ad_storage":"granted","ad_user_data":"granted","ad_personalization":"granted","analytics_storage":"granted"},"state":"full"},"events":[{"id":"a1","name":"scroll"},{"id":"a2","name":"page_view"},{"id":"a3","name":"purchase"}]}`
	low := strings.Replace(mixed, `,{"id":"a2","name":"page_view"},{"id":"a3","name":"purchase"}`, "", 1)
	for _, c := range []struct {
		waiting crowd
		status  int
		stored  string // ids
		lowOnly int    // the status of an envelope with nothing but low priority
	}{
		{79, 202, "a3 a2 a1", 202},
		{85, 202, "a3 a2", 503},
		{95, 202, "a3", 503},
		{100, 503, "", 503},
		{86, 202, "a3", 503}, // not at once: it would flicker
		{74, 202, "a3 a2 a1", 202},
	} {
		waiting = c.waiting
		g.Look(t.Context())
		w := f.post(mixed)
		if w.Code != c.status {
			t.Fatalf("with %d waiting: status %d, want %d: %s", c.waiting, w.Code, c.status, w.Body)
		}
		var ids []string
		for _, e := range f.everything() {
			ids = append(ids, e.ID)
		}
		if got := strings.Join(ids, " "); got != c.stored {
			t.Errorf("with %d waiting: stored %q, want %q", c.waiting, got, c.stored)
		}
		turned := 3 - len(ids)
		if n := strings.Count(w.Body.String(), `"code":"overloaded"`); w.Code == 202 && n != turned {
			t.Errorf("with %d waiting: %d events are told that they were turned away, want %d: %s", c.waiting, n, turned, w.Body)
		}
		wait, err := strconv.Atoi(w.Header().Get("Retry-After"))
		if (turned > 0) != (err == nil && wait > 0) {
			t.Errorf("with %d waiting: Retry-After is %q though %d were turned away", c.waiting, w.Header().Get("Retry-After"), turned)
		}
		if w := f.post(low); w.Code != c.lowOnly || w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
			t.Errorf("with %d waiting: low priority alone got %d, Retry-After %q, want %d", c.waiting, w.Code, w.Header().Get("Retry-After"), c.lowOnly)
		}
		f.everything()
	}
}

// TestASegmentBatchIsNotTurnedAwayForOneMessage: what is admitted is taken in.
func TestASegmentBatchIsNotTurnedAwayForOneMessage(t *testing.T) {
	waiting := crowd(85) // low priority is turned away
	g := pressure.New(pressure.Options{Limits: pressure.Limits{Depth: 100}, Queues: &waiting, Log: slog.New(slog.DiscardHandler)})
	g.Look(t.Context())
	f := newFixture(t, func(o *Options) { o.Pressure = g })
	low := `{"type":"track","event":"scroll","messageId":"m-low","anonymousId":"a"}`
	high := `{"type":"track","event":"purchase","messageId":"m-high","anonymousId":"a"}`
	send := func(messages string) *httptest.ResponseRecorder {
		return f.do("POST", "/v1/batch", strings.NewReader(`{"writeKey":"px_demo","batch":[`+messages+`]}`), "Content-Type", "application/json")
	}
	w := send(low + "," + high)
	events := f.everything()
	if w.Code != http.StatusOK || len(events) != 1 || events[0].ID != "m-high" || !strings.Contains(w.Body.String(), overloaded.Code) || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s; stored %+v", w.Code, w.Body, events)
	}
	if w := send(low + "," + low); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("nothing was admitted: %d %s", w.Code, w.Body)
	}
}

func TestAClippedTextEndsWithAWholeCharacter(t *testing.T) {
	for n, want := range []string{"…", "…", "é…", "é…", "éé"} {
		if got := clip("éé", n); got != want {
			t.Errorf("clipped to %d: %q, want %q", n, got, want)
		}
	}
}

// graves are so many validation dead letters.
type graves int

func (g *graves) Stats(context.Context) ([]queue.Stats, error) {
	return []queue.Stats{{Queue: queue.Validation, Ready: int(*g)}}, nil
}

func TestWhereThereAreTooManyDeadLettersWhatIsRefusedIsOnlyCounted(t *testing.T) {
	var there graves
	g := pressure.New(pressure.Options{Limits: pressure.Limits{Refusals: 10}, Queues: &there, Log: slog.New(slog.DiscardHandler)})
	f := newFixture(t, func(o *Options) { o.Pressure = g })
	body := `{"pixel_id":"px_demo","events":[{"id":"good","name":"page_view"},{"id":"bad","name":""}]}`
	for _, c := range []struct {
		there graves
		more  int
	}{{9, 1}, {10, 0}, {11, 0}, {9, 1}} {
		there = c.there
		g.Look(t.Context())
		w := f.post(body)
		if w.Code != http.StatusAccepted || !strings.Contains(w.Body.String(), `"accepted":1,"rejected":1`) {
			t.Fatalf("with %d dead letters: %d %s", c.there, w.Code, w.Body)
		}
		if n := len(f.dead()); n != c.more {
			t.Errorf("with %d dead letters %d more are written, not %d", c.there, n, c.more)
		}
	}
}
