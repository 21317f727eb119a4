package partner

import (
	"net/http"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
)

func TestSortFollowsTheTableThatAllPartnersShare(t *testing.T) {
	two := []event.Delivery{{Event: event.Event{ID: "a"}}, {Event: event.Event{ID: "b"}}}
	for status, want := range map[int]struct {
		outcome                 event.Outcome
		halve, newToken, paused bool
	}{
		200: {event.Accepted, false, false, false}, 204: {event.Accepted, false, false, false},
		301: {event.Rejected, false, false, false}, 400: {event.Rejected, false, false, false},
		401: {event.Retry, false, true, false}, 402: {event.Rejected, false, false, false},
		403: {event.Retry, false, false, true}, 404: {event.Rejected, false, false, false},
		408: {event.Retry, false, false, false}, 413: {event.Retry, true, false, false},
		422: {event.Rejected, false, false, false}, 429: {event.Retry, false, false, false},
		500: {event.Retry, false, false, false}, 502: {event.Retry, false, false, false},
		503: {event.Retry, false, false, false}, 504: {event.Retry, false, false, false},
	} {
		r := Sort(Answer{Status: status}, two)
		if len(r.Results) != 2 || r.Results[1].EventID != "b" || r.Results[0].Outcome != want.outcome ||
			r.Halve != want.halve || r.NewToken != want.newToken || (r.Pause != "") != want.paused {
			t.Errorf("%d: %+v", status, r)
		}
	}
	if r := Sort(Answer{Status: 413}, two[:1]); r.Halve || r.Results[0].Outcome != event.Rejected {
		t.Errorf("413 of one: %+v", r)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "99999999": 24 * time.Hour, "soon": 0,
		"Sun, 22 Nov 2026 10:02:00 GMT": 2 * time.Minute, "Sun, 22 Nov 2026 09:00:00 GMT": 0, "Sun, 22 Nov 2099 09:00:00 GMT": 24 * time.Hour,
	} {
		if got := RetryAfter(Answer{Header: http.Header{"Retry-After": {value}}, Now: now}); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
