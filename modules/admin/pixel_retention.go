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
	of := func(name, title, help string, days int) keep {
		return keep{name, title, help, d.number(name, days), d.Errors[name]}
	}
	return []keep{
		of("events_days", "Events", "And what is counted of them in reports.", r.EventsDays),
		of("syncs_days", "The sync log", "What partners were told and answered.", r.SyncsDays),
		of("archive_days", "The archive", "The raw copy, from which everything can be made again.", r.ArchiveDays),
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
