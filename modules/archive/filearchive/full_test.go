package filearchive

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/event"
)

// noise is an event that does not compress to nothing.
func noise(i int) event.Event {
	e := record(fmt.Sprint("e", i))
	var b strings.Builder
	for x := uint64(i + 1); b.Len() < 3000; x = x*6364136223846793005 + 1442695040888963407 {
		fmt.Fprintf(&b, "%016x", x)
	}
	e.Name = b.String()
	return e
}

// smallDisk is a folder with room for size bytes.
func smallDisk(t *testing.T, size int) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("SKIPPED: a full disk needs a tmpfs of its own, and mounting one failed: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFullDiskIsAnErrorLosesNothingThatWasTakenAndIsRecoveredFrom(t *testing.T) {
	dir := smallDisk(t, 256<<10)
	a := open(t, dir, lake.Options{})
	var taken []string
	i, refused := 0, 0
	for ; refused < 20; i++ {
		r := noise(i)
		if err := a.Write(t.Context(), r); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("on a full disk: %v", err)
			}
			refused++
		} else {
			taken = append(taken, r.ID)
		}
		if i%10 == 9 {
			// Filing needs room as well, and loses nothing where there is none.
			if _, err := a.File(t.Context()); err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("file on a full disk: %v", err)
			}
		}
		if i > 1000 {
			t.Fatal("the disk did not get full")
		}
	}
	got := func() map[string]bool {
		m := map[string]bool{}
		for _, id := range strings.Fields(ids(t, open(t, dir, lake.Options{}))) {
			m[id] = true
		}
		return m
	}
	lost := func() {
		t.Helper()
		have := got()
		for _, id := range taken {
			if !have[id] {
				t.Errorf("%s was taken and is lost", id)
			}
		}
	}
	lost()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	for end := i + 20; i < end; i++ {
		write(t, a, noise(i))
		taken = append(taken, fmt.Sprint("e", i))
	}
	lost()
	if _, err := a.File(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost()
	for _, p := range files(t, dir) {
		if st, err := os.Stat(p); err != nil || st.Size() == 0 || strings.Contains(p, making) {
			t.Errorf("%s was left", p)
		}
	}
}

// A limit on the size of files makes the kernel write a part of what it was
// given, which a full disk rarely does. It counts for the whole process, hence a
// process of its own.
func TestAShortWriteIsTakenBack(t *testing.T) {
	const child = "PIXEL_TEST_SHORT_WRITE_DIR"
	dir := os.Getenv(child)
	if dir == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAShortWriteIsTakenBack$", "-test.v")
		cmd.Env = append(os.Environ(), child+"="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	a := open(t, dir, lake.Options{})
	write(t, a, noise(0))
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := a.Write(t.Context(), noise(1)); !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("got %v", err)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	write(t, a, noise(2))
	if got := ids(t, a); got != "e0 e2" {
		t.Errorf("read %q", got)
	}
	if n := len(files(t, dir)); n != 2 {
		t.Errorf("there are %q", files(t, dir))
	}
}
