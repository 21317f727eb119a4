package s3archive

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/archivetest"
	"github.com/miq/pixel/modules/archive/lake"
)

func TestContract(t *testing.T) {
	for _, s := range servers(t) {
		t.Run(s.name, func(t *testing.T) {
			archivetest.Run(t, func(t *testing.T) archivetest.Place {
				c := settings(t, s.endpoint)
				return archivetest.Place{Open: func(t *testing.T, rows int) archivetest.Store { return open(t, c, rows) }}
			})
		})
	}
}

func open(t *testing.T, c config.Archive, rows int) *lake.Lake {
	t.Helper()
	b, err := newBucket(t.Context(), c, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	l, err := lake.New(b, lake.Options{Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func TestObjectsOfAnySizeAppearWholeAndANameIsGivenOnce(t *testing.T) {
	for _, s := range servers(t) {
		t.Run(s.name, func(t *testing.T) {
			b, err := NewBucket(t.Context(), settings(t, s.endpoint))
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{0, 1, partSize, partSize + 1, 3*partSize + 5} {
				name, body := fmt.Sprintf("a/%d", n), noise(n)
				if err := b.Put(t.Context(), name, body, true); err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				if got, err := b.Get(t.Context(), name); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%d bytes came back as %d, %v", n, len(got), err)
				}
				if n > partSize/2 {
					continue // in parts; only UUIDs name what is that large
				}
				if err := b.Put(t.Context(), name, append(noise(n), 1), true); !errors.Is(err, lake.ErrExists) {
					t.Errorf("%d bytes, a second time under one name: %v", n, err)
				}
				if err := b.Put(t.Context(), name, body, true); err != nil {
					t.Errorf("%d bytes, the same again, as after an answer that was lost: %v", n, err)
				}
			}
			if _, err := b.Get(t.Context(), "a/none"); !errors.Is(err, lake.ErrGone) {
				t.Errorf("of nothing: %v", err)
			}
			if err := b.Check(t.Context()); err != nil {
				t.Error(err)
			}
			// More than one page of names, and more than one request deletes.
			var names []string
			var wg sync.WaitGroup
			free := make(chan struct{}, 16)
			for i := range 1100 {
				names = append(names, fmt.Sprintf("b/%04d/x", i))
				free <- struct{}{}
				wg.Go(func() {
					defer func() { <-free }()
					if err := b.Put(t.Context(), names[i], []byte("x"), false); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if list, err := b.List(t.Context(), "b"); err != nil || len(list) != len(names) || list[1099].Name != names[1099] || list[0].Size != 1 {
				t.Errorf("%d are listed, %v", len(list), err)
			}
			if list, err := b.Folders(t.Context(), "b"); err != nil || len(list) != len(names) || list[0] != "0000" {
				t.Errorf("%d folders, %v", len(list), err)
			}
			if list, err := b.Folders(t.Context(), ""); err != nil || fmt.Sprint(list) != "[a b]" {
				t.Errorf("folders %v, %v", list, err)
			}
			if err := b.Delete(t.Context(), names...); err != nil {
				t.Fatal(err)
			}
			if list, err := b.List(t.Context(), "b"); err != nil || len(list) != 0 {
				t.Errorf("%d are left, %v", len(list), err)
			}
		})
	}
}

// What Write returned for is there, whatever the bucket did meanwhile; and nothing
// hangs.
func TestABucketThatFailsLosesNothing(t *testing.T) {
	servers(t) // for their credentials
	all := maps.Clone(faults)
	all["stores and then answers 500"] = nil
	for name, f := range all {
		t.Run(name, func(t *testing.T) {
			proxy, endpoint := newFlaky(t)
			c := settings(t, endpoint)
			c.S3.Attempts = 8
			a := open(t, c, 50)
			if f == nil {
				f = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodPut || rand.IntN(2) == 0 {
						return false
					}
					proxy.next.ServeHTTP(httptest.NewRecorder(), r)
					w.WriteHeader(http.StatusInternalServerError)
					return true
				}
			}
			proxy.set(f)
			acked := map[string]bool{}
			for i := range 30 {
				e := archivetest.Event([]string{"px_1", "px_2"}[i%2], fmt.Sprint("e", i), archivetest.Begin)
				for try := 0; ; try++ {
					if err := a.Write(t.Context(), e); err == nil {
						break
					} else if try > 20 {
						t.Fatal(err)
					}
				}
				acked[e.ID] = true
				if i%10 == 9 {
					for try := 0; ; try++ {
						_, err := a.File(t.Context())
						if err == nil {
							err = a.Merge(t.Context(), time.Time{}, archivetest.Begin.Add(time.Hour))
						}
						if err == nil {
							break
						} else if try > 20 {
							t.Fatal(err)
						}
					}
				}
			}
			proxy.set(nil)
			got := map[string]bool{}
			for r, err := range a.Read(t.Context(), archive.Filter{}) {
				if err != nil {
					t.Fatal(err)
				}
				got[r.Event.ID] = true
			}
			if len(got) != len(acked) {
				t.Errorf("%d events are there, of %d", len(got), len(acked))
			}
		})
	}
}

func TestABucketThatIsSlowOrAwayIsAnErrorInTime(t *testing.T) {
	servers(t)
	proxy, endpoint := newFlaky(t)
	c := settings(t, endpoint)
	c.S3.Timeout, c.S3.Attempts = time.Second, 2
	a := open(t, c, 0)
	release := make(chan struct{})
	proxy.set(func(w http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-release:
		}
		return true
	})
	begin := time.Now()
	if err := a.Write(t.Context(), archivetest.Event("px", "e", archivetest.Begin)); err == nil {
		t.Error("it was taken")
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("it took %s", d)
	}
	close(release)
	proxy.set(nil)
	c.S3.Endpoint = "http://127.0.0.1:1"
	away := open(t, c, 0)
	if err := away.Write(t.Context(), archivetest.Event("px", "e", archivetest.Begin)); err == nil {
		t.Error("nobody took it")
	}
}

func TestEncryptionIsAskedForAndChecksumsGoAlong(t *testing.T) {
	servers(t)
	proxy, endpoint := newFlaky(t)
	c := settings(t, endpoint)
	c.S3.SSE, c.S3.KMSKey = "aws:kms", "alias/pixel"
	b, err := NewBucket(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []http.Header
	proxy.set(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut && !r.URL.Query().Has("partNumber") || r.Method == http.MethodPost && r.URL.Query().Has("uploads") {
			seen = append(seen, r.Header.Clone())
		}
		return false
	})
	for _, n := range []int{10, partSize + 1} {
		if err := b.Put(t.Context(), fmt.Sprint("x", n), noise(n), true); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 2 {
		t.Fatalf("%d objects were begun", len(seen))
	}
	for i, h := range seen {
		if h.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "alias/pixel" {
			t.Errorf("request %d asks for no encryption: %v", i, h)
		}
		if !strings.Contains(strings.ToLower(fmt.Sprint(h)), "crc32c") {
			t.Errorf("request %d has no checksum: %v", i, h)
		}
	}
}

func TestWhatIsWrongWithABucketIsSaid(t *testing.T) {
	for _, s := range servers(t) {
		t.Run(s.name, func(t *testing.T) {
			c := settings(t, s.endpoint)
			c.URL = "s3://pixel-there-is-none"
			b, err := NewBucket(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "NoSuchBucket") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	if _, err := NewBucket(t.Context(), config.Archive{URL: "s3://bucket"}); err == nil || !strings.Contains(err.Error(), "archive.s3.region") {
		t.Errorf("without a region: %v", err)
	}
}

// A body that was changed on its way is not taken for what was stored.
func TestDamageOnTheWayIsFound(t *testing.T) {
	servers(t)
	proxy, endpoint := newFlaky(t)
	c := settings(t, endpoint)
	a := open(t, c, 0)
	if err := a.Write(t.Context(), archivetest.Event("px", "e", archivetest.Begin)); err != nil {
		t.Fatal(err)
	}
	proxy.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, ".wal") {
			return false
		}
		rec := httptest.NewRecorder()
		proxy.next.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		body[len(body)/2] ^= 0xFF
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		_, _ = w.Write(body)
		return true
	})
	var last error
	for _, last = range a.Read(t.Context(), archive.Filter{}) {
	}
	if last == nil {
		t.Error("it was read")
	}
}
