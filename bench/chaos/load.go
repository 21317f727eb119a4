package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// pixel is the one that the load is for.
const pixel = "px_chaos"

const (
	rate    = 150 // requests a second
	perSend = 4   // events of most requests
)

// load sends envelopes at a constant rate, whatever the answers, and remembers
// every id with what was said of it. As the tag does, it sends again under the
// same ids what was not answered, to whichever collector there is.
type load struct {
	urls   []string
	client *http.Client

	next          atomic.Int64
	sent, refused atomic.Int64
	wg            sync.WaitGroup
	halt          context.CancelFunc

	mu           sync.Mutex
	acknowledged map[string]bool // id → is a conversion
	open         []envelope      // not answered with 202 yet
	last         time.Time       // of a 202
	gap          time.Duration
	failures     []string // the first few, in words
}

type envelope struct {
	body string
	ids  []string
	buys []bool
}

func newLoad(urls []string) *load {
	return &load{
		urls: urls, acknowledged: map[string]bool{},
		client: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
}

func (l *load) envelope() envelope {
	var e envelope
	var events []string
	n := 1
	if rand.IntN(2) == 0 {
		n = perSend
	}
	for range n {
		id := fmt.Sprintf("chaos-%07d", l.next.Add(1))
		name, properties := "page_view", `{}`
		switch rand.IntN(5) {
		case 0, 1:
			name, properties = "purchase", fmt.Sprintf(`{"order_id":"o-%s","value":10.5,"currency":"GBP"}`, id)
		case 2:
			name = "scroll"
		}
		e.ids, e.buys = append(e.ids, id), append(e.buys, name == "purchase")
		events = append(events, fmt.Sprintf(`{"id":%q,"name":%q,"properties":%s}`, id, name, properties))
	}
	who := rand.IntN(200)
	e.body = fmt.Sprintf(`{"pixel_id":%q,"identity":{"anonymous_id":"v-%d","email":"v%d@example.com"},`+
		`"consent":{"gcm":{"ad_storage":"granted","ad_user_data":"granted","ad_personalization":"granted","analytics_storage":"granted"}},`+
		`"context":{"page":{"url":"https://shop.example.com/thanks"}},"events":[%s]}`, pixel, who, who, strings.Join(events, ","))
	return e
}

func (l *load) start(ctx context.Context) {
	ctx, l.halt = context.WithCancel(ctx)
	l.last = time.Now()
	l.wg.Go(func() {
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		slots := make(chan struct{}, 512) // a stuck server must not exhaust us
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case slots <- struct{}{}:
			default:
				continue
			}
			e := l.envelope()
			l.wg.Go(func() {
				defer func() { <-slots }()
				l.send(e)
			})
		}
	})
}

func (l *load) stop() {
	l.halt()
	l.wg.Wait()
}

// send sends an envelope once.
func (l *load) send(e envelope) bool {
	l.sent.Add(1)
	err := l.post(e.body, len(e.ids))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refused.Add(1)
		if len(l.failures) < 5 {
			l.failures = append(l.failures, err.Error())
		}
		l.open = append(l.open, e)
		return false
	}
	for i, id := range e.ids {
		l.acknowledged[id] = e.buys[i]
	}
	now := time.Now()
	l.gap = max(l.gap, now.Sub(l.last))
	l.last = now
	return true
}

func (l *load) post(body string, events int) error {
	url := l.urls[rand.IntN(len(l.urls))]
	resp, err := l.client.Post(url+"/collect", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%d %.200s", resp.StatusCode, b)
	}
	var a struct {
		Accepted int `json:"accepted"`
	}
	if err := json.Unmarshal(b, &a); err != nil || a.Accepted != events {
		return fmt.Errorf("%d events were sent, and the answer is %.200s (%v)", events, b, err)
	}
	return nil
}

// finish sends what is open until all of it is answered.
func (l *load) finish(ctx context.Context) error {
	return until(ctx, 2*time.Minute, "all requests are answered 202", func() error {
		l.mu.Lock()
		open := l.open
		l.open = nil
		l.mu.Unlock()
		for i, e := range open {
			if !l.send(e) {
				l.mu.Lock()
				l.open = append(l.open, open[i+1:]...)
				n := len(l.open)
				l.mu.Unlock()
				pause(ctx, 200*time.Millisecond)
				return fmt.Errorf("%d are not", n)
			}
		}
		return nil
	})
}
