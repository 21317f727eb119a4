package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// keyEvery is how often it is looked whether all processes have the same secret_key.
const keyEvery = 10 * time.Second

// keyModule comes before the roles, so that a process with a wrong key does nothing.
var keyModule = fx.Module("secret_key",
	fx.Provide(func(lc fx.Lifecycle, keys state.Keys, box *secret.Box, p settings.Process, log *slog.Logger) keyResult {
		w := newKeyWatch(keys, box, p, log.With("component", "secret_key"))
		lc.Append(fx.StartStopHook(w.begin, w.stop))
		return keyResult{Watch: w, Health: health.Check{Name: "secret_key", Check: w.check}}
	}),
	fx.Invoke(func(*keyWatch) {}),
)

type keyResult struct {
	fx.Out

	Watch  *keyWatch
	Health health.Check `group:"health"`
}

// keyWatch compares this process's secret_key with those of the others that share its
// Redis. With another one it would hide the same order behind another digest, sign what
// nobody else can check and seal what nobody else can open, and nothing would look wrong.
type keyWatch struct {
	looking
	keys state.Keys
	self settings.Receipt
	log  *slog.Logger
	now  atomic.Pointer[keyMismatch]
}

// keyMismatch is an error where this process is the one that is wrong, else a warning.
type keyMismatch struct {
	with  []string
	wrong bool
}

func (m *keyMismatch) Error() string {
	if !m.wrong {
		return "has not the same value everywhere: give this process's to " + strings.Join(m.with, ", ")
	}
	return "is not that of the processes that run already (" + strings.Join(m.with, ", ") +
		"): give this process theirs, or to replace it put theirs into secret_key_old; if it is lost, stop them all first"
}

func newKeyWatch(keys state.Keys, box *secret.Box, p settings.Process, log *slog.Logger) *keyWatch {
	return &keyWatch{keys: keys, self: settings.Receipt{Instance: p.Instance, Since: p.Since, Keys: box.Fingerprints()}, log: log}
}

// begin refuses to start with a wrong key. Where the others cannot be asked, a process may
// start all the same, and it is looked for later.
func (w *keyWatch) begin(ctx context.Context) error {
	late := w.self
	late.Since = time.Now() // whoever tells of himself already was there first
	m, err := w.compare(ctx, late)
	if err == nil && m != nil && m.wrong {
		return fmt.Errorf("secret_key: %w", m)
	}
	w.start(keyEvery, w.look)
	return nil
}

func (w *keyWatch) compare(ctx context.Context, self settings.Receipt) (*keyMismatch, error) {
	ctx, cancel := context.WithTimeout(ctx, keyEvery)
	defer cancel()
	all, err := settings.Receipts(ctx, w.keys)
	if err != nil {
		return nil, err
	}
	if with, wrong := self.Strangers(all); len(with) > 0 {
		return &keyMismatch{with, wrong}, nil
	}
	return nil, nil
}

func (w *keyWatch) look(ctx context.Context) {
	m, err := w.compare(ctx, w.self)
	if err != nil {
		return // that Redis is away is said by others
	}
	before := w.now.Swap(m)
	switch {
	case m != nil && (before == nil || before.Error() != m.Error()):
		w.log.ErrorContext(ctx, "processes differ in their secret_key", "error", m)
	case m == nil && before != nil:
		w.log.InfoContext(ctx, "all processes have the same secret_key again")
	}
}

// check leaves the process ready unless it is the one that is wrong.
func (w *keyWatch) check(context.Context) error {
	m := w.now.Load()
	switch {
	case m == nil:
		return nil
	case m.wrong:
		return m
	}
	return health.Warning(m.Error())
}
