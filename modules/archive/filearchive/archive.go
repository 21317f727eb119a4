// Package filearchive keeps the archive in a folder of the file system: see
// package lake for what lies there.
//
// A file is written beside its place, synced, and then linked to its name, so that
// it appears whole or not at all; the folder is synced before a write is answered.
// Several processes may share the folder, if its file system has hard links.
package filearchive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/miq/pixel/modules/archive/lake"
)

// Folder is a lake.Store.
type Folder struct {
	dir string
}

var _ lake.Store = (*Folder)(nil)

// making is where files are until they are whole.
const making = ".new"

// abandoned is how old a file must be there to be left of a crash.
const abandoned = 24 * time.Hour

// NewFolder returns the store in the folder dir, which it makes if need be.
func NewFolder(dir string) (*Folder, error) {
	if dir == "" {
		return nil, errors.New("the archive has no folder")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the archive's folder: %w", err)
	}
	if err := makeFolders(filepath.Join(dir, making)); err != nil {
		return nil, fmt.Errorf("make the archive's folder: %w", err)
	}
	f := &Folder{dir: dir}
	left, err := os.ReadDir(filepath.Join(dir, making))
	if err != nil {
		return nil, fmt.Errorf("read the archive's folder: %w", err)
	}
	for _, e := range left {
		if i, err := e.Info(); err == nil && time.Since(i.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(dir, making, e.Name()))
		}
	}
	return f, nil
}

func (f *Folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// Put is a lake.Store's.
func (f *Folder) Put(ctx context.Context, name string, body []byte, fresh bool) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	tmp := filepath.Join(f.dir, making, uuid.NewString())
	if err := writeWhole(tmp, body); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), ignoreMissing(os.Remove(tmp)))
	}
	place := os.Rename
	if fresh {
		place = func(tmp, path string) error {
			err := os.Link(tmp, path)
			return errors.Join(err, os.Remove(tmp))
		}
	}
	path := f.path(name)
	for try := 0; ; try++ {
		if err := makeFolders(filepath.Dir(path)); err != nil {
			return errors.Join(fmt.Errorf("make the folder of %s: %w", name, err), ignoreMissing(os.Remove(tmp)))
		}
		if err = place(tmp, path); !errors.Is(err, fs.ErrNotExist) || try > 0 {
			break
		}
		// Somebody took the folder away since it was empty.
		if err := writeWhole(tmp, body); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w", name, lake.ErrExists)
	case err != nil:
		return errors.Join(fmt.Errorf("place %s: %w", name, err), ignoreMissing(os.Remove(tmp)))
	}
	return syncFolder(filepath.Dir(path))
}

func writeWhole(path string, body []byte) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(body)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Get is a lake.Store's.
func (f *Folder) Get(ctx context.Context, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	body, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, lake.ErrGone
	}
	return body, err
}

// List is a lake.Store's.
func (f *Folder) List(ctx context.Context, folder string) ([]lake.Object, error) {
	var out []lake.Object
	err := filepath.WalkDir(f.path(folder), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went away meanwhile
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() || strings.HasPrefix(d.Name(), "."):
			return nil
		}
		i, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(f.dir, path)
		out = append(out, lake.Object{Name: filepath.ToSlash(name), Size: i.Size()})
		return err
	})
	return out, err
}

// Folders is a lake.Store's.
func (f *Folder) Folders(_ context.Context, folder string) ([]string, error) {
	entries, err := os.ReadDir(f.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Delete removes files, and then the folders that are empty.
func (f *Folder) Delete(ctx context.Context, names ...string) error {
	var folders []string
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if dir := filepath.Dir(f.path(name)); !slices.Contains(folders, dir) {
			folders = append(folders, dir)
		}
	}
	for _, dir := range folders {
		// What was deleted must not be there again after a power cut.
		if err := ignoreMissing(syncFolder(dir)); err != nil {
			return err
		}
		for ; dir != f.dir && strings.HasPrefix(dir, filepath.Join(f.dir, "pixel=")); dir = filepath.Dir(dir) {
			if os.Remove(dir) != nil {
				break // not empty
			}
		}
	}
	return nil
}

// makeFolders makes a folder and those above it, and has the disk remember them.
func makeFolders(dir string) error {
	if st, err := os.Stat(dir); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s is not a folder", dir)
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return os.ErrNotExist
	}
	if err := makeFolders(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Check reports whether the folder can be written to.
func (f *Folder) Check(ctx context.Context) error {
	out, err := os.CreateTemp(f.dir, ".health-*")
	if err != nil {
		return fmt.Errorf("write to the archive's folder: %w", err)
	}
	_, err = out.Write([]byte("ok"))
	if err := errors.Join(err, out.Close(), os.Remove(out.Name())); err != nil {
		return fmt.Errorf("write to the archive's folder: %w", err)
	}
	return ctx.Err()
}

// New returns the archive in a folder, which it makes if need be.
func New(dir string, o lake.Options) (*lake.Lake, *Folder, error) {
	f, err := NewFolder(dir)
	if err != nil {
		return nil, nil, err
	}
	l, err := lake.New(f, o)
	return l, f, err
}
