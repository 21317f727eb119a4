package analytics

import (
	"testing"
	"time"
)

func TestStepsFollowTheClockOverItsChanges(t *testing.T) {
	for _, c := range []struct {
		name, zone   string
		step         Step
		since, until string
		want         []string // by the zone's clock, with what it is set to
	}{
		{"an hour that comes twice", "Europe/London", Hour, "2026-10-25T00:10:00+01:00", "2026-10-25T02:00:00Z",
			[]string{"00:00 +0100", "01:00 +0100", "01:00 +0000"}},
		{"six hours over an hour that comes twice", "Europe/London", "6h", "2026-10-25T00:00:00+01:00", "2026-10-25T12:00:00Z",
			[]string{"00:00 +0100", "01:00 +0000", "06:00 +0000"}},
		{"an hour that is left out", "Europe/London", Hour, "2026-03-29T00:30:00Z", "2026-03-29T02:30:00Z",
			[]string{"00:00 +0000", "02:00 +0100", "03:00 +0100"}},
		{"two hours over one that is left out", "Europe/London", "2h", "2026-03-29T00:30:00Z", "2026-03-29T03:30:00Z",
			[]string{"00:00 +0000", "02:00 +0100", "04:00 +0100"}},
		{"a day of 25 hours and one of 24", "Europe/London", Day, "2026-10-24T23:30:00Z", "2026-10-26T00:00:01Z",
			[]string{"00:00 +0100", "00:00 +0000"}},
		{"midnight comes twice", "Atlantic/Azores", Day, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z",
			[]string{"00:00 +0000", "00:00 +0000"}},
		{"there is no midnight", "Africa/Cairo", Day, "2026-04-23T12:00:00Z", "2026-04-24T12:00:00Z",
			[]string{"00:00 +0200", "01:00 +0300"}},
		{"there is no such day", "Pacific/Apia", Day, "2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00",
			[]string{"00:00 -1000", "00:00 +1400"}},
		{"half hours", "Asia/Kolkata", Hour, "2026-06-01T00:00:00Z", "2026-06-01T01:00:00Z",
			[]string{"05:00 +0530", "06:00 +0530"}},
		{"a clock that goes back by half an hour", "Australia/Lord_Howe", Hour, "2026-04-05T01:00:00+11:00", "2026-04-05T03:00:00+10:30",
			[]string{"01:00 +1100", "01:30 +1030", "02:00 +1030"}},
		{"weeks begin on Mondays", "America/New_York", Week, "2026-11-01T12:00:00Z", "2026-11-09T06:00:00Z",
			[]string{"00:00 -0400", "00:00 -0500", "00:00 -0500"}},
		{"a month", "Europe/Berlin", Month, "2026-02-28T23:30:00Z", "2026-04-01T00:00:00Z",
			[]string{"00:00 +0100", "00:00 +0200"}},
		{"before 1970", "", "15m", "1969-12-31T23:50:00Z", "1970-01-01T00:01:00Z", []string{"23:45 +0000", "00:00 +0000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			zone, err := location(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			at := func(s string) time.Time {
				v, err := time.Parse(time.RFC3339, s)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			got, err := SeriesQuery{Metric: MetricEvents, Since: at(c.since), Until: at(c.until), Step: c.step, Zone: c.zone}.Starts()
			if err != nil {
				t.Fatal(err)
			}
			var clocks []string
			for i, s := range got {
				clocks = append(clocks, s.In(zone).Format("15:04 -0700"))
				if i > 0 && !s.After(got[i-1]) {
					t.Errorf("%s does not come after %s", s, got[i-1])
				}
				if again := c.step.Floor(s, zone); !again.Equal(s) {
					t.Errorf("the step that begins at %s begins at %s", s, again)
				}
			}
			if len(clocks) != len(c.want) {
				t.Fatalf("%v, not %v", clocks, c.want)
			}
			for i := range clocks {
				if clocks[i] != c.want[i] {
					t.Errorf("%v, not %v", clocks, c.want)
				}
			}
		})
	}
}

func TestAYearOfDaysInEveryZoneHasAsManyDaysAsItsCalendar(t *testing.T) {
	for _, name := range []string{"UTC", "America/Havana", "Asia/Beirut", "America/Sao_Paulo", "America/Asuncion", "Africa/Casablanca", "Asia/Gaza", "Pacific/Chatham", "Antarctica/Troll"} {
		zone, err := location(name)
		if err != nil {
			t.Fatal(err)
		}
		for year := 1995; year < 2027; year++ {
			at := Day.Floor(time.Date(year, 1, 1, 12, 0, 0, 0, zone), zone)
			days := 0
			for at.In(zone).Year() == year {
				next := Day.Next(at, zone)
				if h := next.Sub(at); h < 22*time.Hour || h > 26*time.Hour {
					t.Fatalf("%s: the day of %s has %s", name, at, h)
				}
				at = next
				days++
			}
			if want := time.Date(year, 12, 31, 12, 0, 0, 0, time.UTC).YearDay(); days != want {
				t.Errorf("%s: %d has %d days", name, year, days)
			}
		}
	}
}
