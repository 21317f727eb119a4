package collector

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

// tasks are what changes of consent left to do, which it takes out of the queue.
func (f *fixture) tasks() []consent.Task {
	f.t.Helper()
	var out []consent.Task
	for _, m := range f.messages(queue.Consent) {
		task, err := consent.DecodeTask(m.Body)
		if err != nil {
			f.t.Fatal(err)
		}
		out = append(out, task)
	}
	return out
}

func (f *fixture) newest(visitor string) *consent.Newest {
	f.t.Helper()
	n, err := consent.Load(f.t.Context(), f.keys, consent.Visitor{PixelID: "px_demo", ID: visitor})
	if err != nil {
		f.t.Fatal(err)
	}
	return n[0]
}

// TestAnEventThatAllowsLessIsAWithdrawal goes through the doors and what they may say
// of a visitor who allowed everything before.
func TestAnEventThatAllowsLessIsAWithdrawal(t *testing.T) {
	collect := func(consent string) func(f *fixture) http.Header {
		return func(f *fixture) http.Header {
			return f.post(`{"pixel_id":"px_demo","identity":{"anonymous_id":"anon-1"},"consent":{`+consent+`},"events":[{"name":"page_view"}]}`, "Cookie", "_miq_id=anon-1").Header()
		}
	}
	image := func(query string) func(f *fixture) http.Header {
		return func(f *fixture) http.Header {
			return f.image("pid=px_demo&e=page_view"+query, "Cookie", "_miq_id=anon-1").Header()
		}
	}
	for name, c := range map[string]struct {
		send    func(f *fixture) http.Header
		state   event.State // known afterwards
		revoked bool
	}{
		"the tag says none":                       {collect(`"state":"none"`), event.None, true},
		"a TC string that refuses":                {collect(`"gdpr_applies":true,"tcf":"` + refusing + `"`), event.None, true},
		"the tag says partial":                    {collect(`"state":"partial"`), event.Partial, false},
		"an opt-out of sale":                      {collect(`"us_privacy":"1YYN"`), event.Partial, false},
		"full again":                              {collect(`"state":"full"`), event.Full, false},
		"GDPR and nothing else is no refusal":     {collect(`"gdpr_applies":true`), event.Full, false},
		"nor is a macro that was never filled in": {collect(`"gdpr_applies":true,"tcf":"${GDPR_CONSENT_101}"`), event.Full, false},
		"an image with a TC string that refuses":  {image("&gdpr=1&gdpr_consent=" + refusing), event.None, true},
		"an image with an opt-out":                {image("&us_privacy=1YYN"), event.Partial, false},
		"an image with a GPP opt-out":             {image("&gpp=DBABLA~BkaVACQIiaA.YA&gpp_sid=7"), event.Partial, false},
		"an image that says nothing, under GDPR":  {image("&gdpr=1"), event.Full, false},
		"an image by somebody else's cookie alone": {func(f *fixture) http.Header {
			return f.image("pid=px_demo&e=page_view&cid=other&gdpr=1&gdpr_consent=" + refusing).Header()
		}, event.Full, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			w := f.do("POST", "/consent", strings.NewReader(`{"pixel_id":"px_demo","anonymous_id":"anon-1","state":"full"}`))
			if w.Code != http.StatusAccepted {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			f.tasks()
			header := c.send(f)
			n := f.newest("anon-1")
			if n.Verdict.State != c.state || !n.Revoked.IsZero() != c.revoked {
				t.Errorf("known afterwards: %+v", n.Verdict)
			}
			taken := strings.Contains(header.Get("Set-Cookie"), "_miq_id=; Path=/; Max-Age=0")
			if taken != c.revoked && !strings.Contains(name, "GDPR and nothing") && !strings.Contains(name, "macro") {
				t.Errorf("Set-Cookie %q", header.Get("Set-Cookie"))
			}
			var forgotten, receipts int
			for _, task := range f.tasks() {
				receipts += len(task.Receipts)
				if task.Forget.ID == "anon-1" {
					forgotten++
				}
			}
			if (forgotten == 1) != c.revoked || (receipts > 0) != (c.state != event.Full) {
				t.Errorf("%d to forget, %d receipts", forgotten, receipts)
			}
		})
	}
}

