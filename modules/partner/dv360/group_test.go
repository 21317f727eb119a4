package dv360

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

func TestWhatSharesARequest(t *testing.T) {
	group := func(settings, params string) string {
		return partner.GroupIn(New(), partner.Batch{Settings: jsontext.Value(settings)}, event.Delivery{Params: jsontext.Value(params)})
	}
	const cm, dm = `{}`, `{"api":"data_manager"}`
	base := `"floodlight_configuration_id":"1"`
	same := func(settings, a, b string) bool {
		return group(settings, "{"+base+","+a+"}") == group(settings, "{"+base+","+b+"}")
	}
	for name, c := range map[string]struct {
		settings, a, b string
		same           bool
	}{
		"activities of one profile":                {cm, `"profile_id":"7","floodlight_activity_id":"2"`, `"profile_id":"7","floodlight_activity_id":"3"`, true},
		"two profiles":                             {cm, `"profile_id":"7","floodlight_activity_id":"2"`, `"profile_id":"8","floodlight_activity_id":"2"`, false},
		"inserts and updates":                      {cm, `"profile_id":"7"`, `"profile_id":"7","operation":"enhance"`, false},
		"two sources of encrypted ids":             {cm, `"profile_id":"7","encryption_source":"DATA_TRANSFER"`, `"profile_id":"7"`, false},
		"activities at the Data Manager":           {dm, `"floodlight_activity_id":"2"`, `"floodlight_activity_id":"3"`, false},
		"profiles are nothing to the Data Manager": {dm, `"profile_id":"7","floodlight_activity_id":"2"`, `"floodlight_activity_id":"2"`, true},
	} {
		if got := same(c.settings, c.a, c.b); got != c.same {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLimitsAreThoseOfTheAPI(t *testing.T) {
	for settings, want := range map[string]partner.Limits{
		`{}`: {Items: 1000, Age: 28 * day}, `{"api":"data_manager"}`: {Items: 2000, Age: 28 * day, PerSecond: 5, PerDay: 100_000},
		`{"api":"data_manager","max_age_days":60}`: {Items: 2000, Age: 60 * day, PerSecond: 5, PerDay: 100_000}, `{"max_age_days":60}`: {Items: 1000, Age: 28 * day},
	} {
		got := partner.LimitsIn(New(), partner.Batch{Settings: jsontext.Value(settings)})
		got.Bytes, got.Timeout, got.Linger = 0, 0, 0
		if got != want {
			t.Errorf("%s: %+v, want %+v", settings, got, want)
		}
	}
}

func TestBothAPIsFollowARedirectedEndpoint(t *testing.T) {
	for configured, want := range map[string]string{
		"": dataManagerURL, cm360URL: dataManagerURL, dataManagerURL + "/": dataManagerURL, "http://localhost:9090/dv360": "http://localhost:9090/dv360", "http://localhost:9090/dv360/": "http://localhost:9090/dv360",
	} {
		if got := base(configured, dataManagerURL); got != want {
			t.Errorf("%q: %s, want %s", configured, got, want)
		}
	}
}

func TestADailyQuotaIsFullAgainAtMidnightOfThePacific(t *testing.T) {
	g := readRefusal([]byte(`{"error":{"details":[{"metadata":{"quota_limit":"IngestionMutateRequestsPerDayPerProject"}}]}}`))
	for at, want := range map[string]time.Duration{"2026-11-22T10:00:00Z": 22 * time.Hour, "2026-11-22T07:59:00Z": time.Minute, "2026-11-22T08:00:00Z": 24 * time.Hour} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := dailyQuota(g, now); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}
