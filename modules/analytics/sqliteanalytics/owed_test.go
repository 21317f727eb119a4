package sqliteanalytics

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/event"
)

func TestWhatAConversionIsOwedToIsReadAsItWasWritten(t *testing.T) {
	sets := analyticstest.CreditSets(3, 80, analyticstest.Touches(3, 100))
	for _, c := range conversions(sets) {
		body := encodeOwed(c.sets)
		got, err := decodeOwed(body)
		if err != nil || !reflect.DeepEqual(got, c.sets) {
			t.Fatalf("%v: %+v instead of %+v", err, got, c.sets)
		}
		for n := range body {
			if _, err := decodeOwed(body[:n]); err == nil {
				t.Fatalf("%d bytes of %d are taken for the whole", n, len(body))
			}
		}
		asJSON, err := json.Marshal(c.sets, lenient)
		must(t, err)
		if len(body) > len(asJSON)/3 {
			t.Errorf("%d bytes, and %d as JSON", len(body), len(asJSON))
		}
	}
}

func FuzzDecodeOwed(f *testing.F) {
	for _, c := range conversions(analyticstest.CreditSets(3, 4, analyticstest.Touches(3, 10))) {
		f.Add(encodeOwed(c.sets))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sets, err := decodeOwed(b)
		if err != nil || len(sets) == 0 {
			return
		}
		again, err := decodeOwed(encodeOwed(sets))
		if err != nil || !reflect.DeepEqual(again, sets) {
			t.Errorf("%v: %+v instead of %+v", err, again, sets)
		}
	})
}

// What the store answers is the same whether it is kept in memory, corrected since, or read
// for the first time.
func TestWhatIsKeptOfConversionsFollowsWhatIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "analytics.db")
	s := openAt(t, path)
	touches := analyticstest.Touches(4, 400)
	sets := analyticstest.CreditSets(4, 300, touches)
	answers := func(s *Store) string {
		t.Helper()
		var out []any
		for _, d := range analytics.CreditDimensions {
			rows, err := s.Attribution(t.Context(), analytics.AttributionQuery{Models: []string{"first", "linear", "last"}, Dimension: d, Limit: 1000})
			must(t, err)
			out = append(out, rows)
		}
		paths, err := s.Paths(t.Context(), analytics.PathQuery{Limit: 1000})
		must(t, err)
		b, err := json.Marshal(append(out, paths), json.Deterministic(true))
		must(t, err)
		return string(b)
	}
	same := func(what string) {
		t.Helper()
		kept := answers(s)
		s.owed.known, s.touched.known = nil, nil
		if read := answers(s); kept != read {
			t.Errorf("%s: what is kept answers otherwise than what is read\n%.600s\n%.600s", what, kept, read)
		}
	}
	same("of nothing")
	half := len(sets) / 2
	must(t, s.WriteBatch(t.Context(), analytics.Batch{Credits: sets[:half], Touches: touches[:200]}))
	same("after half")
	must(t, s.WriteBatch(t.Context(), analytics.Batch{Credits: sets[half:], Touches: touches[200:]}))
	same("after all")
	corrected := slices.Clone(sets[:30])
	for i := range corrected {
		corrected[i].Version, corrected[i].Value, corrected[i].Shares = 2, 0, nil
	}
	must(t, s.WriteCredits(t.Context(), corrected...))
	same("after corrections")
	_, err := s.Erase(t.Context(), analytics.Erasure{PixelID: "px_demo", Visitors: []string{touches[0].VisitorID, touches[2].VisitorID}})
	must(t, err)
	same("after an erasure")
}

// A store of the version before is read as it was.
func TestConversionsOfAnOlderStoreAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "analytics.db")
	s := openAt(t, path)
	sets := analyticstest.CreditSets(5, 40, analyticstest.Touches(5, 100))
	exec := func(query string, args ...any) {
		t.Helper()
		_, err := s.db.Durable.ExecContext(t.Context(), query, args...)
		must(t, err)
	}
	exec(`CREATE TABLE credit_sets (seq INTEGER PRIMARY KEY AUTOINCREMENT, pixel_id TEXT, event_id TEXT, model TEXT, version INTEGER, received_at INTEGER, body BLOB)`)
	for i := range sets {
		c := &sets[i]
		body, err := json.Marshal(c, lenient)
		must(t, err)
		exec(`INSERT INTO credit_sets (pixel_id, event_id, model, version, received_at, body) VALUES (?, ?, ?, ?, ?, ?)`, c.PixelID, c.EventID, c.Model, c.Version, c.ReceivedAt.UnixMicro(), body)
	}
	touch := event.Touchpoint{ID: "t", PixelID: "px_demo", VisitorID: "v", EventID: "e", At: analyticstest.Begin, Kind: event.AdClick, Channel: "video"}
	exec(`DROP TABLE touches`)
	exec(`CREATE TABLE touches (id TEXT, pixel_id TEXT, visitor_id TEXT, event_id TEXT, at INTEGER, kind TEXT, channel TEXT, source TEXT, campaign TEXT, partner TEXT, PRIMARY KEY (id, pixel_id)) WITHOUT ROWID`)
	exec(`INSERT INTO touches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, touch.ID, touch.PixelID, touch.VisitorID, touch.EventID, touch.At.UnixMicro(), string(touch.Kind), touch.Channel, "", "", "")
	exec(`CREATE TABLE credits (event_id TEXT)`)
	exec(`DROP TABLE conversions`)
	exec(`DELETE FROM migrations WHERE name = 'sqlite/0015_conversions.sql'`)
	must(t, s.db.Close())

	s = openAt(t, path)
	want := map[string]string{}
	for i := range sets {
		b, err := json.Marshal(&sets[i], lenient)
		must(t, err)
		want[fmt.Sprint(sets[i].PixelID, sets[i].EventID, sets[i].Model)] = string(b)
	}
	read := func() int {
		t.Helper()
		n := 0
		for f := (analytics.CreditFilter{Limit: 7}); ; {
			page, err := s.Credits(t.Context(), f)
			must(t, err)
			for i := range page.Credits {
				c := &page.Credits[i]
				b, err := json.Marshal(c, lenient)
				must(t, err)
				if k := fmt.Sprint(c.PixelID, c.EventID, c.Model); want[k] != string(b) {
					t.Errorf("%s: %s instead of %s", k, b, want[k])
				}
				n++
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				return n
			}
		}
	}
	if n := read(); n != len(sets) {
		t.Errorf("%d sets are read, of %d", n, len(sets))
	}
	// One that is given again takes the new form, and stays with the others of its conversion.
	again := sets[1]
	again.Version++
	must(t, s.WriteCredits(t.Context(), again))
	b, err := json.Marshal(&again, lenient)
	must(t, err)
	want[fmt.Sprint(again.PixelID, again.EventID, again.Model)] = string(b)
	if n := read(); n != len(sets) {
		t.Errorf("%d sets are read after one was given again, of %d", n, len(sets))
	}
	paths, err := s.Paths(t.Context(), analytics.PathQuery{Limit: 1000})
	must(t, err)
	if !slices.ContainsFunc(paths, func(p analytics.PathRow) bool {
		return slices.Equal(p.Steps, []string{"video"}) && p.Nulls == 1
	}) {
		t.Errorf("the touchpoint is not among %+v", paths)
	}
}
