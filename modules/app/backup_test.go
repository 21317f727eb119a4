package app

import (
	"maps"
	"path/filepath"
	"testing"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/backup"
	"github.com/miq/pixel/modules/clickhousetest"
)

// stored are the ids of all events that a journey's store holds.
func (j *journey) stored() map[string]bool {
	j.t.Helper()
	ids := map[string]bool{}
	f := analytics.EventFilter{Limit: analytics.MaxLimit}
	for {
		page, err := j.events.Events(j.t.Context(), f)
		if err != nil {
			j.t.Fatal(err)
		}
		for i := range page.Events {
			ids[page.Events[i].ID] = true
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return ids
		}
	}
}

func (j *journey) archived() map[string]bool {
	j.t.Helper()
	ids := map[string]bool{}
	for rec, err := range j.archive.Read(j.t.Context(), archive.Filter{}) {
		if err != nil {
			j.t.Fatal(err)
		}
		ids[rec.Event.ID] = true
	}
	return ids
}

// soFar are the events that were answered 202 by now.
func (l *load) soFar() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.accepted)
}

// missing counts those of want that are not in have.
func missing(want, have map[string]bool) (n int) {
	for id := range want {
		if !have[id] {
			n++
		}
	}
	return n
}

// Whatever was answered 202 before a backup began is there when it was restored,
// though everything went on being written meanwhile.
func TestABackupUnderLoadLosesNothingThatWasThereBefore(t *testing.T) {
	dir, copied, clean := t.TempDir(), filepath.Join(t.TempDir(), "copy"), filepath.Join(t.TempDir(), "data")
	j := begin(t, map[string]string{"data_dir": dir})
	l := j.load()
	j.until("some are stored", func() bool { return len(j.stored()) > 200 })
	before := l.soFar()
	if _, err := backup.Take(t.Context(), dir, copied); err != nil {
		t.Fatal(err)
	}
	n := len(l.soFar())
	j.until("it goes on", func() bool { return len(l.soFar()) > n+100 })
	all := l.stop()
	if _, err := backup.Restore(t.Context(), copied, dir); err == nil {
		t.Error("it is restored over data that are in use")
	}

	if _, err := backup.Restore(t.Context(), copied, clean); err != nil {
		t.Fatal(err)
	}
	r := resume(t, map[string]string{"data_dir": clean})
	r.until("what waited in the queues is worked on", func() bool { return r.waiting() == 0 })
	stored, kept := r.stored(), r.archived()
	if len(before) == 0 || missing(before, stored) > 0 || missing(stored, kept) > 0 || missing(kept, all) > 0 {
		t.Errorf("of %d that were accepted before, %d are not stored; of %d stored, %d are not in the archive, and of %d there %d were never accepted",
			len(before), missing(before, stored), len(stored), missing(stored, kept), len(kept), missing(kept, all))
	}
	t.Logf("accepted before %d, restored %d, in the archive %d, accepted in all %d", len(before), len(stored), len(kept), len(all))
	if p, ok := r.settings.Pixel("px_1"); !ok || p.Name != "Shop" {
		t.Errorf("the pixel was not restored: %+v", p)
	}
}

// ClickHouse is backed up by its own means, under load, and restored under another
// name: what was stored when the backup began is there, each once.
func TestAClickHouseThatWasLostIsThereAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a ClickHouse engine of its own")
	}
	dir := t.TempDir()
	server := clickhousetest.Start(t, dir)
	j := onClickHouse(t, server, map[string]string{})
	l := j.load()
	defer func() {
		if t.Failed() {
			l.stop()
		}
	}()
	j.until("some are stored", func() bool { return len(j.stored()) > 200 })
	before := j.stored()
	file := filepath.Join(dir, "backups", "px")
	server.Exec(t, "BACKUP DATABASE px TO File('"+file+"')")
	j.until("more is stored", func() bool { return len(j.stored()) > len(before)+100 })
	l.stop()
	server.Exec(t, "RESTORE DATABASE px AS again FROM File('"+file+"')")
	again := map[string]bool{}
	for _, id := range server.Query(t, "SELECT id FROM again.events FINAL") {
		if again[id] {
			t.Errorf("%s is there twice", id)
		}
		again[id] = true
	}
	now := j.stored()
	if missing(before, again) > 0 || missing(again, now) > 0 {
		t.Errorf("of %d stored before, %d were not restored; of %d restored, %d were never stored", len(before), missing(before, again), len(again), missing(again, now))
	}
}
