package edge_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/modules/freeaddr"
)

// The worker is tested under workerd, the runtime that Cloudflare runs, with a
// Durable Object on a real disk. Cloudflare's cache and its network are imitated
// by this process: everything that the worker sends comes to world.

// key is shared by the worker and the tests' collector.
var key = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))

const originHost = "collector.test"

// world is everything outside of workerd: a collector, and a cache.
type world struct {
	t      *testing.T
	server *httptest.Server

	mu     sync.Mutex
	answer http.HandlerFunc // of the collector; nil: it does not answer
	came   []arrival
	cache  map[string][]byte
}

// arrival is what came to the collector.
type arrival struct {
	*http.Request
	body []byte
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, cache: map[string][]byte{}, answer: accept}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.server.Close)
	return w
}

func accept(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusAccepted) }

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.Header.Get("X-For") == "cache" {
		w.serveCache(rw, r, body)
		return
	}
	if r.Host != originHost {
		w.t.Errorf("the worker sent something to %s", r.Host)
	}
	w.mu.Lock()
	answer := w.answer
	if answer != nil {
		r.RequestURI = r.URL.RequestURI()
		w.came = append(w.came, arrival{r, body})
	}
	w.mu.Unlock()
	if answer == nil {
		panic(http.ErrAbortHandler) // the line breaks
	}
	answer(rw, r)
}

// serveCache does what workerd asks of whoever keeps its cache: PUT brings a whole
// response, GET wants it again, PURGE forgets it.
func (w *world) serveCache(rw http.ResponseWriter, r *http.Request, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := r.Host + r.URL.RequestURI()
	switch r.Method {
	case http.MethodPut:
		w.cache[name] = body
		rw.WriteHeader(http.StatusNoContent)
	case "PURGE":
		if _, ok := w.cache[name]; !ok {
			rw.WriteHeader(http.StatusNotFound)
		}
		delete(w.cache, name)
	default:
		stored, ok := w.cache[name]
		if !ok {
			rw.Header().Set("CF-Cache-Status", "MISS")
			rw.WriteHeader(http.StatusGatewayTimeout)
			return
		}
		res, err := http.ReadResponse(newReader(stored), nil)
		if err != nil {
			w.t.Errorf("the cache was given something else than a response: %v", err)
			return
		}
		for name, values := range res.Header {
			rw.Header()[name] = values
		}
		rw.Header().Set("CF-Cache-Status", "HIT")
		rw.WriteHeader(res.StatusCode)
		io.Copy(rw, res.Body)
	}
}

// set makes the collector answer like this from now on.
func (w *world) set(answer http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

// arrivals are the requests for a path that the collector has seen.
func (w *world) arrivals(path string) (out []arrival) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.came {
		if a.URL.Path == path {
			out = append(out, a)
		}
	}
	return out
}

// worker is a running workerd.
type worker struct {
	t    *testing.T
	url  string
	dir  string // its disk
	addr string
	path string // its configuration
	cmd  *exec.Cmd
	out  *bytes.Buffer
}

const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "disk", disk = (path = %[1]q, writable = true)),
    (name = "world", external = (address = %[2]q, http = (style = host))),
    (name = "cache", external = (address = %[2]q, http = (style = host, injectRequestHeaders = [(name = "X-For", value = "cache")]))),
  ],
  sockets = [(name = "http", address = %[3]q, service = "edge", http = (cfBlobHeader = "X-Test-Cf"))],
);
const edge :Workerd.Worker = (
  modules = [(name = "edge.mjs", esModule = embed "edge.mjs")],
  compatibilityDate = "2026-11-01",
  bindings = [
    (name = "ORIGIN", text = "http://collector.test"),
    (name = "PREFIX", text = "/a8f3"),
    (name = "EDGE_KEYS", text = "k1:%[4]s"),
    (name = "ORIGIN_TIMEOUT_MS", text = "500"),
    (name = "OUTBOX_SHARDS", text = "2"),
    (name = "OUTBOX", durableObjectNamespace = "Outbox"),
  ],
  durableObjectNamespaces = [(className = "Outbox", uniqueKey = "pixel-edge-outbox", enableSql = true)],
  durableObjectStorage = (localDisk = "disk"),
  cacheApiOutbound = "cache",
  globalOutbound = "world",
);
`

// run starts the worker, bundled from its sources.
func run(t *testing.T, w *world) *worker {
	t.Helper()
	bin := workerd(t)
	addr, err := freeaddr.Pick()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bundle := exec.Command("go", "tool", "esbuild", "src/index.ts", "--bundle", "--format=esm", "--target=es2022",
		"--external:cloudflare:workers", "--log-level=warning", "--outfile="+filepath.Join(dir, "edge.mjs"))
	if out, err := bundle.CombinedOutput(); err != nil {
		t.Fatalf("bundle the worker: %v\n%s", err, out)
	}
	x := &worker{t: t, url: "http://" + addr + "/a8f3", addr: addr, dir: filepath.Join(dir, "disk"), path: filepath.Join(dir, "config.capnp"), out: &bytes.Buffer{}}
	if err := os.Mkdir(x.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(config, x.dir, w.server.Listener.Addr(), addr, key)
	if err := os.WriteFile(x.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	x.start(bin)
	t.Cleanup(func() {
		x.kill()
		if t.Failed() {
			t.Logf("workerd said:\n%s", x.out)
		}
	})
	return x
}

// workerd finds the runtime that npm installed.
func workerd(t *testing.T) string {
	t.Helper()
	arch := map[string]string{"amd64": "64", "arm64": "arm64"}[runtime.GOARCH]
	bin, err := filepath.Abs(filepath.Join("node_modules", "@cloudflare", "workerd-"+runtime.GOOS+"-"+arch, "bin", "workerd"))
	if err == nil {
		_, err = os.Stat(bin)
	}
	if err != nil {
		t.Skip("workerd is not installed: npm ci --prefix sdk/edge")
	}
	return bin
}

func (x *worker) start(bin string) {
	x.t.Helper()
	x.cmd = exec.Command(bin, "serve", x.path)
	x.cmd.Stdout, x.cmd.Stderr = x.out, x.out
	if err := x.cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	x.eventually("workerd is up", func() error {
		res, err := http.Get(x.url + "/healthz")
		if err == nil {
			res.Body.Close()
		}
		return err
	})
}

// kill ends workerd without a warning.
func (x *worker) kill() {
	_ = x.cmd.Process.Kill()
	_ = x.cmd.Wait()
}

func (x *worker) eventually(what string, check func() error) {
	x.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cf is what Cloudflare knows of the visitor.
const cf = `{"country":"US","regionCode":"CA","city":"San Francisco","postalCode":"94107","timezone":"America/Los_Angeles","asn":64500,"asOrganization":"Example Net"}`

// send asks the worker as a browser on the advertiser's site would.
func (x *worker) send(method, target, body string, headers ...string) *http.Response {
	x.t.Helper()
	r, err := http.NewRequest(method, x.url+target, strings.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	r.Host = "www.shop.example"
	r.Header.Set("X-Test-Cf", cf)
	r.Header.Set("CF-Connecting-IP", "203.0.113.7")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { res.Body.Close() })
	return res
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
