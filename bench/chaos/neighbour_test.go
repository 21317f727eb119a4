package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/modules/simulate"
)

// The stamps of the two builds, whatever their sources.
const (
	olderBuild = "aaaaaaaaaaaa"
	newerBuild = "bbbbbbbbbbbb"
)

var made struct {
	once         sync.Once
	dir          string
	older, newer string
	real         error // why the older is no other source
	err          error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if made.dir != "" {
		os.RemoveAll(made.dir)
	}
	os.Exit(code)
}

// versions builds the version before, from the commit that testdata/neighbour names, and this
// one. Where the commit cannot be had, as in a shallow clone, real says so, and both are of
// this source.
func versions(t *testing.T) (older, newer string, real error) {
	t.Helper()
	made.once.Do(func() {
		if made.dir, made.err = os.MkdirTemp("", "neighbour"); made.err != nil {
			return
		}
		src := filepath.Join(made.dir, "src")
		from := src
		if made.real = checkout(src); made.real != nil {
			from = filepath.Join("..", "..")
		}
		if made.older, made.err = stamped(from, olderBuild); made.err == nil {
			made.newer, made.err = stamped(filepath.Join("..", ".."), newerBuild)
		}
	})
	if made.err != nil {
		t.Fatal(made.err)
	}
	return made.older, made.newer, made.real
}

// checkout writes the source of the version before into a folder.
func checkout(dir string) error {
	b, err := os.ReadFile(filepath.Join("testdata", "neighbour"))
	if err != nil {
		return err
	}
	commit := ""
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			commit = line
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tar := filepath.Join(dir, "src.tar")
	if said, err := exec.Command("git", "-C", filepath.Join("..", ".."), "archive", "--format=tar", "-o", tar, commit+":").CombinedOutput(); err != nil {
		return fmt.Errorf("the commit %s of the version before cannot be had here: %w: %.200s", commit, err, said)
	}
	if said, err := exec.Command("tar", "-xf", tar, "-C", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %.200s", err, said)
	}
	return os.Remove(tar)
}

// stamped builds the binary in a folder of sources.
func stamped(src, commit string) (string, error) {
	path := filepath.Join(made.dir, commit, "pixel")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X github.com/miq/pixel/modules/build.commit="+commit, "-o", path, ".")
	cmd.Env, cmd.Dir = append(os.Environ(), "CGO_ENABLED=0"), src
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build in %s: %w\n%s", src, err, said)
	}
	return path, nil
}

// becomes stops processes as an upgrade does and starts them as another build.
func becomes(ctx context.Context, path string, list ...*process) error {
	for _, p := range list {
		if err := p.leave(ctx); err != nil {
			return err
		}
		p.path = path
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// TestWhatIsKeptGoesToTheNextVersionAndBack leaves something in every store (events, what is
// known of visitors and their consent, deliveries that wait, dead letters, settings and
// credentials, the books, the archive), and with Redis on the collectors' disks too, and lets
// the next version work on with it, and then the version before with what that wrote.
func TestWhatIsKeptGoesToTheNextVersionAndBack(t *testing.T) {
	if testing.Short() {
		t.Skip("runs two versions")
	}
	older, newer, unreal := versions(t)
	if unreal != nil {
		t.Skipf("SKIPPED: %v, so nothing was handed from one version to the other", unreal)
	}
	for name, p := range map[string]plan{"embedded": {embedded: true}, "Redis": {}} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath("redis-server"); err != nil && !p.embedded {
				t.Skip("SKIPPED: redis-server is not installed")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
			defer cancel()
			s, err := build(ctx, t.TempDir(), older, p)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			h := &handover{t: t, s: s, console: simulate.API{Base: strings.TrimSuffix(s.api, "/api/v1"), Token: token}, shops: simulate.NewShops(2)}
			h.ok(s.connect(ctx, "dv360", "yahoo"))
			h.ok(simulate.Prepare(ctx, h.console, h.shops, true))
			h.ok(simulate.Known(ctx, s.collectors(), h.shops, time.Minute))

			h.leaves(ctx, 1) // the older
			h.ok(becomes(ctx, newer, h.all()...))
			h.finds(ctx, "the newer version")
			h.leaves(ctx, 2)
			h.ok(s.back.leave(ctx))
			if said, err := exec.CommandContext(ctx, newer, "migrate", "--back", "--data_dir="+filepath.Join(s.dir, s.back.name)).CombinedOutput(); err != nil {
				t.Fatalf("migrate --back: %v\n%s", err, said)
			}
			s.back.path = older
			h.ok(s.back.start(ctx))
			h.ok(becomes(ctx, older, s.front...))
			h.finds(ctx, "the version before, after it")
			h.leaves(ctx, 3)
			h.finds(ctx, "the version before, by itself")
		})
	}
}

