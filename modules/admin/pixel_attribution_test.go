package admin

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/miq/pixel/modules/settings"
)

func TestWhatConversionsAreOwedToIsSetOnThePixelsPage(t *testing.T) {
	b := open(t)
	b.shop()
	w := b.as(Administrator)
	form := func(change url.Values) url.Values {
		f := url.Values{"name": {"Shop"}, "consent_mode": {"implied"}, "revision": {"1"}, "conversions": {"purchase, brochure"}, "click_days": {"14"}, "first_percent": {"30"}, "last_percent": {"50"}}
		for k, v := range change {
			f[k] = v
		}
		return f
	}
	if got := w.post("/pixels/px_shop", form(nil)); got.status != 303 {
		t.Fatalf("%d: %.300s", got.status, got.body)
	}
	p, _ := b.o.Settings.Pixel("px_shop")
	if want := (settings.Attribution{Conversions: []string{"purchase", "brochure"}, ClickDays: 14, FirstPercent: 30, LastPercent: 50}); fmt.Sprint(p.Attribution) != fmt.Sprint(want) {
		t.Errorf("saved: %+v", p.Attribution)
	}
	contains(t, w.get("/pixels/px_shop").body, "What conversions are owed to", `name="click_days" value="14"`, `value="purchase, brochure"`, `name="impression_days" value=""`)
	for field, bad := range map[string]string{"click_days": "soon", "direct_days": "91", "last_percent": "80", "conversions": "refund"} {
		got := w.post("/pixels/px_shop", form(url.Values{field: {bad}}))
		if got.status != 422 {
			t.Errorf("%s %q: %d", field, bad, got.status)
		}
		contains(t, got.body, "field-error", `<details class="more" open><summary>What conversions are owed to`)
	}
}

func TestThePixelsPageShowsEveryVersionOfAnOwnSchema(t *testing.T) {
	b := open(t)
	b.shop()
	p, _ := b.o.Settings.Pixel("px_shop")
	p.Schemas.Put("trial", []byte(`{"required":["plan"]}`), "ada", time.Now())
	p.Schemas.Put("trial", []byte(`{"required":["seats"]}`), "grace", time.Now())
	p.Schemas.Put("trial", nil, "ada", time.Now())
	_, err := b.o.Settings.SavePixel(t.Context(), p)
	must(t, err)
	contains(t, b.as(Administrator).get("/pixels/px_shop").body, "trial, version 1", "by ada", "{&#34;required&#34;:[&#34;plan&#34;]}", "trial, version 2", "by grace", "{&#34;required&#34;:[&#34;seats&#34;]}", "(ended)")
}
