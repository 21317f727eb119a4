package s3archive

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/s3test"
)

// server is an S3 server that tests may use.
type server struct {
	name, endpoint string
}

// servers are the one in process, and a real one: the user's own at
// $PIXEL_TEST_S3_ENDPOINT (with AWS's usual variables), or versitygw.
func servers(t *testing.T) []server {
	t.Helper()
	list := []server{{"in process", inProcess(t)}}
	if e := os.Getenv("PIXEL_TEST_S3_ENDPOINT"); e != "" {
		return append(list, server{"at " + e, e})
	}
	if _, err := exec.LookPath("versitygw"); err != nil {
		s3test.Account(t)
		t.Log("SKIPPED: versitygw is not installed (go install github.com/versity/versitygw/cmd/versitygw@v1.8.0); only the S3 server in process was asked")
		return list
	}
	return append(list, server{"versitygw", s3test.Start(t, "").Endpoint})
}

func inProcess(t *testing.T) string {
	s := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	t.Cleanup(s.Close)
	return s.URL
}

// settings are of a new bucket.
func settings(t *testing.T, endpoint string) config.Archive {
	t.Helper()
	name := "pixel-" + uuid.NewString()[:13]
	c := config.Default().Archive
	c.URL = "s3://" + name + "/some/where"
	c.S3.Endpoint, c.S3.PathStyle = endpoint, true
	b, err := NewBucket(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
	return c
}

// flaky is a proxy that fails as told.
type flaky struct {
	next  http.Handler
	fault atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fault := f.fault.Load(); fault != nil && (*fault)(w, r) {
		return
	}
	f.next.ServeHTTP(w, r)
}

func (f *flaky) set(fault func(http.ResponseWriter, *http.Request) bool) {
	if fault == nil {
		f.fault.Store(nil)
		return
	}
	f.fault.Store(&fault)
}

// The ways in which a bucket fails, beside those that store what they deny. Each
// reports whether the request ends there.
var faults = map[string]func(http.ResponseWriter, *http.Request) bool{
	"answers 500 to one of three": func(w http.ResponseWriter, _ *http.Request) bool {
		if rand.IntN(3) > 0 {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>`)
		return true
	},
	"asks to slow down": func(w http.ResponseWriter, _ *http.Request) bool {
		if rand.IntN(3) > 0 {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
		return true
	},
	"cuts the connection": func(http.ResponseWriter, *http.Request) bool {
		if rand.IntN(3) > 0 {
			return false
		}
		panic(http.ErrAbortHandler)
	},
}

func newFlaky(t *testing.T) (*flaky, string) {
	f := &flaky{next: gofakes3.New(s3mem.New()).Server()}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return f, s.URL
}
