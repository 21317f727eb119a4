package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miq/pixel/modules/app"
	"github.com/miq/pixel/modules/freeaddr"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/sandbox"
)

// plan says what a stand is made of.
type plan struct {
	embedded bool   // all roles in one process on the embedded store
	apart    bool   // each role a process of its own, on ClickHouse, since they share what is stored
	fsync    string // of Redis: everysec or always
	cluster  bool   // three masters with a replica each
	proxy    bool   // a bad network between the roles and Redis
	disk     int    // MiB of each collector's disk; 0: that of the machine
	args     []string
	// resends says that a dispatcher dies with requests under way. Whether they
	// arrived nobody can know, so they go out again under the same key, by which the
	// partner tells them: that is not a duplicate that it sees.
	resends bool
}

const (
	token  = "chaos-token"
	secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" // of nothing
	lease  = 45 * time.Second                               // no shorter one is allowed
)

// stand is a running pixel with what it needs.
type stand struct {
	plan    plan
	dir     string
	binary  string
	redis   []*process
	network *network
	front   []*process // collectors
	back    *process   // worker, dispatcher and console; where they are apart, the console
	apart   []*process // the worker and the dispatcher, where they are apart
	engine  *process   // ClickHouse
	urls    []string
	api     string
	ops     []string // of all roles, the console's first
	disks   []string // mounted for the collectors
	archive string   // its folder, where workers share one; else it is the worker's own

	partners *http.Server
	sandbox  *sandbox.Server
	heard    *hearing
}

