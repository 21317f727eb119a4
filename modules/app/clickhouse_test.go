package app

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/chanalytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/clickhousetest"
	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/s3test"
	"github.com/miq/pixel/modules/settings"
)

// load posts envelopes of many events until it is told to stop, and remembers which
// were accepted.
type load struct {
	j    *journey
	quit chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	accepted map[string]bool
	unsure   map[string]bool // posted, and answered otherwise: a queue that answered too late may hold them
}

func (j *journey) load() *load {
	l := &load{j: j, quit: make(chan struct{}), accepted: map[string]bool{}, unsure: map[string]bool{}}
	for range 2 {
		l.done.Go(func() {
			for tick := time.NewTicker(50 * time.Millisecond); ; {
				select {
				case <-l.quit:
					tick.Stop()
					return
				case <-tick.C:
					l.post(40)
				}
			}
		})
	}
	return l
}

func (l *load) post(n int) {
	var events, ids []string
	for range n {
		id, err := uuid.NewV7()
		if err != nil {
			l.j.t.Error(err)
			return
		}
		ids = append(ids, id.String())
		events = append(events, fmt.Sprintf(`{"id":%q,"name":"page_view"}`, id))
	}
	body := `{"pixel_id":"px_1","consent":` + optedIn + `,"identity":{"anonymous_id":"a-` + strconv.Itoa(rand.IntN(500)) + `"},"events":[` + strings.Join(events, ",") + `]}`
	resp, err := http.Post(l.j.base+"/collect", "application/json", strings.NewReader(body))
	if err != nil {
		l.j.t.Errorf("/collect: %v", err)
		return
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if resp.StatusCode != http.StatusAccepted {
		for _, id := range ids {
			l.unsure[id] = true
		}
		return
	}
	for part := range strings.SplitSeq(string(answer), `"id":"`) {
		if id, rest, ok := strings.Cut(part, `"`); ok && len(id) == 36 && strings.Contains(rest, `"accepted"`) {
			l.accepted[id] = true
		}
	}
}

func (l *load) stop() map[string]bool {
	close(l.quit)
	l.done.Wait()
	return l.accepted
}

// until waits for a condition.
func (j *journey) until(what string, ok func() bool) {
	j.t.Helper()
	deadline := time.After(5 * time.Minute)
	for tick := time.NewTicker(50 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			j.t.Fatalf("not in five minutes: %s", what)
		}
	}
}

// waiting is how much the ingest queues hold; negative where they cannot be asked.
func (j *journey) waiting() (n int) {
	stats, err := j.queues.Stats(j.t.Context())
	if err != nil {
		j.t.Logf("not counted: %v", err)
		return -1
	}
	for _, s := range stats {
		if strings.HasPrefix(s.Queue, "ingest:") {
			n += int(s.Ready + s.InFlight + s.Delayed)
		}
	}
	return n
}

// migrated makes the database px, and returns its address.
func migrated(t *testing.T, server *clickhousetest.Server) string {
	t.Helper()
	c := config.Default().ClickHouse
	c.DSN = server.DSN("px")
	if _, err := chanalytics.Migrate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c.DSN
}

func onClickHouse(t *testing.T, server *clickhousetest.Server, flags map[string]string, extra ...fx.Option) *journey {
	t.Helper()
	flags["clickhouse.dsn"], flags["clickhouse.write_timeout"], flags["worker.concurrency"] = migrated(t, server), "5s", "4"
	j := begin(t, flags, extra...)
	p, _ := j.settings.Pixel("px_1")
	p.Retention = settings.Retention{EventsDays: 400, SyncsDays: 30}
	if _, err := j.settings.SavePixel(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return j
}

// The worker takes from a real queue, and writes to a real engine that is killed, hangs
// and runs out of disk, and to a real S3 server behind a network that fails. What was
// accepted is stored and archived, once, or still in the queue; and what is counted of
// it is a recount.
func TestNothingIsLostOrDoubledWhateverBecomesOfClickHouseAndS3(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a ClickHouse engine under load")
	}
	t.Run("embedded queue, folder", func(t *testing.T) { breakStores(t, map[string]string{}, nil) })
	t.Run("redis, S3", func(t *testing.T) {
		s3, redis := s3test.Start(t, ""), redistest.Start(t)
		s3.Bucket(t, "faults")
		p := s3.Before(t)
		breakStores(t, map[string]string{"redis.url": "unix://" + redis.Addr, "secret_key": someKey,
			"archive.url": "s3://faults/kept", "archive.s3.endpoint": p.Endpoint, "archive.s3.path_style": "true"}, p)
	})
}