// handover is what was left for the other version to find.
type handover struct {
	t       *testing.T
	s       *stand
	console simulate.API
	shops   []simulate.Shop
	runs    []*simulate.Run
	letters int
}

func (h *handover) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%v\n%s", err, h.s.tail())
	}
}

func (h *handover) all() []*process { return append([]*process{h.s.back}, h.s.front...) }

// leaves sends visits of the same people each time, with partners on hold so that their
// deliveries wait, something that is refused, and, where there is Redis, some while it is away.
func (h *handover) leaves(ctx context.Context, seed uint64) {
	h.t.Helper()
	h.hold(ctx, "hold")
	send := func(seed uint64, events int, patience time.Duration) {
		r, err := simulate.Send(ctx, simulate.Options{Seed: seed, Collectors: h.s.collectors(), Rate: 400, Events: events, Length: time.Minute, Shops: h.shops, Visitors: 60, Robots: 0.03, Patience: patience})
		h.ok(err)
		h.runs = append(h.runs, r)
	}
	send(seed, 400, time.Minute)
	body := `{"pixel_id":"px_sim_1","consent":{"us_privacy":"1YNN"},"events":[{"id":"bad","name":"1st"}]}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.s.collectors()[0]+"/collect", strings.NewReader(body))
	h.ok(err)
	r.Header.Set("Origin", "https://"+h.shops[0].Host)
	resp, err := http.DefaultClient.Do(r)
	h.ok(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		h.t.Fatalf("a bad event is answered %d", resp.StatusCode)
	}
	h.letters++
	if len(h.s.redis) > 0 {
		// What comes now is on the collectors' disks, and handed over by whoever starts there
		// next; but a consent that has to be recorded first is refused meanwhile.
		h.ok(h.s.killRedis(ctx))
		send(seed+100, 60, 2*time.Second)
		h.ok(h.s.redis[0].start(ctx))
	}
}

// hold sets the switch of every partner.
func (h *handover) hold(ctx context.Context, mode string) {
	h.t.Helper()
	for _, name := range []string{"ttd", "amazon", "dv360", "yahoo"} {
		h.ok(until(ctx, time.Minute, "the console answers", func() error {
			return h.s.call(ctx, http.MethodPatch, "/partners/"+name, map[string]any{"mode": mode}, nil)
		}))
	}
}

// finds looks for all that was ever left: the events of all runs are stored, each once; the
// deliveries that waited go out; the letters are there; the books balance.
func (h *handover) finds(ctx context.Context, who string) {
	h.t.Helper()
	h.hold(ctx, "on")
	waiting := map[string]int{}
	delivered := 0
	for i, r := range h.runs {
		o, err := r.Check(ctx, h.console, 3*time.Minute)
		if err != nil {
			h.t.Fatalf("%s: %v\n%s", who, err, h.s.tail())
		}
		if !o.Good() {
			h.t.Fatalf("%s: of run %d: %+v", who, i, o)
		}
		waiting, delivered = o.Waiting, sum(o.Delivered)
	}
	if len(waiting) > 0 || delivered == 0 {
		h.t.Errorf("%s: %d deliveries are told, and these wait: %v", who, delivered, waiting)
	}
	var letters struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	h.ok(h.s.call(ctx, http.MethodGet, "/dlq/validation", nil, &letters))
	if len(letters.Items) < h.letters {
		h.t.Errorf("%s: %d dead letters, want %d", who, len(letters.Items), h.letters)
	}
	var p struct {
		Routes []any `json:"routes"`
	}
	h.ok(h.s.call(ctx, http.MethodGet, "/pixels/px_sim_1", nil, &p))
	if len(p.Routes) != len(simulate.Routes()) {
		h.t.Errorf("%s: the pixel has %d routes", who, len(p.Routes))
	}
	h.t.Logf("%-30s found %d runs of events, %d deliveries and %d letters", who, len(h.runs), delivered, len(letters.Items))
}
