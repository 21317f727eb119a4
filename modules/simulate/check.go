package simulate

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/settings"
)

// Console is what the check asks: the API of a running console.
type Console interface {
	// Call asks, and decodes the answer into v.
	Call(ctx context.Context, method, path string, body, v any) error
	// Column reads a column of a table that is had as CSV, row by row.
	Column(ctx context.Context, path, name string, row func(string)) error
}

// Outcome compares what went in with what came out.
type Outcome struct {
	Requests    int            `json:"requests"`
	Failed      int            `json:"requests_failed_at_first"`
	Why         map[string]int `json:"why,omitempty"`
	Events      int            `json:"events"`
	Conversions int            `json:"conversions"`
	Accepted    int            `json:"accepted"`
	Suppressed  int            `json:"suppressed"`
	Rejected    int            `json:"rejected"`
	Unanswered  int            `json:"unanswered"`
	Stored      int            `json:"stored"`
	Lost        int            `json:"lost"`    // accepted, and not stored
	Extra       int            `json:"extra"`   // stored, and not accepted: refused, or without consent
	Twice       int            `json:"twice"`   // stored more than once
	Strange     int            `json:"strange"` // stored with an id of this run that was never sent
	Balanced    bool           `json:"balanced"`
	Delivered   map[string]int `json:"delivered,omitempty"` // of the shops' deliveries of these hours
	Waiting     map[string]int `json:"deliveries_waiting,omitempty"`
	Rate        float64        `json:"events_per_second"`
	P50         float64        `json:"p50_ms"`
	P99         float64        `json:"p99_ms"`
	DrainedS    float64        `json:"drained_after_s"` // how long after the last was sent nothing waited any more
}

// Good reports whether what went in came out.
func (o *Outcome) Good() bool {
	return o.Accepted > 0 && o.Lost+o.Extra+o.Twice+o.Strange == 0 && o.Balanced
}

// Prepare makes the shops' pixels, unless an earlier run did, with routes to partners or
// with none. Without pixels nothing is taken.
func Prepare(ctx context.Context, c Console, shops []Shop, routes bool) error {
	for _, s := range shops {
		p := s.Pixel()
		p.Routes = []settings.Route{}
		if routes {
			p.Routes = Routes()
		}
		var there struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
		}
		if err := c.Call(ctx, "GET", "/pixels", nil, &there); err != nil {
			return err
		}
		known := false
		for _, x := range there.Items {
			known = known || x.ID == s.ID
		}
		var err error
		if known {
			err = c.Call(ctx, "PATCH", "/pixels/"+s.ID, map[string]any{"enabled": true, "routes": p.Routes}, nil)
		} else {
			err = c.Call(ctx, "POST", "/pixels", map[string]any{"id": p.ID, "name": p.Name, "advertiser": p.Advertiser, "enabled": true,
				"consent_mode": p.ConsentMode, "country": p.Country, "domains": p.Domains, "routes": p.Routes}, nil)
		}
		if err != nil {
			return fmt.Errorf("make the pixel %s: %w", s.ID, err)
		}
	}
	return nil
}

// Check waits until nothing that was sent waits any more, at most patience, and compares
// the ids that were answered with those that are stored.
func (r *Run) Check(ctx context.Context, c Console, patience time.Duration) (*Outcome, error) {
	o := &Outcome{
		Requests: r.Requests, Failed: r.Failed, Why: r.Why, Events: r.Events, Conversions: r.Conversions,
		Accepted: r.count(accepted), Suppressed: r.count(suppressed), Rejected: r.count(rejected), Unanswered: r.count(open),
		Rate: float64(r.Events) / r.Ended.Sub(r.Began).Seconds(), P50: ms(r.Latency.Quantile(0.5)), P99: ms(r.Latency.Quantile(0.99)),
	}
	if err := r.drained(ctx, c, patience); err != nil {
		return nil, err
	}
	o.DrainedS = time.Since(r.Ended).Seconds()
	if err := r.compare(ctx, c, o); err != nil {
		return nil, err
	}
	return o, r.books(ctx, c, o)
}

