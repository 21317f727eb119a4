// Package s3test runs a real S3 server for tests, versitygw, which keeps its buckets
// in a folder; and a proxy before it that fails as it is told.
package s3test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/miq/pixel/modules/freeaddr"
)

// The account that the server knows, which tests find in their environment.
const (
	region = "us-east-1"
	key    = "tester"
	secret = "secret-of-the-tester"
)

// Server is a running S3 server.
type Server struct {
	Endpoint string
	Dir      string // everything that it keeps
}

// Start starts a server that ends with the test, on a folder of its own where dir is
// empty. Without versitygw the test is skipped, aloud. It sets AWS's usual variables.
func Start(t testing.TB, dir string) *Server {
	t.Helper()
	program, err := exec.LookPath("versitygw")
	if err != nil {
		t.Skip("SKIPPED: versitygw is not installed (go install github.com/versity/versitygw/cmd/versitygw@v1.8.0), so nothing here was tried on a real S3 server")
	}
	Account(t)
	if dir == "" {
		dir = t.TempDir()
	}
	for _, sub := range []string{"buckets", "meta"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	addr, err := freeaddr.Pick()
	if err != nil {
		t.Fatal(err)
	}
	said := &said{}
	cmd := exec.Command(program, "--port", addr, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "buckets"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+key, "ROOT_SECRET_KEY="+secret)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("versitygw: %s", said.last(500))
		}
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return &Server{"http://" + addr, dir}
		}
	}
	t.Fatal("versitygw did not start")
	return nil
}

// Account sets AWS's variables to the account that the server knows.
func Account(t testing.TB) {
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": region, "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(k, v)
	}
}

// Bucket makes one.
func (s *Server) Bucket(t testing.TB, name string) {
	t.Helper()
	c := s3.New(s3.Options{Region: region, BaseEndpoint: aws.String(s.Endpoint), UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
}

// said is the last of what a process says.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *said) last(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buf.Bytes()
	return string(b[max(0, len(b)-n):])
}

// Fault is what a proxy puts before the server.
type Fault func(next http.Handler) http.Handler

// Proxy stands before a server.
type Proxy struct {
	Endpoint string

	fault atomic.Pointer[Fault]
	hit   atomic.Int64
}

// Before starts a proxy before the server, which lets all through at first.
func (s *Server) Before(t testing.TB) *Proxy {
	t.Helper()
	to, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{}
	next := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := p.fault.Load(); f != nil {
			p.hit.Add(1)
			(*f)(next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.Endpoint = server.URL
	return p
}

// Fail makes it fail from now on; nil lets all through again.
func (p *Proxy) Fail(f Fault) {
	p.hit.Store(0)
	if f == nil {
		p.fault.Store(nil)
		return
	}
	p.fault.Store(&f)
}

// Hit is how many requests came since it fails.
func (p *Proxy) Hit() int { return int(p.hit.Load()) }

// Broken answers 500 to every request.
func Broken(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>`))
	})
}

// Slow lets each request wait before it goes on.
func Slow(d time.Duration) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})
	}
}

// Deaf lets each request through, and cuts the connection before the answer: it is
// done, and who asked for it cannot know.
func Deaf(next http.Handler) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	})
}
