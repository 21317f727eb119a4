package admin

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/miq/pixel/modules/settings"
)

// keep is one of a pixel's retention times as its form shows it.
type keep struct{ Name, Title, Help, Value, Error string }

// Keeps are the retention times of the form's pixel.
func (d pixelFormData) Keeps() []keep {
	r := d.Pixel.Retention
	days := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	return []keep{
		{"events_days", "Events", "And what is counted of them in reports.", days(r.EventsDays), d.Errors["retention/events_days"]},
		{"syncs_days", "The sync log", "What partners were told and answered.", days(r.SyncsDays), d.Errors["retention/syncs_days"]},
		{"archive_days", "The archive", "The raw copy, from which everything can be made again.", days(r.ArchiveDays), d.Errors["retention/archive_days"]},
	}
}

// keepsFrom reads them from the form.
func keepsFrom(f url.Values, r *settings.Retention) error {
	var bad settings.Invalid
	for name, days := range map[string]*int{"events_days": &r.EventsDays, "syncs_days": &r.SyncsDays, "archive_days": &r.ArchiveDays} {
		if !f.Has(name) { // another form
			continue
		}
		text := strings.TrimSpace(f.Get(name))
		n := 0
		if text != "" {
			var err error
			if n, err = strconv.Atoi(text); err != nil || n < 1 {
				bad = append(bad, settings.Problem{Field: "retention." + name, Message: "must be a whole number of days, or empty to keep them for ever"})
				continue
			}
		}
		*days = n
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}
