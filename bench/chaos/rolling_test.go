package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/clickhousetest"
)

// TestRollingRestart upgrades a whole fleet behind HAProxy from the version before to this
// one, rolls it back and upgrades it again, process by process, under a constant load. Not one request may fail, and the ids that
// were answered 202 must be those in the store and at the partners. Meanwhile a change of
// settings reaches every process within five seconds, and one with a wrong clock and those
// of the older build are seen.
func TestRollingRestart(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a fleet for a minute")
	}
	for _, tool := range []string{"redis-server", "haproxy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: %s is not installed, so no fleet was restarted", tool)
		}
	}
	engine := clickhousetest.Start(t, "")
	engine.Exec(t, "CREATE DATABASE fleet")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	dir := t.TempDir()
	older, newest, unreal := versions(t)
	builds := map[string]string{olderBuild: older, newerBuild: newest}
	if unreal != nil {
		t.Run("from the version before", func(t *testing.T) {
			t.Skipf("SKIPPED: %v; the fleet is upgraded to another build of the same source", unreal)
		})
	}
	start := time.Now()
	const skew = 90 * time.Second
	f, err := muster(ctx, filepath.Join(dir, "fleet"), builds[olderBuild], engine.DSN("fleet"), func(redis string) (string, error) {
		addr, stop, err := otherClock(redis, skew)
		if err == nil {
			t.Cleanup(stop)
		}
		return addr, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n%s", err, f.tail())
		}
	}
	l := newLoad([]string{f.front})
	l.start(ctx)
	loaded := time.Now()
	stop := l.stop
	defer func() { stop() }()

	// One with a wrong clock, while it works.
	odd := f.collectors[len(f.collectors)-1]
	fatal(until(ctx, time.Minute, "the console warns of the wrong clock", func() error {
		list, err := f.processes(ctx)
		if err != nil {
			return err
		}
		warned := 0
		for _, p := range list {
			if slices.Contains(p.Warnings, "clock") {
				warned++
			}
		}
		if len(list) != len(f.all()) || warned != 1 {
			return fmt.Errorf("%d processes, %d with a wrong clock: %+v", len(list), warned, list)
		}
		return nil
	}))
	if off, err := gauge(f.opsOf[odd], "pixel_clock_offset_seconds"); err != nil || off > -skew.Seconds()+10 || off < -skew.Seconds()-10 {
		t.Errorf("its clock is %.1f s ahead, by its metrics; want about -90 (%v)", off, err)
	}
	if off, err := gauge(f.opsOf[f.collectors[0]], "pixel_clock_offset_seconds"); err != nil || off > 2 || off < -2 {
		t.Errorf("a right clock is %.1f s ahead, by its metrics (%v)", off, err)
	}

	// A change of settings, the best of three: machines that test are busy.
	reach := time.Hour
	for i := 0; i < 3 && reach > 5*time.Second; i++ {
		began := time.Now()
		fatal(f.call(ctx, http.MethodPatch, "/pixels/"+pixel, map[string]any{"name": fmt.Sprint("Changed ", i)}, nil))
		fatal(until(ctx, time.Minute, "all have the change", func() error {
			list, err := f.processes(ctx)
			for _, p := range list {
				if !p.Settings {
					err = fmt.Errorf("%s has not", p.Instance)
				}
			}
			return err
		}))
		reach = min(reach, time.Since(began))
	}
	t.Logf("a change of settings was in force on %d processes after %s", len(f.all()), reach.Round(time.Millisecond))
	if reach > 5*time.Second {
		t.Errorf("a change of settings took %s to reach all", reach)
	}

	const rounds = 3 // to the new version, back, and there again
	newer := newerBuild
	for round := range rounds {
		if round > 0 && newer == newerBuild {
			newer = olderBuild // back, as a rollback does
			if unreal == nil {
				fatal(f.migrate(ctx, builds[newerBuild], "--back"))
			}
		} else {
			newer = newerBuild
			fatal(f.migrate(ctx, builds[newer]))
		}
		for i, p := range f.all() {
			began := time.Now()
			fatal(p.leave(ctx))
			left := time.Since(began)
			p.path = builds[newer]
			fatal(p.start(ctx))
			t.Logf("%-12s left within %4.1f s and is back after %4.1f s", p.name, left.Seconds(), time.Since(began).Seconds())
			if slices.Contains(f.collectors, p) {
				pause(ctx, 3*time.Second) // two good answers, one a second: HAProxy sends to it again
			}
			if i == len(f.all())/2 {
				fatal(until(ctx, time.Minute, "the console sees two builds", func() error {
					list, err := f.processes(ctx)
					if err != nil {
						return err
					}
					n := 0
					for _, p := range list {
						if slices.Contains(p.Warnings, "another_build") {
							n++
						}
					}
					if n == 0 || n == len(list) {
						return fmt.Errorf("%d of %d are of another build", n, len(list))
					}
					return nil
				}))
			}
		}
	}
	pause(ctx, 2*time.Second)
	l.stop()
	perSecond := float64(l.sent.Load()) / time.Since(loaded).Seconds()
	stop = func() {}
	fatal(l.finish(ctx))
	r, err := f.verify(ctx, l)
	fatal(err)
	t.Logf("%d restarts of %d processes under %.0f requests/s: %d requests, %d of them failed; %d events acknowledged, %d stored, %d delivered, %d lost, %d twice; the longest time without a 202 was %s; %s in all",
		rounds*len(f.all()), len(f.all()), perSecond, r.sent, r.refused, r.acknowledged, r.stored, r.delivered, r.lost, r.duplicates, r.outage.Round(time.Millisecond), time.Since(start).Round(time.Second))
	if r.refused > 0 {
		t.Errorf("%d requests failed: %v", r.refused, l.failures)
	}
	if !r.good() || r.unknown > 0 {
		t.Errorf("%+v", r)
	}
	list, err := f.processes(ctx)
	fatal(err)
	for _, p := range list {
		// The odd one's way to Redis stays what it is.
		if p.Commit != newer || slices.Contains(p.Warnings, "another_build") {
			t.Errorf("in the end one is of another build: %+v", p)
		}
	}
}
