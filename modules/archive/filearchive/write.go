package filearchive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/miq/pixel/modules/archive"
)

var errClosed = errors.New("the archive is closed")

// together is how many partitions one Write has on the way to the disk at once.
const together = 8

// file is one that this process may append to. Its mutex is held while it is
// written; where both are held, Archive.mu is taken second.
type file struct {
	mu   sync.Mutex
	path string   // empty: not yet made, or given up
	size int64    // up to here the disk has it
	fd   *os.File // nil while closed to spare descriptors

	used uint64 // Archive.clock; under Archive.mu
}

// Write appends the records and waits for the disk. After an error some of them
// may have been kept.
func (a *Archive) Write(ctx context.Context, records ...archive.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	batches, err := split(records)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	// Each partition waits for the disk by itself; side by side they share its
	// journal's commits.
	errs := make([]error, len(batches))
	var wg sync.WaitGroup
	free := make(chan struct{}, together)
	for i, b := range batches {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if err := a.append(b); err != nil {
				errs[i] = fmt.Errorf("archive %s: %w", b.path(), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (a *Archive) append(b *batch) error {
	var packed []byte
	for _, f := range b.frames {
		packed = a.enc.EncodeAll(f, packed)
	}
	f, err := a.file(b.partition)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := a.ready(f, b.partition); err != nil {
		return err
	}
	// At its offset, so that what a failed write left is written over.
	if _, err := f.fd.WriteAt(packed, f.size); err != nil {
		return errors.Join(err, a.undo(f))
	}
	if err := f.fd.Sync(); err != nil {
		// After a failed sync nobody knows what the disk has: never touch it again.
		return errors.Join(err, a.undo(f), a.giveUp(f))
	}
	f.size += int64(len(packed))
	if f.size >= a.o.FileSize {
		return a.giveUp(f)
	}
	return nil
}

// undo takes back what a failed write left behind. Where it cannot, the file is
// given up, so that the rest stays at its end.
func (a *Archive) undo(f *file) error {
	if f.size == 0 {
		return errors.Join(os.Remove(f.path), a.giveUp(f))
	}
	if err := f.fd.Truncate(f.size); err != nil {
		return errors.Join(err, a.giveUp(f))
	}
	return nil
}

// giveUp leaves a file as it is; the partition's next write makes another.
func (a *Archive) giveUp(f *file) error {
	f.path, f.size = "", 0
	return a.release(f)
}

// file finds the partition's file, or a place for one.
func (a *Archive) file(p partition) (*file, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errClosed
	}
	f := a.files[p]
	if f == nil {
		if len(a.files) >= known {
			a.forget()
		}
		f = &file{}
		a.files[p] = f
	}
	a.clock++
	f.used = a.clock
	return f, nil
}

// ready opens a file, or makes one. f.mu is held.
func (a *Archive) ready(f *file, p partition) error {
	if f.fd != nil {
		return nil
	}
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return errClosed
	}
	a.open++
	a.made++
	n := a.made
	if a.open > a.o.OpenFiles {
		a.closeOne()
	}
	a.mu.Unlock()

	var err error
	if f.path != "" {
		if f.fd, err = os.OpenFile(f.path, os.O_WRONLY, 0); err == nil {
			if st, err := f.fd.Stat(); err == nil && st.Size() == f.size {
				return nil
			}
			// Somebody else had a hand in it.
			f.fd.Close()
		}
		f.path, f.size, f.fd = "", 0, nil
	}
	path := filepath.Join(a.dir, filepath.FromSlash(p.path()), fmt.Sprintf("%s-%04d.ndjson.zst", a.writer, n))
	if f.fd, err = create(a.dir, path); err != nil {
		a.mu.Lock()
		a.open--
		a.mu.Unlock()
		return err
	}
	f.path = path
	return nil
}

// create makes a file, and has the disk remember its name and all folders above.
// Another goroutine may have made a folder without yet having synced it, so that
// each is synced here whether new or not.
func create(root, path string) (*os.File, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	for ; ; dir = filepath.Dir(dir) {
		if err := syncFolder(dir); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(path))
		}
		if dir == root {
			return f, nil
		}
	}
}

// release closes a file's descriptor. f.mu is held.
func (a *Archive) release(f *file) error {
	if f.fd == nil {
		return nil
	}
	err := f.fd.Close()
	f.fd = nil
	a.mu.Lock()
	a.open--
	a.mu.Unlock()
	return err
}

// closeOne spares the descriptor that was not used for longest. a.mu is held;
// files that are being written are passed over, so the cap may be exceeded by
// those.
func (a *Archive) closeOne() {
	var oldest *file
	for _, f := range a.files {
		if (oldest == nil || f.used < oldest.used) && f.mu.TryLock() {
			if f.fd == nil {
				f.mu.Unlock()
				continue
			}
			if oldest != nil {
				oldest.mu.Unlock()
			}
			oldest = f
		}
	}
	if oldest == nil {
		return
	}
	// What it held is on the disk already.
	oldest.fd.Close()
	oldest.fd = nil
	a.open--
	oldest.mu.Unlock()
}

// forget drops the half of the files that was not used for longest, open ones
// and those being written aside. a.mu is held.
func (a *Archive) forget() {
	limit := a.clock - known/2
	for p, f := range a.files {
		if f.used > limit || !f.mu.TryLock() {
			continue
		}
		if f.fd == nil {
			delete(a.files, p)
		}
		f.mu.Unlock()
	}
}
