package consent

import (
	"reflect"
	"testing"

	"github.com/miq/pixel/modules/event"
)

func TestPartialKeepsTheCampaignThatLedHereAndForgetsTheClick(t *testing.T) {
	const tab, when = "01a213af-e54d-7dcd-8af2-0da9b7592635", "2026-11-25T10:00:00.000Z"
	e := event.Event{Seq: 7, Context: event.Context{Tab: tab, Touch: event.Touches{
		First: event.Touch{Time: when, Referrer: "https://www.google.com/search?q=me", Params: map[string]string{"utm_source": "news", "utm_email": "x", "gclid": "1"}},
		Last:  event.Touch{Time: "ada@example.com", Params: map[string]string{"gclid": "2"}},
	}}}
	Strip(&e, event.Partial, nil)
	want := event.Touches{First: event.Touch{Time: when, Referrer: "https://www.google.com", Params: map[string]string{"utm_source": "news"}}}
	if e.Seq != 7 || e.Context.Tab != tab || !reflect.DeepEqual(e.Context.Touch, want) {
		t.Errorf("%d of %s after %+v", e.Seq, e.Context.Tab, e.Context.Touch)
	}
}
