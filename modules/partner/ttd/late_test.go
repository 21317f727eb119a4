package ttd

import (
	"context"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

func TestLateEventsHaveAGroupAndAnAgeOfTheirOwnOnceTheyHaveSomewhereToGo(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	d := func(age time.Duration) event.Delivery {
		return event.Delivery{Params: jsontext.Value(`{"adv":"a","tracker_id":"t"}`), Event: event.Event{Name: "purchase", Time: now.Add(-age)}}
	}
	nowhere := partner.Batch{Now: now}
	half := partner.Batch{Now: now, Settings: jsontext.Value(`{"data_provider_id":"p"}`)}
	set := partner.Batch{Now: now, Settings: jsontext.Value(`{"data_provider_id":"p","offline_age_days":10}`), Credentials: map[string]string{"data_api_token": "x"}}
	for name, c := range map[string]struct {
		batch partner.Batch
		apart bool
		age   time.Duration
	}{
		"nothing set": {nowhere, false, 24 * time.Hour}, "no token": {half, false, 24 * time.Hour}, "both set": {set, true, 240 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			fresh, late := partner.GroupIn(New(), c.batch, d(time.Hour)), partner.GroupIn(New(), c.batch, d(25*time.Hour))
			if (fresh != late) != c.apart {
				t.Errorf("groups %q and %q", fresh, late)
			}
			if got := partner.AgeLimit(New(), c.batch); got != c.age {
				t.Errorf("age limit %s, want %s", got, c.age)
			}
		})
	}
}

func TestGroupsKeepTagsAndNamesApart(t *testing.T) {
	group := func(name, params string) string {
		return New().Group(event.Delivery{Params: jsontext.Value(params), Event: event.Event{Name: name}})
	}
	base := group("purchase", `{"adv":"a","tracker_id":"t"}`)
	for name, other := range map[string]string{
		"advertiser": group("purchase", `{"adv":"b","tracker_id":"t"}`), "tracker": group("purchase", `{"adv":"a","tracker_id":"u"}`),
		"event": group("page_view", `{"adv":"a","tracker_id":"t"}`), "merchant": group("purchase", `{"merchant_id":"a","tracker_id":"t"}`),
	} {
		if other == base {
			t.Errorf("another %s has the same group", name)
		}
	}
	if group("a", `{"adv":"a","upixel_id":"u"}`) != group("b", `{"adv":"a","upixel_id":"u"}`) {
		t.Error("a universal pixel takes no names, and yet they part its groups")
	}
}

func TestLateEventsFollowARedirectedEndpoint(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for configured, want := range map[string]string{
		"":          "https://offlineattrib.adsrvr.org/providerapi/offlineconversion",
		realTimeURL: "https://offlineattrib.adsrvr.org/providerapi/offlineconversion",
		"http://localhost:9090/ttd/track/realtimeconversion": "http://localhost:9090/ttd/providerapi/offlineconversion",
		"https://proxy.example.com/other?x=1":                "https://proxy.example.com/providerapi/offlineconversion",
	} {
		b := partner.Batch{
			Now: now, Endpoint: configured, Settings: jsontext.Value(`{"data_provider_id":"p"}`), Credentials: map[string]string{"data_api_token": "x"},
			Deliveries: []event.Delivery{{
				Params: jsontext.Value(`{"adv":"a","tracker_id":"t"}`), Permission: event.Allowed,
				Event: event.Event{
					ID: "1", Name: "page_view", Time: now.Add(-48 * time.Hour), Verdict: event.Verdict{Regime: "default"},
					Consent: event.Consent{}, Subject: event.Subject{PartnerIDs: map[string]string{"tdid": "11111111-2222-3333-4444-555555555555"}},
				},
			}},
		}
		req, refused, err := New().Encode(context.Background(), b)
		if err != nil || len(refused) > 0 || req == nil {
			t.Fatalf("%q: %v %v", configured, refused, err)
		}
		if req.URL.String() != want {
			t.Errorf("%q: sent to %s, want %s", configured, req.URL, want)
		}
	}
}
