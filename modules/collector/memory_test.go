package collector

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// Whatever a test starts has to end with it: requests, groups, servers.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryStaysFlatUnderLoadAndNothingRunsOnAfterwards(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Queue = nowhere{} })
	idle := goleak.IgnoreCurrent()
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	load := func(requests int) {
		var all sync.WaitGroup
		for w := range 32 {
			all.Go(func() {
				for i := range requests / 32 {
					// Each of another size, from a hundred bytes to tens of thousands.
					event := fmt.Sprintf(`{"name":"view_item","properties":{"note":"%s","items":[{"item_id":"a"},{"item_id":"b"}]}}`, strings.Repeat("x", (i*37+w)%3000))
					body := `{"pixel_id":"px_demo","events":[` + strings.Repeat(event+",", i%20) + event + `]}`
					if i%50 == 0 {
						body = body[:len(body)-3] // some are broken off
					}
					res, err := client.Post("http://"+f.Addr()+"/collect", "application/json", strings.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			})
		}
		all.Wait()
	}
	heap := func() int64 {
		client.CloseIdleConnections()
		var m runtime.MemStats
		for range 3 { // what pools hold goes with the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	load(2000)
	before, goroutines := heap(), runtime.NumGoroutine()
	load(8000)
	after := heap()
	t.Logf("heap in use: %d KiB, and %d KiB after four times as many requests; %d goroutines, then %d", before>>10, after>>10, goroutines, runtime.NumGoroutine())
	if after-before > 1<<20 {
		t.Errorf("the heap grew by %d KiB", (after-before)>>10)
	}
	if used := f.room.used.Load(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, idle)
}
