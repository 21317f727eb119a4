package admin

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
)

// withAnotherKey are the settings as a process sees them that was given another secret_key.
func withAnotherKey(b *bench) *settings.Store {
	b.t.Helper()
	box, err := secret.New(bytes.Repeat([]byte{9}, secret.KeySize))
	must(b.t, err)
	return settings.New(b.state, box, slog.New(slog.DiscardHandler))
}

// fleet are processes that tell of themselves until the test ends: two as they should
// be, one with a wrong clock, one of another build, one with another key.
func (b *bench) fleet() {
	b.t.Helper()
	for i, name := range []string{"collector-1-x4k2p9", "collector-2-b7m3q1", "worker-1-n2v8d5", "worker-2-j6c0r4", "worker-3-t8h5w1"} {
		p := settings.Process{Instance: name, Roles: "worker,dispatcher", Version: "1.2.0", Commit: "4f1c2a9be077", Since: time.Now().Add(-time.Hour)}
		off := 4 * time.Millisecond
		switch i {
		case 0, 1:
			p.Roles = "collector"
			p.Spill = func() *settings.Spilled {
				return &settings.Spilled{Items: 1840 * i, Oldest: 95, Used: 3 << 20, Limit: 1 << 30}
			}
		case 2:
			off = 94 * time.Second
		case 3:
			p.Commit = "0b91de5577aa"
		}
		p.Ahead = func() (time.Duration, bool) { return off, true }
		s := b.o.Settings
		if i == 4 {
			s = withAnotherKey(b)
		}
		a := s.Announcer(b.state, p, slog.New(slog.DiscardHandler))
		a.Start()
		b.t.Cleanup(func() { a.Stop(b.t.Context()) })
	}
}

func TestAProcessOfAnotherBuildOrWithAWrongClockIsShown(t *testing.T) {
	b := open(t)
	announce := func(s *settings.Store, p settings.Process) {
		a := s.Announcer(b.state, p, slog.New(slog.DiscardHandler))
		must(t, a.Publish(t.Context()))
		t.Cleanup(func() { a.Start(); a.Stop(t.Context()) })
	}
	tell := func(p settings.Process) { announce(b.o.Settings, p) }
	clock := func(d time.Duration) settings.Ahead { return func() (time.Duration, bool) { return d, true } }
	usual := settings.Process{Roles: "worker", Version: "1.2.0", Commit: "abc", Since: time.Now().Add(-time.Hour)}
	for _, name := range []string{"a", "b"} {
		p := usual
		p.Instance, p.Ahead = name, clock(3*time.Millisecond)
		tell(p)
	}
	p := usual
	p.Instance, p.Ahead = "fast", clock(90*time.Second)
	tell(p)
	p = usual
	p.Instance, p.Commit = "next", "def"
	tell(p)
	tell(settings.Process{Instance: "ancient", Roles: "collector"})
	p = usual
	p.Instance, p.Spill = "spilling", func() *settings.Spilled {
		return &settings.Spilled{Items: 12345, Oldest: 90, Used: 3 << 28, Limit: 1 << 30, Dead: 2}
	}
	tell(p)
	p = usual
	p.Instance = "stranger"
	announce(withAnotherKey(b), p)

	got := b.call(adminToken, get, base+"/processes", nil)
	if got.status != 200 {
		t.Fatal(got.status, got.body)
	}
	list, err := b.processViews(t.Context())
	must(t, err)
	want := map[string]string{"a": "", "b": "", "fast": "clock", "next": "another_build", "ancient": "another_build", "spilling": "spill", "stranger": "secret_key"}
	for _, v := range list {
		warned := ""
		for _, w := range v.Warnings {
			warned += w
		}
		if w, ok := want[v.Instance]; !ok || w != warned {
			t.Errorf("%s: %q, want %q", v.Instance, warned, w)
		}
		delete(want, v.Instance)
	}
	if len(want) > 0 {
		t.Errorf("not told of: %v", want)
	}
	w := b.as(Viewer)
	contains(t, w.get("/processes").body, "1.2.0", "def", "older", "1m30s", "newest", "another key")
	needs := []string{"stranger runs with another secret_key", "fast’s clock is 1 min ahead", "spilling has 12,345 events on its disk, the oldest for 1 min", "spilling has 2 events on its disk that no queue takes"}
	contains(t, w.get("/").body, needs...)
	confined, _ := b.confinedTo(Viewer, "acme")
	for _, n := range needs {
		if strings.Contains(confined.get("/").body, n) {
			t.Errorf("somebody who is confined to an advertiser is told that %s", n)
		}
	}
	contains(t, w.get("/queues").body, `href="/processes"`, "collectors’ disks", "spilling", "12,345", "1 min", "75%", "Dead letters")
}