func build(ctx context.Context, dir, binary string, p plan) (_ *stand, err error) {
	s := &stand{plan: p, dir: dir, binary: binary}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, s.tail())
			s.close()
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	endpoints, err := s.imitate()
	if err != nil {
		return nil, err
	}
	common := append([]string{"--secret_key=" + secret, "--queue.lease=" + lease.String(), "--queue.max_deliveries=50",
		"--dispatcher.retry.min=200ms", "--dispatcher.retry.max=2s", "--dispatcher.breaker.delay=1s", "--worker.batch=64"}, p.args...)
	common = append(common, endpoints...)
	if !p.embedded {
		at, err := s.store(ctx)
		if err != nil {
			return nil, err
		}
		common = append(common, at...)
	}
	back, front := "worker,dispatcher,admin", 2
	switch {
	case p.embedded:
		back, front = "all", 0
	case p.apart:
		back = "admin"
		at, err := s.clickhouse(ctx)
		if err != nil {
			return nil, err
		}
		common = append(common, at)
	}
	if s.back, err = s.role(ctx, "back", back, common); err != nil {
		return nil, err
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	for _, role := range []string{"worker", "dispatcher"} {
		if !p.apart {
			break
		}
		one, err := s.role(ctx, role, role, common)
		if err != nil {
			return nil, err
		}
		s.apart = append(s.apart, one)
	}
	for i := range front {
		if err := s.mount(fmt.Sprintf("collector%d", i+1)); err != nil {
			return nil, err
		}
		c, err := s.role(ctx, fmt.Sprintf("collector%d", i+1), "collector", common)
		if err != nil {
			return nil, err
		}
		s.front = append(s.front, c)
	}
	// A collector learns of the pixel within a second.
	return s, until(ctx, 30*time.Second, "every collector knows the pixel", func() error {
		for _, url := range s.urls {
			if err := answers(url + "/config/" + pixel + ".json")(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// imitate serves the partners.
func (s *stand) imitate() ([]string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.sandbox = sandbox.New(app.Adapters())
	s.partners = &http.Server{Handler: s.sandbox}
	go func() { _ = s.partners.Serve(l) }()
	s.heard = listen(s.sandbox)
	var args []string
	for name, e := range sandbox.Endpoints("http://"+l.Addr().String(), app.Adapters()) {
		args = append(args, "--partners."+name+".endpoint="+e.Endpoint)
		if e.TokenURL != "" {
			args = append(args, "--partners."+name+".token_url="+e.TokenURL)
		}
	}
	return args, nil
}

// role starts roles in a process of their own, on a folder of its own.
func (s *stand) role(ctx context.Context, name, roles string, common []string) (*process, error) {
	var addr [3]string
	for i := range addr {
		var err error
		if addr[i], err = freeaddr.Pick(); err != nil {
			return nil, err
		}
	}
	p := &process{
		name: name, path: s.binary, log: filepath.Join(s.dir, name+".log"), env: []string{"PIXEL_ADMIN_TOKEN=" + token},
		args: append([]string{"serve", "--role=" + roles, "--data_dir=" + filepath.Join(s.dir, name),
			"--collector.addr=" + addr[0], "--admin.addr=" + addr[1], "--ops.addr=" + addr[2]}, common...),
		ready: answers("http://" + addr[2] + "/readyz"),
	}
	if roles == "all" || strings.Contains(roles, "collector") {
		s.urls = append(s.urls, "http://"+addr[0])
	}
	if roles == "all" || strings.Contains(roles, "admin") {
		s.api = "http://" + addr[1] + "/api/v1"
	}
	s.ops = append(s.ops, "http://"+addr[2])
	return p, p.start(ctx)
}

// settle makes the pixel and connects the partners.
func (s *stand) settle(ctx context.Context) error {
	err := s.call(ctx, http.MethodPost, "/pixels", map[string]any{
		"id": pixel, "name": "Chaos", "enabled": true, "consent_mode": "implied", "country": "US",
		"routes": []map[string]any{
			{"partner": "ttd", "event": "purchase", "enabled": true, "params": map[string]any{"adv": "chaosadv", "tracker_id": "chaostrk"}},
			{"partner": "amazon", "event": "purchase", "enabled": true, "params": map[string]any{"account_id": "1234567890", "region": "NA", "conversion_type": "OFF_AMAZON_PURCHASES"}},
		},
	}, nil)
	if err != nil {
		return err
	}
	return s.connect(ctx, "ttd", "amazon")
}

// connect gives partners credentials, of which their imitations want only that there are some.
func (s *stand) connect(ctx context.Context, names ...string) error {
	for _, a := range app.Adapters() {
		spec := a.Spec()
		if !slices.Contains(names, spec.Name) {
			continue
		}
		credentials := map[string]string{}
		for _, c := range spec.Credentials {
			if c.Name == partner.ServiceAccount {
				continue // the account is connected by its refresh token
			}
			credentials[c.Name] = "chaos-" + c.Name
		}
		if len(credentials) == 0 {
			continue
		}
		if err := s.call(ctx, http.MethodPatch, "/partners/"+spec.Name, map[string]any{"credentials": credentials}, nil); err != nil {
			return err
		}
	}
	return nil
}

// errNotHere says that this machine does not let a fault be tried.
var errNotHere = errors.New("cannot be tried here")

// mount gives a role a small disk of its own.
func (s *stand) mount(name string) error {
	if s.plan.disk == 0 {
		return nil
	}
	at := filepath.Join(s.dir, name)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", at, "tmpfs", 0, fmt.Sprintf("size=%dm", s.plan.disk)); err != nil {
		return fmt.Errorf("%w: it needs a small disk, and mount says: %w", errNotHere, err)
	}
	s.disks = append(s.disks, at)
	return nil
}

// fill takes what is left of a collector's disk.
func (s *stand) fill(i int) error {
	f, err := os.Create(filepath.Join(s.disks[i], "filler"))
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			if errors.Is(err, syscall.ENOSPC) {
				return nil
			}
			return err
		}
	}
}

func (s *stand) collectors() []string { return s.urls }

// all are the processes that were started.
func (s *stand) all() []*process {
	return slices.Concat([]*process{s.back}, s.apart, s.front, s.redis, []*process{s.engine})
}

// tail is what everybody said last, for whoever must find out why.
func (s *stand) tail() string {
	var b strings.Builder
	for _, p := range s.all() {
		if p != nil {
			fmt.Fprintf(&b, "--- %s\n%s\n", p.name, p.said(1500))
		}
	}
	return b.String()
}

func (s *stand) close() {
	for _, p := range s.all() {
		if p != nil {
			p.kill()
		}
	}
	for _, d := range s.disks {
		_ = syscall.Unmount(d, syscall.MNT_DETACH)
	}
	if s.network != nil {
		s.network.close()
	}
	if s.heard != nil {
		s.heard.stop()
	}
	if s.partners != nil {
		_ = s.partners.Close()
	}
}