// breakStores is one round; more where PIXEL_FAULT_ROUNDS says so.
func breakStores(t *testing.T, flags map[string]string, bucket *s3test.Proxy) {
	rounds := 1
	if n, err := strconv.Atoi(os.Getenv("PIXEL_FAULT_ROUNDS")); err == nil {
		rounds = n
	}
	dir, small := smallDisk(t)
	server := clickhousetest.Start(t, dir)
	j := onClickHouse(t, server, flags)
	stored := func() int {
		lines, err := server.Ask("SELECT count() FROM px.events FINAL")
		if err != nil {
			t.Logf("not counted: %v", err) // it may still be coming round
			return -1
		}
		n, err := strconv.Atoi(lines[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	l := j.load()
	j.until("the first events are stored", func() bool { return stored() > 100 })

	waits := func(why string) {
		t.Helper()
		before := -1
		j.until("what waits can be counted", func() bool { before = j.waiting(); return before >= 0 })
		j.until("events wait while "+why, func() bool { return j.waiting() > before+100 })
	}
	goesOn := func() {
		t.Helper()
		n := -1
		j.until("what is stored can be counted", func() bool { n = stored(); return n >= 0 })
		j.until("events are stored again", func() bool { return stored() > n+100 })
	}
	for range rounds {
		for range 2 {
			server.Kill()
			waits("the engine is dead")
			server.Restart(t)
			goesOn()
		}
		server.Pause(t)
		waits("the engine hangs")
		server.Resume(t)
		if bucket == nil {
			continue
		}
		bucket.Fail(s3test.Broken)
		waits("S3 answers 500")
		bucket.Fail(nil)
		goesOn()
		bucket.Fail(s3test.Slow(500 * time.Millisecond))
		j.until("S3 is slow to some", func() bool { return bucket.Hit() > 10 })
		bucket.Fail(s3test.Deaf)
		j.until("what S3 did is not heard of", func() bool { return bucket.Hit() > 10 })
		server.Kill() // both at once
		waits("nothing answers")
		server.Restart(t)
		bucket.Fail(nil)
		goesOn()
	}

	if small {
		fill := dir + "/filler"
		// It ends when nothing more fits.
		_ = exec.Command("dd", "if=/dev/zero", "of="+fill, "bs=64k").Run()
		waits("the disk is full")
		if err := os.Remove(fill); err != nil {
			t.Fatal(err)
		}
	}
	accepted := l.stop()
	j.until("the queues are empty", func() bool { return j.waiting() == 0 })

	kept := map[string]bool{}
	for rec, err := range j.archive.Read(t.Context(), archive.Filter{PixelID: "px_1"}) {
		if err != nil {
			t.Fatal(err)
		}
		kept[rec.Event.ID] = true
	}
	var got []string
	spoiled := ""
	j.until("what is stored is read", func() bool {
		var err error
		if got, err = server.Ask("SELECT id FROM px.events FINAL ORDER BY id"); err != nil {
			t.Logf("not read: %v", err)
			if small && strings.Contains(err.Error(), "CORRUPTED_DATA") {
				spoiled = err.Error()
			}
		}
		return err == nil || spoiled != ""
	})
	if spoiled != "" {
		// Seldom, on a full disk the engine keeps a part whose marks it could not write, and
		// nothing reads that table any more. What helps then is a backfill, from an archive
		// that has everything.
		for id := range accepted {
			if !kept[id] {
				t.Errorf("%s was accepted and is not in the archive", id)
			}
		}
		for id := range kept {
			if !accepted[id] && !l.unsure[id] {
				t.Errorf("%s is in the archive and was never accepted", id)
			}
		}
		t.Skipf("the engine spoiled a part of its own when its disk was full, so only the archive was compared: %.200s", spoiled)
	}
	want := maps.Clone(accepted)
	rows := map[string]bool{}
	for _, id := range got {
		rows[id] = true
		if l.unsure[id] {
			want[id] = true
		}
	}
	if len(rows) != len(got) || !maps.Equal(rows, want) {
		t.Errorf("%d rows of %d events are stored of %d accepted, which are not the same", len(got), len(rows), len(want))
	}
	if !maps.Equal(kept, want) {
		t.Errorf("%d events are in the archive of %d accepted, which are not the same", len(kept), len(want))
	}
	copies := server.Query(t, "SELECT count() - uniqExact(id) FROM px.events")[0]
	t.Logf("%d events, %d not surely accepted, %s copies merged away, disk filled: %v", len(want), len(l.unsure), copies, small)

	series, err := j.events.Series(t.Context(), analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Minute), Step: analytics.Minute})
	if err != nil {
		t.Fatal(err)
	}
	recount := map[int64]string{}
	for _, line := range server.Query(t, "SELECT toUnixTimestamp(toStartOfMinute(received_at)), count() FROM px.events FINAL GROUP BY 1") {
		at, n, _ := strings.Cut(line, "\t")
		unix, _ := strconv.ParseInt(at, 10, 64)
		recount[unix] = n
	}
	for _, p := range series[0].Points {
		if is := strconv.Itoa(int(p.Value)); p.Value != 0 && recount[p.Time.Unix()] != is {
			t.Errorf("at %s the series says %s, a recount %s", p.Time, is, recount[p.Time.Unix()])
		}
		if p.Value != 0 {
			delete(recount, p.Time.Unix())
		}
	}
	if len(recount) > 0 {
		t.Errorf("not in the series: %v", recount)
	}
	if days := server.Query(t, "SELECT DISTINCT keep_days FROM px.events"); !slices.Contains(days, "400") {
		t.Errorf("the pixel's retention did not reach the rows: %v", days)
	}
}

// smallDisk is a folder on a disk of its own that can be filled, where one may be
// mounted.
func smallDisk(t *testing.T) (dir string, small bool) {
	dir, err := os.MkdirTemp("", "clickhouse-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Logf("no disk can be mounted, so a full one is not tried: %s", out)
		return dir, false
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	return dir, true
}
