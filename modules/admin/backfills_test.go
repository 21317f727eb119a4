package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// seedBackfills makes a rehearsal that ended, and a replay that is under way.
func seedBackfills(t *testing.T, b *bench, now time.Time) {
	t.Helper()
	change := settings.Pixel{ID: "px_shop"}
	for _, job := range []backfill.Job{
		{
			ID: "0193f2dd-0000-7000-8000-000000000001", State: backfill.Done, By: "ada@example.com", CreatedAt: now.Add(-time.Hour), StartedAt: now.Add(-time.Hour), EndedAt: now.Add(-50 * time.Minute),
			Spec:     backfill.Spec{PixelID: "px_shop", Events: []string{"purchase"}, Since: now.AddDate(0, 0, -7), Until: now, Change: &change},
			Progress: backfill.Progress{Read: 48_210, Chosen: 1_204, At: now.Add(-time.Hour), Pixel: "px_shop", Skipped: map[string]int64{"consent_withdrawn": 17, "erased": 2}},
			Report: &backfill.Report{Events: 1_185, Partners: []backfill.PartnerShift{{
				Partner: "ttd", Changed: 1_102, Rejections: map[string]int64{"no_identifier": 12},
				Before: backfill.Side{Events: 1_120, Value: map[string]float64{"GBP": 231_004.5}, Kept: map[string]int64{"consent": 65}},
				After:  backfill.Side{Events: 1_108, Value: map[string]float64{"GBP": 229_870.25}, Kept: map[string]int64{"consent": 65, "rejected: no_identifier": 12}},
				Fields: []backfill.FieldShift{
					{Path: "data[].tracker_id", Changed: 1_102, Before: jsontext.Value(`"trk9x2"`), After: jsontext.Value(`"trk9x3"`), EventID: "e"},
					{Path: "data[].td1", Added: 1_102, After: jsontext.Value(`"returning"`), EventID: "e"},
				},
			}}},
		},
		{
			ID: "0193f2dd-0000-7000-8000-000000000002", State: backfill.Running, By: "ada@example.com", CreatedAt: now.Add(-time.Minute), StartedAt: now.Add(-time.Minute),
			Spec:     backfill.Spec{PixelID: "px_us", Since: now.AddDate(0, 0, -2), Until: now, Partners: []string{"amazon"}, Storage: true, Rate: 500},
			Progress: backfill.Progress{Read: 20_000, Chosen: 20_000, Stored: 19_300, Queued: map[string]int64{"amazon": 410}, At: now.AddDate(0, 0, -1), Pixel: "px_us", Rate: 498},
		},
	} {
		body, err := json.Marshal(job)
		must(t, err)
		_, err = b.o.State.Put(t.Context(), "backfills", state.Document{ID: job.ID, Body: body})
		must(t, err)
	}
}

func TestABackfillIsAskedForWatchedCancelledAndResumed(t *testing.T) {
	b := open(t, allPartners)
	seed(t, b, time.Now())
	got := b.call(adminToken, post, base+"/backfills", map[string]any{"pixel_id": "px_shop", "events": []string{"purchase"}, "storage": true, "partners": []string{"ttd"}, "rate": 100})
	if got.status != 201 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var job backfill.Job
	must(t, json.Unmarshal([]byte(got.body), &job))
	if job.State != backfill.Waiting || job.Spec.Until.IsZero() || job.Spec.Rate != 100 || got.header.Get("Location") != base+"/backfills/"+job.ID {
		t.Errorf("%s", got.body)
	}
	for _, step := range []struct {
		path   string
		status int
		state  backfill.State
	}{{"/resume", 422, ""}, {"/cancel", 200, backfill.Cancelled}, {"/cancel", 422, ""}, {"/resume", 200, backfill.Waiting}} {
		got := b.call(adminToken, post, base+"/backfills/"+job.ID+step.path, nil)
		if got.status != step.status || step.state != "" && !strings.Contains(string(got.body), `"state":"`+string(step.state)+`"`) {
			t.Errorf("%s: %d %s", step.path, got.status, got.body)
		}
	}
	if got := b.call(adminToken, get, base+"/audit", nil); strings.Count(string(got.body), `"backfill.`) != 3 || !strings.Contains(string(got.body), "purchase of px_shop") {
		t.Errorf("the audit log is %s", got.body)
	}
	for name, c := range map[string]struct {
		path string
		body map[string]any
		says string
	}{
		"nowhere":              {"/backfills", map[string]any{}, "say where to"},
		"an unknown pixel":     {"/backfills", map[string]any{"storage": true, "pixel_id": "px_none"}, "no pixel"},
		"an unknown partner":   {"/backfills", map[string]any{"partners": []string{"acme"}}, "no partner"},
		"an unknown field":     {"/backfills", map[string]any{"storge": true}, "storge"},
		"no change":            {"/rehearsals", map[string]any{"pixel_id": "px_shop"}, "change"},
		"a change that is bad": {"/rehearsals", map[string]any{"pixel_id": "px_shop", "change": map[string]any{"routes": []any{map[string]any{"partner": "acme", "event": "purchase"}}}}, "is not a partner"},
		"a change of the id":   {"/rehearsals", map[string]any{"pixel_id": "px_shop", "change": map[string]any{"id": "px_x"}}, "cannot be changed"},
	} {
		if got := b.call(adminToken, post, base+c.path, c.body); got.status < 400 || got.status >= 500 || !strings.Contains(string(got.body), c.says) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	got = b.call(adminToken, post, base+"/rehearsals", map[string]any{"pixel_id": "px_shop", "change": map[string]any{"routes": []any{}}})
	if got.status != 201 || !strings.Contains(string(got.body), `"change":{`) {
		t.Errorf("a rehearsal: %d %s", got.status, got.body)
	}
}

// What the API's body does not say of a pixel stays as it is.
func TestAPatchLeavesTheRestOfAPixelAlone(t *testing.T) {
	b := open(t, allPartners)
	p := settings.Pixel{ID: "px_1", Name: "One", ConsentMode: settings.CMP, Enabled: true, Dry: true, Retention: settings.Retention{ArchiveDays: 30}, Processing: settings.Processing{Off: []string{"geo"}}}
	_, err := b.addPixel(t.Context(), principal{Kind: "user", Name: "ada", Role: Administrator}, p)
	must(t, err)
	if got := b.call(adminToken, patch, base+"/pixels/px_1", map[string]any{"name": "Two"}); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	is, _ := b.o.Settings.Pixel("px_1")
	if is.Name != "Two" || !is.Dry || is.Retention.ArchiveDays != 30 || len(is.Processing.Off) != 1 {
		t.Errorf("it is %+v", is)
	}
	if got := b.call(adminToken, patch, base+"/pixels/px_1", map[string]any{"retention": map[string]any{"archive_days": -1}}); got.status != 422 || !strings.Contains(string(got.body), "archive_days") {
		t.Errorf("%d %s", got.status, got.body)
	}
}
