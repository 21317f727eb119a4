package sqlitequeue_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// pusherEnv makes this test binary a process that only pushes.
const pusherEnv = "PIXEL_TEST_PUSHER"

func TestMain(m *testing.M) {
	if path := os.Getenv(pusherEnv); path != "" {
		fmt.Fprintln(os.Stderr, pushForEver(path))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// pushForEver pushes from several goroutines through a Group, and pulls and acks
// a little beside it; it prints each body once its push was acknowledged, and
// "-" before each body that it is about to ack.
func pushForEver(path string) error {
	db, err := sqlitedb.Open(path)
	if err != nil {
		return err
	}
	q, err := sqlitequeue.New(db, queue.Defaults)
	if err != nil {
		return err
	}
	ctx := context.Background()
	g := queue.NewGroup(q, 64)
	failed := make(chan error)
	for p := range 8 {
		go func() {
			for i := 0; ; i++ {
				body := fmt.Sprintf("%d-%d-%d", os.Getpid(), p, i)
				if err := g.Push(ctx, queue.Item{Queue: "ingest:high", Body: []byte(body)}, queue.Item{Queue: "ingest:low", Body: []byte(body)}); err != nil {
					failed <- err
					return
				}
				fmt.Println(body) // one write call, so whole lines
			}
		}()
	}
	go func() {
		for {
			msgs, err := q.Pull(ctx, "ingest:low", 16)
			if err != nil {
				failed <- err
				return
			}
			var ids, bodies []string
			for _, m := range msgs {
				ids, bodies = append(ids, m.ID), append(bodies, "-"+string(m.Body)+"\n")
			}
			fmt.Print(strings.Join(bodies, ""))
			if err := q.Ack(ctx, "ingest:low", ids...); err != nil {
				failed <- err
				return
			}
		}
	}()
	return <-failed
}

func TestEveryAcknowledgedMessageIsThereExactlyOnceAfterKill9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	acknowledged, acked := map[string]bool{}, map[string]bool{}
	for range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), pusherEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if body, ok := strings.CutPrefix(lines.Text(), "-"); ok {
				acked[body] = true
			} else {
				acknowledged[body] = true
			}
			if n == 2000 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	if len(acknowledged) < 1000 {
		t.Fatalf("only %d messages were acknowledged", len(acknowledged))
	}

	opts := queue.Defaults
	opts.Wait = 10 * time.Millisecond
	q, _ := open(t, path, opts)
	for _, c := range []struct {
		queue string
		maybe map[string]bool // may be gone
	}{{"ingest:high", nil}, {"ingest:low", acked}} {
		found := map[string]int{}
		for {
			msgs, err := q.Pull(t.Context(), c.queue, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(msgs) == 0 {
				break
			}
			for _, m := range msgs {
				found[string(m.Body)]++
			}
		}
		for body := range acknowledged {
			if found[body] == 0 && !c.maybe[body] {
				t.Errorf("%s was acknowledged and is not in %s", body, c.queue)
			}
		}
		for body, n := range found {
			if n != 1 {
				t.Errorf("%s is in %s %d times", body, c.queue, n)
			}
		}
		stats, err := q.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stats {
			if s.Queue == c.queue && s.InFlight+s.Ready != len(found) {
				t.Errorf("%s counts %d, but holds %d", c.queue, s.InFlight+s.Ready, len(found))
			}
		}
		t.Logf("%s: %d acknowledged, %d found", c.queue, len(acknowledged), len(found))
	}
}
