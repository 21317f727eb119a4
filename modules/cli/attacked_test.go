package cli_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miq/pixel/modules/edge"
)

// attacked is a process under attack, and a visitor of it who does nothing wrong.
type attacked struct {
	*process
	key   []byte
	n     int           // of the visitor's requests
	bad   []string      // what went wrong with them
	did   atomic.Int64  // what others asked
	there chan struct{} // closed once a crowd has come
}

// dial opens a connection to the collector.
func (a *attacked) dial() (net.Conn, error) {
	return net.DialTimeout("tcp", strings.TrimPrefix(a.collector, "http://"), 10*time.Second)
}

// raw sends bytes as they are, and returns the answer's status and all of it.
func (a *attacked) raw(request string) (int, string) {
	c, err := a.dial()
	if err != nil {
		return 0, err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(c, request) // it may be cut off before it is through
	text, _ := io.ReadAll(io.LimitReader(c, 1<<20))
	status, _ := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(strings.SplitN(string(text)+"   ", " ", 3)[1], " ")))
	return status, string(text)
}

func (a *attacked) post(body []byte, headers ...string) (int, string) {
	r, err := http.NewRequest("POST", a.collector+"/collect", bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := attackers.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

var attackers = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}

// visit lets the visitor send events, one after the other, until the context ends or for
// a while, and returns how long he waited each time.
func (a *attacked) visit(ctx context.Context, d time.Duration) []time.Duration {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}} // connections of his own, anew each time he comes
	defer client.CloseIdleConnections()
	var took []time.Duration
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil || len(took) < 20; {
		a.n++
		start := time.Now()
		resp, err := client.Post(a.collector+"/collect", "application/json", strings.NewReader(fmt.Sprintf(`{"pixel_id":"px_a","identity":{"anonymous_id":"friend"},"events":[{"id":"friend-%d","name":"page_view"}]}`, a.n)))
		if err != nil {
			a.bad = append(a.bad, err.Error())
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		took = append(took, time.Since(start))
		if resp.StatusCode != http.StatusAccepted {
			a.bad = append(a.bad, resp.Status)
		}
		time.Sleep(5 * time.Millisecond) // a visitor, not another load
	}
	return took
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// processor is the time of a processor that the process has taken.
func (a *attacked) processor() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", a.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// resident is the process's memory in MiB.
func (a *attacked) resident() float64 {
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(body); err == nil && m != nil {
		kb, _ := strconv.Atoi(string(m[1]))
		return float64(kb) / 1024
	}
	return 0
}

// again does something over and over, a few at once, until the window ends. want is the
// status that each must be answered with; 0: the connection is cut.
func (a *attacked) again(ctx context.Context, at int, pause time.Duration, want []int, do func() (int, string)) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var wrong error
	for range at {
		all.Go(func() {
			for first := true; first || ctx.Err() == nil; first = false {
				status, text := do()
				a.did.Add(1)
				if !slices.Contains(want, status) {
					mu.Lock()
					wrong = fmt.Errorf("answered %d %.200s; want %v", status, text, want)
					mu.Unlock()
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	all.Wait()
	return wrong
}

// crowd holds n connections, on each of which send is called now and again, until the
// window ends. If something is sent, the server must have cut half of them by then, for all
// that was sent, and soon the others too: those that a busy machine opened late.
func (a *attacked) crowd(ctx context.Context, n int, begin, drip string) error {
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range n {
		c, err := a.dial()
		if err != nil {
			return fmt.Errorf("after %d connections: %w", len(conns), err)
		}
		_, _ = io.WriteString(c, begin)
		conns = append(conns, c)
	}
	close(a.there)
	for tick := time.NewTicker(time.Second); drip != "" && ctx.Err() == nil; {
		for _, c := range conns {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(c, drip)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	<-ctx.Done()
	if drip == "" {
		return nil
	}
	open := func(patience time.Duration) (n int) {
		end := time.Now().Add(patience)
		for _, c := range conns {
			_ = c.SetReadDeadline(end)
			_, err := c.Read(make([]byte, 1))
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				n++ // neither an answer nor an end
			}
		}
		return n
	}
	if still := open(50 * time.Millisecond); still > n/2 {
		return fmt.Errorf("%d of %d connections are still open", still, n)
	}
	if still := open(2 * time.Minute); still > 0 {
		return fmt.Errorf("%d of %d connections stay open for ever", still, n)
	}
	return nil
}

// sign is what an honest edge does.
func (a *attacked) sign(body []byte, at time.Time, ip string) string {
	digest := sha256.Sum256(body)
	claims, _ := json.Marshal(edge.Claims{Signed: at.UnixMilli(), Method: "POST", Target: "/collect", Body: base64.RawURLEncoding.EncodeToString(digest[:]), IP: ip, Country: "SE"})
	part := base64.RawURLEncoding.EncodeToString(claims)
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(part))
	return "k1." + part + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// metric is a series' value, 0 where it is absent.
func (a *attacked) metric(series string) float64 {
	body, _ := get(a.ops + "/metrics")
	if m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(body); m != nil {
		v, _ := strconv.ParseFloat(string(m[1]), 64)
		return v
	}
	return 0
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// openFiles is how many connections each side may have open here, at most most.
func openFiles(most int) int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 500
	}
	return min(most, int(min(l.Max, 1<<20))-500)
}