// TestAWithdrawalThatCannotBeRecordedIsAskedForAgain: otherwise it would be lost.
func TestAWithdrawalThatCannotBeRecordedIsAskedForAgain(t *testing.T) {
	f := newFixture(t)
	f.keys.Close()
	w := f.post(`{"pixel_id":"px_demo","identity":{"anonymous_id":"anon-1"},"consent":{"state":"none"},"events":[{"name":"page_view"}]}`)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// refusing is a TC string of November 2026 by which the visitor refused everything.
const refusing = "CQtAQoAQtAQoAB7ABBENCWFgAAAAAAAAAAYgAAAAAAAA.IGMgAACIAAAAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgAAAAAI"

// TestAPageThatClosesStillWithdraws: its request is cancelled before the answer.
func TestAPageThatClosesStillWithdraws(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "POST", "/consent", strings.NewReader(`{"pixel_id":"px_demo","anonymous_id":"anon-1","state":"none"}`))
	w := httptest.NewRecorder()
	f.echo.ServeHTTP(w, r)
	if n := f.newest("anon-1"); w.Code != http.StatusAccepted || n == nil || n.Revoked.IsZero() {
		t.Errorf("%d %s; known afterwards: %+v", w.Code, w.Body, n)
	}
	if tasks := f.tasks(); len(tasks) != 1 || tasks[0].Forget.ID != "anon-1" {
		t.Errorf("left to do: %+v", tasks)
	}
}

// TestPartialConsentIsTakenInWhileTheStateIsAway: the worker records it from the event.
func TestPartialConsentIsTakenInWhileTheStateIsAway(t *testing.T) {
	f := newFixture(t)
	f.keys.Close()
	w := f.post(`{"pixel_id":"px_demo","identity":{"anonymous_id":"anon-1"},"consent":{"state":"partial"},"events":[{"name":"page_view"}]}`)
	events := f.everything()
	if w.Code != http.StatusAccepted || len(events) != 1 || events[0].Verdict.State != event.Partial || events[0].Subject.AnonymousID != "anon-1" || !consent.Stated(events[0].Verdict, events[0].Consent) {
		t.Errorf("%d %s; stored %+v", w.Code, w.Body, events)
	}
	w = f.post(`{"pixel_id":"px_demo","identity":{"anonymous_id":"anon-1"},"consent":{"state":"partial"},"events":[{"name":"page_view"}]}`, "Cookie", "_miq_id=anon-2")
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("the event does not name the cookie's visitor, and %d %s", w.Code, w.Body)
	}
}

// fullQueue takes nothing while it is full.
type fullQueue struct {
	queue.Pusher
	full atomic.Bool
}

func (q *fullQueue) Push(ctx context.Context, items ...queue.Item) error {
	if q.full.Load() {
		return queue.ErrFull
	}
	return q.Pusher.Push(ctx, items...)
}

// TestARepeatedWithdrawalIsFollowedUp where the first was recorded and no more.
func TestARepeatedWithdrawalIsFollowedUp(t *testing.T) {
	var q *fullQueue
	f := newFixture(t, func(o *Options) {
		q = &fullQueue{Pusher: o.Queue}
		o.Queue = q
	})
	f.do("POST", "/consent", strings.NewReader(`{"pixel_id":"px_demo","anonymous_id":"anon-1","state":"full"}`))
	f.tasks()
	q.full.Store(true)
	none := `{"pixel_id":"px_demo","identity":{"anonymous_id":"anon-1"},"consent":{"state":"none"},"events":[{"name":"page_view"}]}`
	if w := f.post(none); w.Code != http.StatusServiceUnavailable || f.newest("anon-1").Revoked.IsZero() {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	q.full.Store(false)
	if w := f.post(none); w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	tasks := f.tasks()
	if len(tasks) != 1 || tasks[0].Forget.ID != "anon-1" || len(tasks[0].Receipts) != 1 || tasks[0].Receipts[0].Verdict.State != event.None {
		t.Errorf("left to do: %+v", tasks)
	}
}

// TestABatchTellsOfAWithdrawalOnce however many of its messages say so.
func TestABatchTellsOfAWithdrawalOnce(t *testing.T) {
	f := newFixture(t)
	f.do("POST", "/consent", strings.NewReader(`{"pixel_id":"px_demo","anonymous_id":"a","state":"full"}`))
	f.tasks()
	says := func(analytics string) string {
		return `{"type":"track","event":"x","anonymousId":"a","context":{"consent":{"categoryPreferences":{"Analytics":` + analytics + `,"Advertising":false}}}}`
	}
	code, _ := f.segment("/v1/batch", `{"writeKey":"px_demo","batch":[`+says("true")+`,`+says("true")+`,`+says("false")+`,`+says("false")+`]}`)
	tasks := f.tasks()
	if code != http.StatusOK || len(tasks) != 2 || tasks[0].Forget.ID != "" || tasks[1].Forget.ID != "a" {
		t.Errorf("%d, left to do: %+v", code, tasks)
	}
}
