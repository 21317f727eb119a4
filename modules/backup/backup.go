// Package backup copies the data folder of a pixel that runs, and makes a data folder
// of a copy.
//
// What it promises: everything that was durable when Take began is in the copy, and the
// copy is whole. The databases are copied one after the other, each as it is at one
// moment, and in the order in which an event goes through them: one that is on its way
// meanwhile is in the copy twice rather than not at all, which the product ends by the
// event's id, as it does after a crash. A copy that was cut short is never taken for
// one, and nothing is put over data that are there.
package backup

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// list names the file that says what a copy holds. It is written last.
const list = "backup.json"

// Contents are what a copy holds.
type Contents struct {
	Begun time.Time `json:"begun"`
	Files []File    `json:"files"`
}

// File is one of them.
type File struct {
	Name   string `json:"name"` // with slashes, from the folder
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Size is what all take.
func (c Contents) Size() (n int64) {
	for _, f := range c.Files {
		n += f.Size
	}
	return n
}

// first are the databases in the order in which events go through them. Others come
// after.
var first = []string{"spill.db", "queue.db", "state.db", "analytics.db"}

// Take copies the data folder from into the folder to, which must not hold anything.
func Take(ctx context.Context, from, to string) (c Contents, err error) {
	c.Begun = time.Now().UTC()
	if _, err := os.Stat(from); err != nil {
		return c, fmt.Errorf("there is no data folder to copy: %w", err)
	}
	if inside(from, to) {
		return c, fmt.Errorf("%s is inside the data folder: name a folder beside it, or better on another disk", to)
	}
	if err := makeEmpty(to); err != nil {
		return c, err
	}
	plain, databases, err := survey(from)
	if err != nil {
		return c, err
	}
	for _, name := range databases {
		if err := copyDatabase(ctx, filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return c, fmt.Errorf("copy %s: %w", name, err)
		}
	}
	for _, name := range plain {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return c, fmt.Errorf("copy %s: %w", name, err)
		}
	}
	if err := copyArchive(ctx, filepath.Join(from, archive), filepath.Join(to, archive)); err != nil {
		return c, fmt.Errorf("copy the archive: %w", err)
	}
	if c.Files, err = sums(ctx, to); err != nil {
		return c, err
	}
	body, err := json.Marshal(c, jsontext.WithIndent("  "))
	if err != nil {
		return c, err
	}
	if err := write(filepath.Join(to, list), strings.NewReader(string(body))); err != nil {
		return c, err
	}
	return c, sync(to)
}

// Restore makes the data folder to of a copy, once each of its files was found to be
// what was copied. to must not hold anything.
func Restore(ctx context.Context, from, to string) (c Contents, err error) {
	body, err := os.ReadFile(filepath.Join(from, list))
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%s is no backup, or one that was cut short: it has no %s", from, list)
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, fmt.Errorf("read %s: %w", list, err)
	}
	are, err := sums(ctx, from)
	if err != nil {
		return c, err
	}
	for _, f := range c.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
			return c, fmt.Errorf("%s lists %q, which is no name of a file in it", list, f.Name)
		}
		i, there := slices.BinarySearchFunc(are, f, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
		if !there || are[i] != f {
			return c, fmt.Errorf("%s is damaged: %s is not what was copied", from, f.Name)
		}
	}
	if err := makeEmpty(to); err != nil {
		return c, err
	}
	unlock, err := lock(to)
	if err != nil {
		return c, err
	}
	defer unlock()
	for _, f := range c.Files {
		name := filepath.FromSlash(f.Name)
		if err := ctx.Err(); err != nil {
			return c, err
		}
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return c, fmt.Errorf("restore %s: %w", f.Name, err)
		}
	}
	return c, sync(to)
}

// inside reports whether to is in from, or from itself.
func inside(from, to string) bool {
	a, err := filepath.Abs(from)
	b, err2 := filepath.Abs(to)
	if err != nil || err2 != nil {
		return false
	}
	rel, err := filepath.Rel(a, b)
	return err == nil && filepath.IsLocal(rel)
}

// makeEmpty makes a folder, or takes one that holds nothing but a lock.
func makeEmpty(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range there {
		if e.Name() != "lock" {
			return fmt.Errorf("%s is not empty: it holds %s; name a new folder", dir, e.Name())
		}
	}
	return nil
}

// lock keeps a pixel from starting on half a folder.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("a pixel runs on %s: stop it first", dir), f.Close())
	}
	return func() { f.Close() }, nil
}

// survey finds what is in a data folder beside the archive.
func survey(dir string) (plain, databases []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && name == archive:
			return filepath.SkipDir
		case !d.Type().IsRegular(), d.Name() == "lock", strings.HasSuffix(name, ".db-wal"), strings.HasSuffix(name, ".db-shm"):
		case strings.HasSuffix(name, ".db"):
			databases = append(databases, name)
		default:
			plain = append(plain, name)
		}
		return nil
	})
	place := func(name string) int {
		if i := slices.Index(first, filepath.Base(name)); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortStableFunc(databases, func(a, b string) int { return place(a) - place(b) })
	return plain, databases, err
}

// copyDatabase copies a SQLite file as it is at one moment, whoever writes to it. What
// was deleted does not come along.
func copyDatabase(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	// SQLite takes an empty file, and it has our mode and not that of everybody's.
	if err := write(to, strings.NewReader("")); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: from}).EscapedPath()+"?"+url.Values{"_pragma": {"busy_timeout(10000)"}}.Encode())
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		return err
	}
	return sync(to)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return write(to, in)
}

// write makes a file that is on the disk when it returns.
func write(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// sums are the files of a copy, by name.
func sums(ctx context.Context, dir string) (out []File, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == list {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		n, err := io.Copy(h, f)
		out = append(out, File{filepath.ToSlash(name), n, hex.EncodeToString(h.Sum(nil))})
		return err
	})
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}
