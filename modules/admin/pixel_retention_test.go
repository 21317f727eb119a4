package admin

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/miq/pixel/modules/settings"
)

func TestHowLongThingsAreKeptIsSetInThePixelsForm(t *testing.T) {
	b := open(t)
	b.shop()
	w := b.as(Marketer)
	kept := func() settings.Retention {
		p, _ := b.o.Settings.Pixel("px_shop")
		return p.Retention
	}
	form := func(days ...string) url.Values {
		p, _ := b.o.Settings.Pixel("px_shop")
		f := url.Values{"revision": {strconv.FormatInt(p.Revision, 10)}, "name": {"Shop"}, "enabled": {"true"}, "consent_mode": {"cmp"}}
		for i := 0; i < len(days); i += 2 {
			f.Set(days[i], days[i+1])
		}
		return f
	}
	w.follow("/pixels/px_shop", form("events_days", "365", "syncs_days", " 90 ", "archive_days", "1000"))
	if got := kept(); got != (settings.Retention{EventsDays: 365, SyncsDays: 90, ArchiveDays: 1000}) {
		t.Errorf("%+v", got)
	}
	contains(t, w.get("/pixels/px_shop").body, `name="events_days"`, `value="365"`, "What partners were told and answered.")
	for wrong, said := range map[string]string{"-1": "must be a whole number of days, or empty to keep them for ever", "soon": "must be a whole number of days", "0": "must be a whole number of days", "999999": "must be"} {
		got := w.post("/pixels/px_shop", form("events_days", "365", "syncs_days", wrong, "archive_days", ""))
		if got.status != 422 {
			t.Errorf("%s: %d", wrong, got.status)
		}
		contains(t, got.body, "field-error", said)
	}
	w.follow("/pixels/px_shop", form()) // a form without them says nothing of them
	if got := kept(); got.SyncsDays != 90 {
		t.Errorf("%+v", got)
	}
	w.follow("/pixels/px_shop", form("events_days", "", "syncs_days", "30", "archive_days", ""))
	if got := kept(); got != (settings.Retention{SyncsDays: 30}) {
		t.Errorf("%+v", got)
	}
}
