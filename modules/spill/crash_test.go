package spill_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/spill"
	"github.com/miq/pixel/modules/sqlitedb"
)

// spillerEnv makes this test binary a process that pushes through a spill while
// the queue comes and goes.
const spillerEnv = "PIXEL_TEST_SPILLER"

// spillForEver prints each body once it was acknowledged. The queue is a file in
// the folder, which is away for as long as another file is there.
func spillForEver(dir string) error {
	open := func(name string) (*sqlitequeue.Queue, error) {
		db, err := sqlitedb.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		return sqlitequeue.New(db, queue.Options{Lease: time.Minute, MaxDeliveries: 1 << 30, Wait: time.Millisecond})
	}
	target, err := open("target.db")
	if err != nil {
		return err
	}
	d, err := open("spill.db")
	if err != nil {
		return err
	}
	s := spill.New(spill.Options{Queue: gate{target, filepath.Join(dir, "away")}, Disk: d, Timeout: time.Second, Log: quiet})
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	g := queue.NewGroup(s, 64)
	failed := make(chan error)
	for p := range 4 {
		go func() {
			for i := 0; ; i++ {
				body := fmt.Sprintf("%d-%d-%d", os.Getpid(), p, i)
				if err := g.Push(context.Background(), queue.Item{Queue: names[i%3], Body: []byte(body)}); err != nil {
					failed <- err
					return
				}
				fmt.Println(body)
			}
		}()
	}
	return <-failed
}

// gate is a queue that is away while a file is there.
type gate struct {
	queue.Pusher
	path string
}

func (g gate) Push(ctx context.Context, items ...queue.Item) error {
	if _, err := os.Stat(g.path); err == nil {
		return queue.ErrUnavailable
	}
	return g.Pusher.Push(ctx, items...)
}

func TestNothingIsLostByKill9WhileSpillingAndDraining(t *testing.T) {
	dir := t.TempDir()
	away := filepath.Join(dir, "away")
	acknowledged := map[string]bool{}
	// Killed while it spills, while it drains, and while it spills and drains in
	// turn; each process goes on with what the one before it left.
	for round, toggle := range []int{0, 700, 150} {
		if err := os.WriteFile(away, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), spillerEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 1; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if toggle > 0 && n%toggle == 0 {
				if os.Remove(away) != nil {
					os.WriteFile(away, nil, 0o600)
				}
			}
			if n == 1000 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		t.Logf("round %d: %d acknowledged so far", round, len(acknowledged))
	}
	target := disk(t, filepath.Join(dir, "target.db"), 0)
	s := start(t, spill.Options{Queue: target, Disk: disk(t, filepath.Join(dir, "spill.db"), 0)})
	drained(t, s)
	compare(t, acknowledged, pulled(t, target, names...))
}
