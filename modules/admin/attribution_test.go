package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// seedCredits stores a few conversions with their paths.
func seedCredits(t *testing.T, b *bench, now time.Time) {
	t.Helper()
	var sets []event.Credits
	channels := []string{"paid_search", "email", "display", "organic_search", "direct"}
	for i := range 40 {
		c := &attribution.Conversion{EventID: fmt.Sprint("conversion-", i), Name: "purchase", At: now.Add(-time.Hour), ReceivedAt: now.Add(-time.Duration(i) * time.Hour), Currency: []string{"EUR", "GBP"}[i%2], Value: int64(20+i) * 1e6, Version: 1}
		var path []attribution.Touch
		for k := range 1 + i%3 {
			path = append(path, attribution.Touch{Touchpoint: event.Touchpoint{ID: fmt.Sprintf("%020x", i*10+k), PixelID: "px_shop", VisitorID: fmt.Sprint("v", i), At: now.Add(-time.Duration(5-k) * 24 * time.Hour), Kind: event.CampaignVisit, Channel: channels[(i+k*2)%5], Campaign: []string{"spring sale", ""}[k%2]}})
		}
		for _, m := range attribution.Models {
			sets = append(sets, attribution.Give("px_shop", "v", m, c, path, attribution.Weigh(m, path, c.At, &settings.Attribution{})))
		}
	}
	must(t, b.store.WriteCredits(t.Context(), sets...))
	must(t, b.store.WriteTouches(t.Context(), event.Touchpoint{ID: "lost", PixelID: "px_shop", VisitorID: "w", At: now.Add(-time.Hour), Kind: event.DirectVisit, Channel: "direct"}))
}

func TestModelsStandSideBySide(t *testing.T) {
	b := open(t, allPartners)
	seedCredits(t, b, time.Now())
	got := b.call(adminToken, get, base+"/reports/attribution?model=first,last&dimension=channel", nil)
	if got.status != http.StatusOK || !strings.Contains(got.body, `"first":{"conversions":`) || !strings.Contains(got.body, `"last":{"conversions":`) || strings.Contains(got.body, `"linear":`) {
		t.Errorf("%d %.600s", got.status, got.body)
	}
	total := ask[attributionReport](b, get, base+"/reports/attribution?model=first,last", nil, 200).Total
	if total["first"].Conversions != 40 || total["last"].Conversions != 40 || len(total) != 2 {
		t.Errorf("in all: %+v", total)
	}
	got = b.call(adminToken, get, base+"/reports/attribution?format=csv", nil)
	if !strings.HasPrefix(got.body, "channel,model,conversions,revenue_EUR,refunded_EUR,revenue_GBP,refunded_GBP\n") && !strings.Contains(got.body, "channel,model,conversions,revenue_EUR") {
		t.Errorf("%.300s", got.body)
	}
	got = b.call(adminToken, get, base+"/reports/attribution/paths?limit=5", nil)
	if got.status != http.StatusOK || !strings.Contains(got.body, `"steps":["`) {
		t.Errorf("%d %.300s", got.status, got.body)
	}
	got = b.call(adminToken, get, base+"/reports/attribution?model=first,worst", nil)
	if got.status != http.StatusBadRequest || !strings.Contains(got.body, "last_non_direct") {
		t.Errorf("%d %.300s", got.status, got.body)
	}
	if got = b.call(adminToken, post, base+"/reports/attribution/run", nil); got.status != http.StatusAccepted {
		t.Errorf("%d %.300s", got.status, got.body)
	}
	if _, asked, err := attribution.LastRun(t.Context(), b.state); err != nil || !asked {
		t.Errorf("asked: %v, %v", asked, err)
	}
}

func TestARoutesRulesAreCheckedTriedAndKept(t *testing.T) {
	b := open(t, allPartners)
	seed(t, b, time.Now())
	w := b.as(Administrator)
	p, err := b.pixel(t.Context(), "px_shop")
	must(t, err)
	form := func(change url.Values) url.Values {
		v := url.Values{"n": {"-1"}, "partner": {"ttd"}, "event": {"purchase"}, "mode": {"on"}, "revision": {fmt.Sprint(p.Revision)}, "p.adv": {"adv1"}, "p.tracker_id": {"t1"}}
		for k, x := range change {
			v[k] = x
		}
		return v
	}
	for says, change := range map[string]url.Values{
		"column 1: undeclared reference to &#39;valeu&#39;": {"when": {"valeu > 1"}},
		"params.td1: column 1":                              {"map": {"params.td1 = plan"}},
		"line 1 is not":                                     {"map": {"nothing"}},
		"a number of percent":                               {"sample": {"some"}},
		"at most 100 percent":                               {"sample": {"101"}},
	} {
		got := w.post("/pixels/px_shop/routes", form(change))
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, says) {
			i := strings.Index(got.body, "form-error")
			t.Errorf("%v: %d, should say %q: %.300s", change, got.status, says, got.body[max(i, 0):])
		}
	}
	rules := url.Values{"when": {"value > 1"}, "map": {"value = value * 0.5\nproperties.tier = \"gold\""}, "sample": {"50"}, "dedupe": {"order"}}
	rules.Set("try", "1")
	got := w.post("/pixels/px_shop/routes", form(rules))
	if got.status != http.StatusOK || !strings.Contains(got.body, "The route takes it") && !strings.Contains(got.body, "not sent:") {
		t.Errorf("tried: %d", got.status)
	}
	rules.Del("try")
	got = w.post("/pixels/px_shop/routes", form(rules))
	saved, err := b.pixel(t.Context(), "px_shop")
	must(t, err)
	r := saved.Routes[len(saved.Routes)-1]
	if got.status != http.StatusSeeOther || r.When != "value > 1" || r.Map.Value != "value * 0.5" || r.Map.Properties["tier"] != `"gold"` || r.Sample != 50 || r.Dedupe != "order" {
		t.Errorf("%d %+v", got.status, r)
	}
	got = w.get(fmt.Sprintf("/pixels/px_shop/routes/%d", len(saved.Routes)-1))
	if !strings.Contains(got.body, "value &gt; 1") || !strings.Contains(got.body, "properties.tier = &#34;gold&#34;") {
		t.Errorf("the form lost the rules: %d", got.status)
	}
	api := b.call(adminToken, put, base+"/pixels/px_shop/routes", []settings.Route{{Partner: "ttd", Event: "purchase", Enabled: true, When: "value >", Params: r.Params}})
	if api.status != http.StatusUnprocessableEntity && api.status != http.StatusBadRequest || !strings.Contains(api.body, "column 8") || !strings.Contains(api.body, "/routes/0/when") && !strings.Contains(api.body, "routes[0].when") {
		t.Errorf("%d %s", api.status, api.body)
	}
}