// drained waits until the queues are empty. Deliveries may wait for longer, for a partner
// that is away: then what waits is said, and is no fault.
func (r *Run) drained(ctx context.Context, c Console, patience time.Duration) error {
	end := time.Now().Add(patience)
	for {
		var queues struct {
			Items []struct {
				Kind  string `json:"kind"`
				Depth int    `json:"depth"`
			} `json:"items"`
		}
		if err := c.Call(ctx, "GET", "/queues", nil, &queues); err != nil {
			return err
		}
		ingest, partners := 0, 0
		for _, q := range queues.Items {
			switch q.Kind {
			case "ingest":
				ingest += q.Depth
			case "partner":
				partners += q.Depth
			}
		}
		late := time.Now().After(end)
		if ingest == 0 && (partners == 0 || late) {
			return nil
		}
		if late {
			return fmt.Errorf("after %s %d events still wait to be stored", patience, ingest)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// perExport is about how many events are asked for at once; the console gives a million.
const perExport = 300_000

func (r *Run) compare(ctx context.Context, c Console, o *Outcome) error {
	seen := make([]uint8, r.Events)
	window := time.Duration(float64(perExport) / max(o.Rate, 1) * float64(time.Second)).Truncate(time.Second)
	window = max(window, 10*time.Second)
	row := func(id string) {
		n, ours := strings.CutPrefix(id, r.prefix)
		if !ours {
			return
		}
		if i, err := strconv.Atoi(n); err != nil || i >= len(seen) {
			o.Strange++
		} else if seen[i] < 255 {
			seen[i]++
		}
	}
	// By the server's clock, which need not be ours.
	from, to := r.Began.Add(-5*time.Minute).Truncate(time.Second), time.Now().Add(5*time.Minute)
	for _, s := range r.shops {
		for at := from; at.Before(to); at = at.Add(window) {
			q := url.Values{"pixel_id": {s.ID}, "format": {"csv"}, "since": {at.UTC().Format(time.RFC3339)}, "until": {at.Add(window).UTC().Format(time.RFC3339)}}
			if err := c.Column(ctx, "/events?"+q.Encode(), "id", row); err != nil {
				return fmt.Errorf("read what is stored: %w", err)
			}
		}
	}
	for i, n := range seen {
		switch {
		case n == 0 && r.fates[i] == accepted:
			o.Lost++
		case n > 0 && r.fates[i] != accepted && r.fates[i] != open:
			o.Extra++
		}
		if n > 0 {
			o.Stored++
		}
		if n > 1 {
			o.Twice++
		}
	}
	return nil
}

// books asks whether the ledger balances, and what partners took. The books are checked in
// the background now and then, so a difference may be that of a moment ago.
func (r *Run) books(ctx context.Context, c Console, o *Outcome) error {
	for try := 0; ; try++ {
		o.Balanced, o.Delivered, o.Waiting = true, map[string]int{}, map[string]int{}
		for _, s := range r.shops {
			var l struct {
				Balanced bool `json:"balanced"`
				Total    struct {
					Partners []struct {
						Partner   string `json:"partner"`
						Delivered int    `json:"delivered"`
						Waiting   int    `json:"waiting"`
					} `json:"partners"`
				} `json:"total"`
			}
			q := url.Values{"pixel_id": {s.ID}, "since": {r.Began.UTC().Format(time.RFC3339)}, "until": {time.Now().Add(time.Minute).UTC().Format(time.RFC3339)}}
			if err := c.Call(ctx, "GET", "/reports/ledger?"+q.Encode(), nil, &l); err != nil {
				return err
			}
			o.Balanced = o.Balanced && l.Balanced
			for _, p := range l.Total.Partners {
				o.Delivered[p.Partner] += p.Delivered
				if p.Waiting > 0 {
					o.Waiting[p.Partner] += p.Waiting
				}
			}
		}
		if o.Balanced || try >= 60 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Known waits until each collector knows each shop's pixel: it is told of a new one
// within a second or two.
func Known(ctx context.Context, collectors []string, shops []Shop, patience time.Duration) error {
	end := time.Now().Add(patience)
	for _, url := range collectors {
		for _, s := range shops {
			for {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/config/"+s.ID+".json", nil)
				if err != nil {
					return err
				}
				status := 0
				resp, err := http.DefaultClient.Do(r)
				if err == nil {
					resp.Body.Close()
					status = resp.StatusCode
				}
				if status == http.StatusOK {
					break
				}
				if time.Now().After(end) {
					return fmt.Errorf("%s does not know the pixel %s: /config answers %d", url, s.ID, status)
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(250 * time.Millisecond):
				}
			}
		}
	}
	return nil
}
