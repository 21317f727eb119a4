package simulate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

type sender struct {
	*Run
	o      Options
	client *http.Client
}

// made makes room for what is said of a request's events.
func (s *sender) made(q request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Events += q.events
	s.Conversions += q.buys
	for len(s.fates) < s.Events {
		s.fates = append(s.fates, open)
	}
}

// deliver sends a request until it is answered, as the tag does. It outlives the end of
// the run, for at most Patience: what was begun is brought to its end.
func (s *sender) deliver(q request, url string, due time.Time) {
	end := time.Now().Add(s.o.Patience)
	for try := 0; ; try++ {
		wait, why := s.post(q, url)
		s.mu.Lock()
		if try == 0 {
			s.Requests++
			took := time.Since(due)
			s.Latency.Add(took)
			s.recent.Add(took)
		}
		if why != "" {
			if try == 0 {
				s.Failed++
			}
			s.Why[why]++
		}
		s.mu.Unlock()
		if why == "" {
			return
		}
		backoff := time.Duration(float64(200*time.Millisecond) * math.Pow(2, float64(min(try, 5))) * (0.5 + rand.Float64()/2))
		if wait = max(wait, backoff); time.Now().Add(wait).After(end) {
			return
		}
		time.Sleep(wait)
	}
}

// post sends a request once. Unless why is empty it has to come again, not before wait.
func (s *sender) post(q request, url string) (wait time.Duration, why string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/collect", bytes.NewReader(q.body))
	if err != nil {
		return 0, err.Error()
	}
	h := r.Header
	h.Set("Content-Type", "text/plain;charset=UTF-8") // as sendBeacon does
	h.Set("Origin", q.origin)
	h.Set("Referer", q.origin+"/")
	h.Set("User-Agent", q.agent)
	h.Set("X-Forwarded-For", q.ip) // believed where we come from a trusted proxy
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, "no answer"
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "half an answer"
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		wait = time.Duration(n) * time.Second
	}
	var a struct {
		Code    string `json:"code"`
		Results []struct {
			Index  int    `json:"index"`
			Status string `json:"status"`
			Code   string `json:"code"`
		} `json:"results"`
	}
	if err := json.Unmarshal(body, &a); err != nil || len(a.Results) != q.events {
		if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusForbidden {
			return time.Hour, fmt.Sprintf("%d %s", resp.StatusCode, a.Code) // it will be no other
		}
		return wait, fmt.Sprintf("%d %s", resp.StatusCode, a.Code)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range a.Results {
		if x.Index < 0 || x.Index >= q.events {
			return wait, "an answer about other events"
		}
		at := &s.fates[q.first+x.Index]
		if *at == accepted {
			continue // whatever a repeat is answered, it is durable
		}
		switch x.Status {
		case "accepted":
			*at = accepted
		case "suppressed":
			*at = suppressed
		default:
			*at = rejected
			if x.Code == "overloaded" {
				*at, why = open, "overloaded"
			} else {
				s.Why["rejected "+x.Code]++
			}
		}
	}
	return wait, why
}

// Latency counts waits in steps of a twentieth.
type Latency struct {
	n      int
	counts [512]int
	most   time.Duration
}

// step is how much longer each class of waits is than the one before.
var step = math.Log(1.05)

// Add counts a wait.
func (l *Latency) Add(d time.Duration) {
	d = max(d, 10*time.Microsecond)
	l.counts[min(int(math.Log(float64(d)/1e4)/step), len(l.counts)-1)]++
	l.n++
	l.most = max(l.most, d)
}

// Quantile is how long a share of all waited at most, to a twentieth.
func (l *Latency) Quantile(q float64) time.Duration {
	left := int(math.Ceil(q * float64(l.n)))
	for i, n := range l.counts {
		if left -= n; left <= 0 && l.n > 0 {
			return min(time.Duration(1e4*math.Exp(step*float64(i+1))), l.most)
		}
	}
	return l.most
}
