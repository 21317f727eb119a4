// Package filearchive keeps the archive in a folder of the file system.
//
// Records lie in pixel={id}/date=YYYY-MM-DD/hour=HH/{writer}-{n}.ndjson.zst: a
// line of JSON each, as it was given. A Write appends one whole zstd frame (a few,
// if it is very large) to its partition's file and returns once the disk has it.
// Files are plain: `zstdcat` reads one, and any number of them one after another.
//
// A writer is one start of one process. It never appends to another's file, so a
// write that was cut short is always the end of a file, where a reader leaves it
// out.
package filearchive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"github.com/miq/pixel/modules/archive"
)

// Options are for tests; zero fields have the usual values.
type Options struct {
	FileSize  int64 // a file that has reached it is not appended to; 64 MiB
	OpenFiles int   // kept open between writes; 128
}

// known is how many files are remembered, open or not, to be appended to.
const known = 8192

// Archive is an archive.Archive.
type Archive struct {
	dir    string
	writer string
	o      Options
	enc    *zstd.Encoder
	dec    *zstd.Decoder

	mu     sync.Mutex
	files  map[partition]*file
	clock  uint64 // counts uses, to find the file unused for longest
	open   int
	made   int
	closed bool
}

var _ archive.Archive = (*Archive)(nil)

// New makes an archive in the folder dir, which it makes if need be.
func New(dir string, o Options) (*Archive, error) {
	if o.FileSize <= 0 {
		o.FileSize = 64 << 20
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = 128
	}
	if dir == "" {
		return nil, errors.New("the archive has no folder")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the archive's folder: %w", err)
	}
	if err := makeFolders(dir); err != nil {
		return nil, fmt.Errorf("make the archive's folder: %w", err)
	}
	writer, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("name the archive's writer: %w", err)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make the archive's encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxFrame))
	if err != nil {
		return nil, fmt.Errorf("make the archive's decoder: %w", err)
	}
	return &Archive{dir: dir, writer: writer.String(), o: o, enc: enc, dec: dec, files: map[partition]*file{}}, nil
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
func (a *Archive) Check(ctx context.Context) error {
	f, err := os.CreateTemp(a.dir, ".health-*")
	if err != nil {
		return fmt.Errorf("write to the archive's folder: %w", err)
	}
	_, err = f.Write([]byte("ok"))
	if err := errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("write to the archive's folder: %w", err)
	}
	return ctx.Err()
}

// Close closes the files, once the writes that are under way are done.
func (a *Archive) Close() error {
	a.mu.Lock()
	a.closed = true
	files := make([]*file, 0, len(a.files))
	for _, f := range a.files {
		files = append(files, f)
	}
	clear(a.files)
	a.mu.Unlock()
	var errs []error
	for _, f := range files {
		f.mu.Lock()
		errs = append(errs, a.release(f))
		f.mu.Unlock()
	}
	return errors.Join(errs...)
}
