package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/redisstate"
)

const anotherKey = "YW5vdGhlci1rZXktb2YtdGhpcnR5LXR3by1ieXRlcy4="

func TestAProcessWithAnotherKeyThanTheOthersDoesNotStart(t *testing.T) {
	server := redistest.Start(t)
	keys := redisstate.New(server.Client(t))
	log := &said{}
	run := func(flags map[string]string) *fx.App {
		flags["redis.url"], flags["role"] = "unix://"+server.Addr, "collector"
		return fx.New(options(settingsFor(t, flags), slog.New(slog.NewTextHandler(log, nil)), io.Discard), fx.NopLogger)
	}
	first := run(map[string]string{"secret_key": someKey})
	began(t, first)
	running(t, keys, 1)

	wrong := run(map[string]string{"secret_key": anotherKey})
	err := wrong.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "secret_key: is not that of the processes that run already (") || !strings.Contains(err.Error(), "secret_key_old") {
		t.Fatalf("it started: %v", err)
	}
	if n := strings.Count(log.String(), "collector listens"); n != 1 {
		t.Errorf("%d collectors listened: one with a wrong key must do nothing", n)
	}
	// Who replaces the key knows the one before; and then those who have it alone are no strangers.
	began(t, run(map[string]string{"secret_key": anotherKey, "secret_key_old": someKey}))
	running(t, keys, 2)
	began(t, run(map[string]string{"secret_key": someKey}))
	running(t, keys, 3)
}

func began(t *testing.T, a *fx.App) {
	t.Helper()
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// running waits until as many processes tell of themselves.
func running(t *testing.T, keys state.Keys, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		all, err := settings.Receipts(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d processes tell of themselves, not %d", len(all), n)
		}
	}
}

// absent is a state that cannot be asked.
type absent struct{ state.Keys }

func (absent) Get(context.Context, ...string) ([][]byte, error) { return nil, errors.New("away") }

func TestAWrongKeyThatCouldNotBeSeenAtTheStartIsSaidLater(t *testing.T) {
	server := redistest.Start(t)
	keys := redisstate.New(server.Client(t))
	first := fxtest.New(t, options(settingsFor(t, map[string]string{"redis.url": "unix://" + server.Addr, "role": "dispatcher", "secret_key": someKey}), slog.New(slog.DiscardHandler), io.Discard))
	first.RequireStart()
	running(t, keys, 1)

	key, err := secret.ParseKey(anotherKey)
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.New(key)
	if err != nil {
		t.Fatal(err)
	}
	said := &said{}
	w := newKeyWatch(absent{keys}, box, settings.Process{Instance: "late", Since: time.Now()}, slog.New(slog.NewTextHandler(said, nil)))
	if err := w.begin(t.Context()); err != nil {
		t.Fatalf("it needs the others to start: %v", err)
	}
	w.stop()
	if err := w.check(t.Context()); err != nil {
		t.Fatalf("before anybody could be asked: %v", err)
	}
	w.keys = keys
	w.look(t.Context())
	w.look(t.Context())
	if err := w.check(t.Context()); err == nil || errors.As(err, new(health.Warning)) {
		t.Errorf("the one that is wrong says %v", err)
	}
	if n := strings.Count(said.String(), "differ in their secret_key"); n != 1 {
		t.Errorf("it is logged %d times", n)
	}

	// Seen from one that was there before, it is the other that is wrong, and nothing to stop for.
	w.self.Since = time.Now().Add(-time.Hour)
	w.look(t.Context())
	if err := w.check(t.Context()); !errors.As(err, new(health.Warning)) {
		t.Errorf("one of those that are right says %v", err)
	}
	first.RequireStop()
	w.look(t.Context())
	if err := w.check(t.Context()); err != nil || !strings.Contains(said.String(), "same secret_key again") {
		t.Errorf("with the other gone: %v", err)
	}
}
