package spill_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/spill"
	"github.com/miq/pixel/modules/sqlitedb"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(spillerEnv); dir != "" {
		fmt.Fprintln(os.Stderr, spillForEver(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.DiscardHandler)

// disk opens a queue on the disk.
func disk(t testing.TB, path string, maxBytes int64) *sqlitequeue.Queue {
	t.Helper()
	db, err := sqlitedb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	q, err := sqlitequeue.New(db, queue.Options{Lease: time.Minute, MaxDeliveries: 1 << 30, Wait: time.Millisecond, MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		q.Close()
		db.Close()
	})
	return q
}

// start runs a spill until the test ends.
func start(t *testing.T, o spill.Options) *spill.Spill {
	t.Helper()
	if o.Disk == nil {
		o.Disk = disk(t, filepath.Join(t.TempDir(), "spill.db"), 0)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	o.Log = quiet
	s := spill.New(o)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// onRedis is the queue on a real server.
func onRedis(t *testing.T, server *redistest.Server) *redisqueue.Queue {
	q := redisqueue.New(server.Client(t), queue.Options{Lease: time.Minute, MaxDeliveries: 8, Wait: 10 * time.Millisecond}, redisqueue.Settings{Timeout: time.Second})
	t.Cleanup(func() { q.Close() })
	return q
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for giveUp := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(giveUp) {
			t.Fatalf("it never came that %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// drained waits until nothing is on the disk.
func drained(t *testing.T, s *spill.Spill) {
	t.Helper()
	until(t, "the disk is drained", func() bool {
		st, err := s.Status(t.Context())
		return err == nil && st.Items == 0 && !st.Away
	})
}

// pulled are the bodies in queues, in their order.
func pulled(t *testing.T, q queue.Queue, names ...string) []string {
	t.Helper()
	var out []string
	for _, name := range names {
		for {
			msgs, err := q.Pull(t.Context(), name, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(msgs) == 0 {
				break
			}
			for _, m := range msgs {
				out = append(out, string(m.Body))
			}
		}
	}
	return out
}

// traffic pushes from several callers until told to end, and notes what was
// answered with success.
type traffic struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	ok      map[string]bool
	errs    []error
	slowest time.Duration
}

var names = []string{"ingest:high", "ingest:standard", "ingest:low"}

func drive(q queue.Pusher, pushers int) *traffic {
	d := &traffic{stop: make(chan struct{}), ok: map[string]bool{}}
	for p := range pushers {
		d.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-d.stop:
					return
				default:
				}
				body := fmt.Sprintf("%d-%d", p, i)
				start := time.Now()
				err := q.Push(context.Background(), queue.Item{Queue: names[i%3], Body: []byte(body), Account: queue.Account{Pixel: "px", Hour: 1}})
				took := time.Since(start)
				d.mu.Lock()
				if err == nil {
					d.ok[body] = true
				} else {
					d.errs = append(d.errs, err)
				}
				d.slowest = max(d.slowest, took)
				d.mu.Unlock()
			}
		})
	}
	return d
}

func (d *traffic) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ok)
}

func (d *traffic) end() {
	close(d.stop)
	d.wg.Wait()
}

// compare checks ids as sets: whatever was acknowledged has arrived, and nothing
// that was never sent.
func compare(t *testing.T, acknowledged map[string]bool, arrived []string) {
	t.Helper()
	found := map[string]int{}
	for _, id := range arrived {
		found[id]++
	}
	lost := 0
	for id := range acknowledged {
		if found[id] == 0 {
			lost++
		}
	}
	copies := len(arrived) - len(found)
	t.Logf("%d acknowledged, %d arrived, %d copies", len(acknowledged), len(found), copies)
	if lost > 0 {
		t.Errorf("%d of %d acknowledged items never arrived", lost, len(acknowledged))
	}
}

func TestNothingIsLostWhileRedisIsKilledAndRestarted(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "always")
	q := onRedis(t, server)
	s := start(t, spill.Options{Queue: q})
	d := drive(queue.NewGroup(s, 256), 8)
	for range 2 {
		n := d.count()
		until(t, "items go through", func() bool { return d.count() > n+300 })
		server.Kill()
		n = d.count()
		until(t, "items are taken while it is away", func() bool { return d.count() > n+500 })
		if st, _ := s.Status(t.Context()); !st.Away || st.Items == 0 || st.Used == 0 {
			t.Errorf("while it is away the status is %+v", st)
		}
		var warning health.Warning
		if err := s.Check(t.Context()); !errors.As(err, &warning) || !strings.Contains(err.Error(), "is away since") {
			t.Errorf("while it is away the check says %v", err)
		}
		server.Restart(t)
		until(t, "it is drained under traffic", func() bool { st, _ := s.Status(t.Context()); return !st.Away && st.Items == 0 })
	}
	d.end()
	drained(t, s)
	for _, err := range d.errs {
		t.Errorf("a push failed: %v", err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("in the end the check says %v", err)
	}
	compare(t, d.ok, pulled(t, q, names...))
}

func TestWhatIsSpilledArrivesInOrderTheUrgentFirst(t *testing.T) {
	server := redistest.Start(t)
	q := onRedis(t, server)
	server.Kill()
	s := start(t, spill.Options{Queue: q})
	for i := range 1000 {
		name := names[2-i%3]
		if err := s.Push(t.Context(), queue.Item{Queue: name, Body: fmt.Appendf(nil, "%s %04d", name, i)}); err != nil {
			t.Fatal(err)
		}
	}
	server.Restart(t)
	drained(t, s)
	for _, name := range names {
		got := pulled(t, q, name)
		if len(got) < 333 || !slices.IsSorted(got) {
			t.Errorf("%s has %d items, in order: %t", name, len(got), slices.IsSorted(got))
		}
	}
}

func TestAPausedRedisCostsOnePushItsTimeout(t *testing.T) {
	server := redistest.Start(t)
	q := onRedis(t, server)
	s := start(t, spill.Options{Queue: q, Timeout: 500 * time.Millisecond})
	if err := s.Push(t.Context(), queue.Item{Queue: names[0], Body: []byte("before")}); err != nil {
		t.Fatal(err)
	}
	server.Pause(t)
	acknowledged := map[string]bool{"before": true}
	took := make([]time.Duration, 100)
	for i := range took {
		body := fmt.Sprint(i)
		begin := time.Now()
		if err := s.Push(t.Context(), queue.Item{Queue: names[0], Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		took[i] = time.Since(begin)
		acknowledged[body] = true
	}
	if took[0] < 400*time.Millisecond {
		t.Errorf("the first push took %s, though Redis was paused", took[0])
	}
	slices.Sort(took)
	if took[50] > 200*time.Millisecond {
		t.Errorf("half of the pushes took longer than %s", took[50])
	}
	server.Resume(t)
	drained(t, s)
	compare(t, acknowledged, pulled(t, q, names[0]))
}

// fickle is a queue that fails as told.
type fickle struct {
	mu     sync.Mutex
	err    error
	delay  time.Duration
	refuse string // a body that is never taken
	got    []queue.Item
	calls  atomic.Int64
}

func (f *fickle) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fickle) Push(ctx context.Context, items ...queue.Item) error {
	f.calls.Add(1)
	f.mu.Lock()
	delay, err := f.delay, f.err
	f.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range items {
		if string(it.Body) == f.refuse && f.refuse != "" {
			return errors.New("refused")
		}
	}
	for _, it := range items {
		it.Body = slices.Clone(it.Body)
		f.got = append(f.got, it)
	}
	return nil
}

func (f *fickle) items() []queue.Item {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

func TestASlowQueueIsPassedByAndTakesItAllLater(t *testing.T) {
	f := &fickle{delay: time.Hour}
	s := start(t, spill.Options{Queue: f, Timeout: 50 * time.Millisecond})
	for i := range 20 {
		if err := s.Push(t.Context(), queue.Item{Queue: names[0], Body: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.calls.Load(); n > 5 {
		t.Errorf("%d pushes tried the slow queue", n)
	}
}

func TestItemsComeOutOfTheDiskAsTheyWentIn(t *testing.T) {
	f := &fickle{err: queue.ErrUnavailable}
	s := start(t, spill.Options{Queue: f})
	sent := []queue.Item{
		{Queue: "ingest:high", Body: []byte("an event"), Account: queue.Account{Pixel: "px_demo", Hour: 490000}},
		{Queue: "ingest:high", Stage: "received", N: 3, Account: queue.Account{Pixel: "px_demo", Hour: 490000}},
		{Queue: "dlq:validation", Body: []byte{0, 255}, Reason: "bad: ü"},
		{Queue: "ingest:low", Body: nil},
	}
	if err := s.Push(t.Context(), sent...); err != nil {
		t.Fatal(err)
	}
	f.set(nil)
	drained(t, s)
	key := func(it queue.Item) string { return fmt.Sprintf("%+v", it) }
	var got, want []string
	for _, it := range f.items() {
		got = append(got, key(it))
	}
	for _, it := range sent {
		if it.Body == nil {
			it.Body = []byte{}
		}
		want = append(want, key(it))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOneRefusedItemHoldsUpNoOther(t *testing.T) {
	f := &fickle{err: queue.ErrUnavailable, refuse: "13"}
	q := disk(t, filepath.Join(t.TempDir(), "spill.db"), 0)
	s := start(t, spill.Options{Queue: f, Disk: q})
	for i := range 100 {
		if err := s.Push(t.Context(), queue.Item{Queue: names[1], Body: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	f.set(nil)
	drained(t, s)
	if n := len(f.items()); n != 99 {
		t.Errorf("%d items arrived, want 99", n)
	}
	if letters, _, err := q.Dead(t.Context(), queue.Validation, "", 10); err != nil || len(letters) != 1 {
		t.Errorf("dead letters on the disk are %+v, %v", letters, err)
	}
	if st, err := s.Status(t.Context()); err != nil || st.Dead != 1 || st.Items != 0 {
		t.Errorf("with a dead letter on the disk the status is %+v, %v", st, err)
	}
	// A refusal is no outage: whoever pushes is told, and nothing is spilled.
	if err := s.Push(t.Context(), queue.Item{Queue: names[1], Body: []byte("13")}); err == nil {
		t.Error("what the queue refuses was taken")
	}
	if st, _ := s.Status(t.Context()); st.Away || st.Items != 0 {
		t.Errorf("after a refusal the status is %+v", st)
	}
	// Once its cause is mended the next start brings what was set aside.
	s.Stop()
	f.mu.Lock()
	f.refuse = ""
	f.mu.Unlock()
	s = start(t, spill.Options{Queue: f, Disk: q})
	drained(t, s)
	if n := len(f.items()); n != 100 {
		t.Errorf("after another start %d items arrived, want 100", n)
	}
	if st, err := s.Status(t.Context()); err != nil || st.Dead != 0 {
		t.Errorf("after another start the status is %+v, %v", st, err)
	}
}

func TestWhereNeitherTakesItNothingIsPretended(t *testing.T) {
	f := &fickle{err: queue.ErrUnavailable}
	q := disk(t, filepath.Join(t.TempDir(), "spill.db"), 1<<20)
	reg := prometheus.NewRegistry()
	s := start(t, spill.Options{Queue: f, Disk: q, Metrics: reg})
	acknowledged := map[string]bool{}
	push := func(i int) error {
		body := make([]byte, 8<<10)
		for j := range body {
			body[j] = byte(i*7919 + j*j*31 + j>>3) // not too easy to compress
		}
		copy(body, fmt.Sprintf("%04d", i))
		err := s.Push(t.Context(), queue.Item{Queue: names[0], Body: body})
		if err == nil {
			acknowledged[fmt.Sprintf("%04d", i)] = true
		}
		return err
	}
	var err error
	n := 0
	for ; n < 10_000 && err == nil; n++ {
		err = push(n)
	}
	if !errors.Is(err, queue.ErrFull) {
		t.Fatalf("after %d pushes: %v", n, err)
	}
	var warning health.Warning
	if err := s.Check(t.Context()); err == nil || errors.As(err, &warning) {
		t.Errorf("the check says %v, though nothing can be taken", err)
	}
	// In need the queue is tried, but not by every push.
	before := f.calls.Load()
	for range 50 {
		if push(9999) == nil {
			t.Error("a push was acknowledged")
		}
	}
	if tries := f.calls.Load() - before; tries > 10 {
		t.Errorf("50 pushes tried the queue %d times", tries)
	}
	f.set(nil)
	until(t, "pushes succeed again", func() bool { n++; return push(n) == nil })
	drained(t, s)
	var arrived []string
	for _, it := range f.items() {
		arrived = append(arrived, string(it.Body[:4]))
	}
	compare(t, acknowledged, arrived)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("in the end the check says %v", err)
	}
}

func TestTheMetricsTellWhatIsOnTheDisk(t *testing.T) {
	f := &fickle{err: queue.ErrUnavailable}
	reg := prometheus.NewRegistry()
	s := start(t, spill.Options{Queue: f, Metrics: reg})
	for range 3 {
		if err := s.Push(t.Context(), queue.Item{Queue: names[0], Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want map[string]float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			m := f.GetMetric()[0]
			got[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
		for name, v := range want {
			if got[name] != v {
				t.Errorf("%s is %v, want %v", name, got[name], v)
			}
		}
		if got["pixel_spill_bytes"] <= 0 || got["pixel_spill_limit_bytes"] <= got["pixel_spill_bytes"] {
			t.Errorf("%v of %v bytes", got["pixel_spill_bytes"], got["pixel_spill_limit_bytes"])
		}
	}
	check(map[string]float64{"pixel_spill_items": 3, "pixel_spill_active": 1, "pixel_spill_draining": 0, "pixel_spill_spilled_total": 3, "pixel_spill_outages_total": 1})
	f.set(nil)
	drained(t, s)
	check(map[string]float64{"pixel_spill_items": 0, "pixel_spill_active": 0, "pixel_spill_draining": 0, "pixel_spill_spilled_total": 3, "pixel_spill_drained_total": 3})
}
