package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miq/pixel/modules/freeaddr"
)

// fleet is a stand as it is in production: every role several times, each a process of
// its own, and HAProxy with the configuration that we ship in front of the collectors.
type fleet struct {
	*stand
	console                          *process
	collectors, workers, dispatchers []*process
	haproxy                          *process
	front                            string // HAProxy's address for visitors
	settings                         []string
	opsOf                            map[*process]string
}

// drain is a little longer than HAProxy takes to notice.
const drain = 3 * time.Second

// muster starts all of it, with the analytics in a ClickHouse server. The last collector
// speaks to Redis by way of skewed, if that is given.
func muster(ctx context.Context, dir, binary, clickhouse string, skewed func(redis string) (string, error)) (_ *fleet, err error) {
	f := &fleet{stand: &stand{dir: dir, binary: binary, archive: filepath.Join(dir, "archive")}, opsOf: map[*process]string{}}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, f.tail())
			f.close()
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	endpoints, err := f.imitate()
	if err != nil {
		return nil, err
	}
	at, err := f.store(ctx)
	if err != nil {
		return nil, err
	}
	common := append([]string{"--secret_key=" + secret, "--queue.lease=" + lease.String(), "--queue.max_deliveries=50",
		"--clickhouse.dsn=" + clickhouse, "--archive.url=file://" + f.archive,
		"--drain_delay=" + drain.String(), "--collector.trusted_proxies=127.0.0.0/8"}, endpoints...)
	f.settings = append(append([]string{}, common...), at...)
	if err := f.migrate(ctx, binary); err != nil {
		return nil, err
	}
	start := func(name, role string, store []string) (*process, error) {
		p, err := f.role(ctx, name, role, append(append([]string{}, common...), store...))
		if p != nil {
			f.stand.front = append(f.stand.front, p) // for tail and close
			f.opsOf[p] = f.ops[len(f.ops)-1]
		}
		return p, err
	}
	// The console's first: verify asks it for the ledger.
	if f.console, err = start("console", "admin", at); err != nil {
		return nil, err
	}
	if err := f.settle(ctx); err != nil {
		return nil, err
	}
	for _, group := range []struct {
		name, role string
		n          int
		to         *[]*process
	}{{"worker", "worker", 2, &f.workers}, {"dispatcher", "dispatcher", 2, &f.dispatchers}, {"collector", "collector", 3, &f.collectors}} {
		for i := range group.n {
			store := at
			if group.role == "collector" && i == group.n-1 && skewed != nil {
				by, err := skewed(f.redis[0].addr)
				if err != nil {
					return nil, err
				}
				store = []string{"--redis.url=redis://" + by}
			}
			p, err := start(fmt.Sprint(group.name, i+1), group.role, store)
			if err != nil {
				return nil, err
			}
			*group.to = append(*group.to, p)
		}
	}
	if err := f.balance(ctx); err != nil {
		return nil, err
	}
	return f, until(ctx, time.Minute, "HAProxy passes on to a collector that knows the pixel", func() error {
		return answers(f.front + "/config/" + pixel + ".json")(ctx)
	})
}

// migrate brings the analytics' schema to what a build wants, as before an upgrade, or with
// --back to what the version before it bears.
func (f *fleet) migrate(ctx context.Context, binary string, flags ...string) error {
	cmd := exec.CommandContext(ctx, binary, slices.Concat([]string{"migrate", "--data_dir=" + filepath.Join(f.dir, "migrate")}, flags, f.settings)...)
	cmd.Dir = f.dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pixel migrate: %w\n%s", err, said)
	}
	return nil
}

// all are the processes in the order of an upgrade: what reads comes before what writes.
func (f *fleet) all() []*process {
	return append(append(append(append([]*process{}, f.workers...), f.dispatchers...), f.console), f.collectors...)
}

var servers = regexp.MustCompile(`(?m)^ +server collector-.*\n?`)

// balance starts HAProxy with the file that we ship, but for addresses, for the number of
// connections, which not every machine that tests lets one open, and for what one visitor
// may send, since the load is all of one.
func (f *fleet) balance(ctx context.Context) error {
	body, err := os.ReadFile(filepath.Join("..", "..", "docs", "deploy", "haproxy", "haproxy.cfg"))
	if err != nil {
		return err
	}
	addr, err := freeaddr.Pick()
	if err != nil {
		return err
	}
	text := servers.ReplaceAllString(string(body), "")
	for _, c := range [][2]string{{"bind *:8080", "bind " + addr}, {"maxconn 20000", "maxconn 4000"}, {"gt 1000 }", "gt 1000000 }"}} {
		if !strings.Contains(text, c[0]) {
			return fmt.Errorf("the HAProxy file that we ship has no %q any more", c[0])
		}
		text = strings.Replace(text, c[0], c[1], 1)
	}
	for i, url := range f.urls {
		text += fmt.Sprintf("\n    server collector-%d %s", i+1, strings.TrimPrefix(url, "http://"))
	}
	path := filepath.Join(f.dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
		return err
	}
	f.front = "http://" + addr
	f.haproxy = &process{name: "haproxy", path: "haproxy", args: []string{"-db", "-f", path}, log: filepath.Join(f.dir, "haproxy.log"),
		ready: answers(f.front + "/sdk.js")}
	f.stand.front = append(f.stand.front, f.haproxy)
	return f.haproxy.start(ctx)
}

// leave asks a process to stop as systemd and Kubernetes do, and waits until it has.
func (p *process) leave(ctx context.Context) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		return fmt.Errorf("%s does not end within a minute of SIGTERM: %s", p.name, p.said(2000))
	case <-ctx.Done():
		return ctx.Err()
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with %d: %s", p.name, code, p.said(2000))
	}
	return nil
}

// gauge is a metric without labels.
func gauge(ops, name string) (float64, error) {
	body, err := metrics(ops)
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(body)
	if m == nil {
		return 0, fmt.Errorf("%s has no %s", ops, name)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// clockAnswer is what Redis says to TIME: seconds and microseconds.
var clockAnswer = regexp.MustCompile(`^\*2\r\n\$10\r\n(\d{10})\r\n(\$\d\r\n\d{1,6}\r\n)$`)

// otherClock is Redis as a machine sees it whose own clock is wrong: all is passed on as
// it is, but the time that Redis tells is by so much another.
func otherClock(addr string, by time.Duration) (string, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", addr)
			if err != nil {
				here.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(there, here)
				there.Close()
			}()
			go func() {
				defer here.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := there.Read(buf)
					b := buf[:n]
					if m := clockAnswer.FindSubmatch(b); m != nil {
						seconds, _ := strconv.ParseInt(string(m[1]), 10, 64)
						b = fmt.Appendf(nil, "*2\r\n$10\r\n%d\r\n%s", seconds+int64(by.Seconds()), m[2])
					}
					if _, e := here.Write(b); e != nil || err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), func() { l.Close() }, nil
}

// seen is a process as the console shows it.
type seen struct {
	Instance, Roles, Commit string
	Settings                bool
	Warnings                []string
}

func (f *fleet) processes(ctx context.Context) ([]seen, error) {
	var page struct{ Items []seen }
	err := f.call(ctx, http.MethodGet, "/processes", nil, &page)
	return page.Items, err
}
