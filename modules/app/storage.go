package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/migrations"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/chanalytics"
	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/filearchive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/archive/logbook"
	"github.com/miq/pixel/modules/archive/s3archive"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state/redisstate"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

// storage picks each backend by its address; an empty one means embedded.
func storage(c config.Config) fx.Option {
	return fx.Options(
		fx.Supply(queue.Options{Lease: c.Queue.Lease, MaxDeliveries: c.Queue.MaxDeliveries, Wait: queue.Defaults.Wait, KeepBooks: c.Queue.KeepBooks, MaxBytes: c.Queue.MaxBytes}),
		fx.Provide(
			func(lc fx.Lifecycle) (dataDir, error) { return lockDataDir(lc, c.DataDir) },
			secretBox(c),
			func(dir dataDir) filearchive.Dir {
				folder, _ := c.Archive.Folder()
				return filearchive.Dir(folder)
			},
			database("queue"),
			database("state"),
			database("analytics"),
		),
		redisModule(c.Redis, settingsCopy(c)),
		fx.Supply(settingsCopy(c)),
		either(c.Redis.URL, redisqueue.Module, sqlitequeue.Module),
		spilling(c),
		either(c.Redis.URL, redisstate.Module, sqlitestate.Module),
		either(c.ClickHouse.DSN, clickhouse(c.ClickHouse), sqliteanalytics.Module),
		fx.Provide(lake.NewMetrics),
		archiving(c.Archive),
		logging(c),
	)
}

// archiving keeps the archive where its address says.
func archiving(c config.Archive) fx.Option {
	if _, local := c.Folder(); local {
		return filearchive.Module
	}
	return s3archive.Module
}

// logging keeps in the archive what a lost ClickHouse would take with it. The embedded
// store lies where the archive does, and is copied with it.
func logging(c config.Config) fx.Option {
	if c.ClickHouse.DSN == "" || !c.Archive.Log {
		return fx.Options()
	}
	log := s3archive.Log
	if _, local := c.Archive.Folder(); local {
		log = filearchive.Log
	}
	return fx.Options(log,
		fx.Decorate(func(w analytics.Writer, b *logbook.Book) analytics.Writer { return logbook.Writer{Writer: w, Book: b} }),
		fx.Decorate(func(w analytics.ReceiptWriter, b *logbook.Book) analytics.ReceiptWriter {
			return logbook.ReceiptWriter{ReceiptWriter: w, Book: b}
		}),
		fx.Decorate(func(u archive.Upkeep, b *logbook.Book) archive.Upkeep { return logbook.Upkeep{Upkeep: u, Book: b} }),
	)
}

func either(address string, there, embedded fx.Option) fx.Option {
	if address == "" {
		return embedded
	}
	return there
}

// dataDir is the data folder, locked by this process.
type dataDir string

// lockDataDir keeps a second process from opening the same embedded store, which
// would deliver every message twice.
func lockDataDir(lc fx.Lifecycle, dir string) (dataDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", unwritable(err)
	}
	if err := lockFile(lc, dir, "or share a store by redis.url"); err != nil {
		return "", err
	}
	return dataDir(dir), nil
}

// lockFile holds a folder's lock until the process stops.
func lockFile(lc fx.Lifecycle, dir, otherwise string) error {
	f, err := takeLock(dir)
	if errors.Is(err, errTaken) {
		return fmt.Errorf("data_dir: %w; give this one a folder of its own, %s", err, otherwise)
	}
	if err != nil {
		return err
	}
	lc.Append(fx.StopHook(f.Close))
	return nil
}

// errTaken is that of a folder which is another process's.
var errTaken = errors.New("another pixel process uses")

func unwritable(err error) error {
	return fmt.Errorf("data_dir: %w; it must be a folder that the user %d, as whom this runs, may write to", err, os.Getuid())
}

// takeLock holds a folder's lock until it is closed.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w %s", errTaken, dir), f.Close())
	}
	return f, nil
}

// database provides one SQLite file. Each concern has its own, so that a report
// or a large insert never holds up the queue's fsync.
func database(name string) any {
	return fx.Annotate(func(lc fx.Lifecycle, dir dataDir) (*sqlitedb.DB, erasure.Scrubber, error) {
		db, err := openDB(string(dir), name)
		if err != nil {
			return nil, nil, err
		}
		lc.Append(fx.StopHook(db.Close))
		return db, db, nil
	}, fx.ResultTags(`name:"`+name+`_db"`, `group:"scrub"`))
}

func openDB(dir, name string) (*sqlitedb.DB, error) {
	return sqlitedb.Open(filepath.Join(dir, name+".db"))
}

// clickhouse is the analytics store in ClickHouse, which keeps events for as long as
// their pixel says.
func clickhouse(c config.ClickHouse) fx.Option {
	return fx.Options(chanalytics.Module, fx.Supply(c), fx.Provide(func(sites *settings.Store) chanalytics.Keep {
		return func(pixelID string) (events, syncs uint16) {
			p, _ := sites.Pixel(pixelID)
			return uint16(p.Retention.EventsDays), uint16(p.Retention.SyncsDays)
		}
	}))
}

// Migrate brings the analytics store up to date, as a start on the embedded store does
// too, and returns the names of the migrations that it applied.
func Migrate(ctx context.Context, c config.Config) (applied []string, err error) {
	if c.ClickHouse.DSN != "" {
		return chanalytics.Migrate(ctx, c.ClickHouse)
	}
	err = alone(c, func(db *sqlitedb.DB) error {
		applied, err = migrations.SQLite(ctx, db.Durable)
		return err
	})
	return applied, err
}

// MigrateBack gives the analytics store the form that the version before knows.
func MigrateBack(ctx context.Context, c config.Config) error {
	if c.ClickHouse.DSN != "" {
		return chanalytics.Back(ctx, c.ClickHouse)
	}
	return alone(c, func(db *sqlitedb.DB) error { return sqliteanalytics.Back(ctx, db) })
}

// alone opens the embedded analytics store while no other process may have it.
func alone(c config.Config, f func(*sqlitedb.DB) error) error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return unwritable(err)
	}
	lock, err := takeLock(c.DataDir)
	if errors.Is(err, errTaken) {
		return fmt.Errorf("data_dir: %w: stop it first", err)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	db, err := openDB(c.DataDir, "analytics")
	if err != nil {
		return err
	}
	defer db.Close()
	return f(db)
}

// secretBox takes the configured key, or the one in the data folder, which a
// process that was given its key never opens.
func secretBox(c config.Config) any {
	if c.SecretKey != "" {
		return func() (*secret.Box, error) {
			key, err := secret.ParseKey(c.SecretKey)
			return newBox(c, key, err)
		}
	}
	return func(dir dataDir) (*secret.Box, error) {
		key, err := secret.KeyFile(filepath.Join(string(dir), "secret.key"))
		return newBox(c, key, err)
	}
}

func newBox(c config.Config, key []byte, err error) (*secret.Box, error) {
	if err != nil {
		return nil, fmt.Errorf("secret_key: %w", err)
	}
	old, err := secret.ParseKeys(c.SecretKeyOld)
	if err != nil {
		return nil, fmt.Errorf("secret_key_old: %w", err)
	}
	return secret.New(key, old...)
}
