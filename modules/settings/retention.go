package settings

// Retention is how long a pixel's data are kept, in days; 0: for ever. What is
// deleted goes by whole days.
type Retention struct {
	EventsDays  int `json:"events_days,omitempty"`  // events, and what is counted of them
	SyncsDays   int `json:"syncs_days,omitempty"`   // the sync log
	ArchiveDays int `json:"archive_days,omitempty"` // the raw copy
}

// maxRetention is a hundred years.
const maxRetention = 36_500

func (r Retention) validate(v *Invalid) {
	for _, f := range []struct {
		name string
		days int
	}{{"events_days", r.EventsDays}, {"syncs_days", r.SyncsDays}, {"archive_days", r.ArchiveDays}} {
		if f.days < 0 || f.days > maxRetention {
			v.add("retention."+f.name, "must be from 1 to %d days, or 0 to keep them for ever", maxRetention)
		}
	}
}
