package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/filearchive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/sandbox"
)

// hearing writes down which events the partners got, before the sandbox forgets.
type hearing struct {
	mu   sync.Mutex
	last int64
	got  map[string]map[string]int // partner → event → times accepted
	quit chan struct{}
	done sync.WaitGroup
	box  *sandbox.Server
}

func listen(box *sandbox.Server) *hearing {
	h := &hearing{got: map[string]map[string]int{}, quit: make(chan struct{}), box: box}
	h.done.Go(func() {
		for {
			h.take()
			select {
			case <-h.quit:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return h
}

func (h *hearing) take() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.box.Received("") {
		if e.Seq <= h.last {
			continue
		}
		h.last = e.Seq
		if h.got[e.Partner] == nil {
			h.got[e.Partner] = map[string]int{}
		}
		// One partner goes by the event's id, the other by the order's.
		ids := e.EventIDs
		for _, order := range e.OrderIDs {
			if len(e.EventIDs) == 0 {
				ids = append(ids, strings.TrimPrefix(order, "o-"))
			}
		}
		for _, id := range ids {
			h.got[e.Partner][id]++
		}
	}
}

func (h *hearing) stop() {
	close(h.quit)
	h.done.Wait()
}

// call asks the console's API.
func (s *stand) call(ctx context.Context, method, path string, body, answer any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.api+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(b, answer)
}

// drained is nil when nothing waits.
func (s *stand) drained(ctx context.Context) error {
	var queues struct {
		Items []struct {
			Queue, Kind string
			Depth       int
		}
	}
	if err := s.call(ctx, http.MethodGet, "/queues", nil, &queues); err != nil {
		return err
	}
	for _, q := range queues.Items {
		if q.Kind != "dead" && q.Depth > 0 {
			return fmt.Errorf("%s holds %d", q.Queue, q.Depth)
		}
	}
	for _, ops := range s.ops {
		b, err := metrics(ops)
		if err != nil {
			return err
		}
		if m := spilled.FindSubmatch(b); m != nil && string(m[1]) != "0" {
			return fmt.Errorf("%s items are on a collector's disk", m[1])
		}
	}
	return nil
}

var spilled = regexp.MustCompile(`(?m)^pixel_spill_items (\S+)$`)

func metrics(ops string) ([]byte, error) {
	resp, err := http.Get(ops + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// verify waits until all is done, and compares the sets.
func (s *stand) verify(ctx context.Context, l *load) (result, error) {
	r := result{sent: int(l.sent.Load()), refused: int(l.refused.Load()), acknowledged: len(l.acknowledged), outage: l.gap}
	if err := until(ctx, 6*time.Minute, "the queues are empty", func() error { return s.drained(ctx) }); err != nil {
		return r, err
	}
	note := func(format string, args ...any) { r.notes = append(r.notes, fmt.Sprintf(format, args...)) }

	stored, err := s.stored(ctx)
	if err != nil {
		return r, err
	}
	r.stored = len(stored)
	kept, err := s.archived(ctx)
	if err != nil {
		return r, err
	}
	for id := range l.acknowledged {
		if stored[id] == 0 {
			r.lost++
			note("%s was answered 202 and is not in the analytics store", id)
		}
		if kept[id] == 0 {
			r.lost++
			note("%s was answered 202 and is not in the archive", id)
		}
	}
	for id, n := range stored {
		if _, ok := l.acknowledged[id]; !ok {
			r.extra++
			note("%s is stored and was never sent", id)
		}
		if n > 1 {
			r.duplicates++
			note("%s is stored %d times", id, n)
		}
	}
	s.heard.take()
	for _, partner := range []string{"ttd", "amazon"} {
		got := s.heard.got[partner]
		r.delivered += len(got)
		unknown, err := s.unknown(ctx, partner)
		if err != nil {
			return r, err
		}
		r.unknown += len(unknown)
		for id, buy := range l.acknowledged {
			if buy && got[id] == 0 && !(s.plan.resends && unknown[id]) {
				r.lost++
				note("%s never got %s", partner, id)
			}
		}
		for id, n := range got {
			if n > 1 {
				r.resent += n - 1
				if !s.plan.resends {
					r.duplicates++
					note("%s got %s %d times", partner, id, n)
				}
			}
		}
	}
	if err := s.balance(ctx, &r, note); err != nil {
		return r, err
	}
	if len(r.notes) > 12 {
		r.notes = append(r.notes[:12], fmt.Sprintf("and %d more", len(r.notes)-12))
	}
	return r, nil
}

// unknown are the events among a partner's dead letters of which nobody knows whether
// it took them: its dispatcher died over them, and they have no key to tell a repeat by.
func (s *stand) unknown(ctx context.Context, partner string) (map[string]bool, error) {
	all := map[string]bool{}
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				Reason string
				Body   struct{ Event struct{ ID string } }
			}
			Next string
		}
		if err := s.call(ctx, http.MethodGet, "/dlq/"+partner+"?limit=1000&contains=unknown_outcome&cursor="+cursor, nil, &page); err != nil {
			return nil, err
		}
		for _, l := range page.Items {
			all[l.Body.Event.ID] = true
		}
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// stored counts the events in the analytics store by id.
func (s *stand) stored(ctx context.Context) (map[string]int, error) {
	all := map[string]int{}
	for cursor := ""; ; {
		var page struct {
			Items []struct{ ID string }
			Next  string
		}
		if err := s.call(ctx, http.MethodGet, "/events?limit=1000&pixel_id="+pixel+"&cursor="+cursor, nil, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Items {
			all[e.ID]++
		}
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// archived counts the events in the archive. One that a worker died over may be
// there twice; whoever reads it goes by the id.
func (s *stand) archived(ctx context.Context) (map[string]int, error) {
	a, err := s.openArchive()
	if err != nil {
		return nil, err
	}
	defer a.Close()
	all := map[string]int{}
	for rec, err := range a.Read(ctx, archive.Filter{PixelID: pixel}) {
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		all[rec.Event.ID]++
	}
	return all, nil
}

// archivedRows is how many events are in the archive, of all pixels.
func (s *stand) archivedRows(ctx context.Context) (n int, err error) {
	a, err := s.openArchive()
	if err != nil {
		return 0, err
	}
	defer a.Close()
	for _, err := range a.Read(ctx, archive.Filter{}) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (s *stand) openArchive() (*lake.Lake, error) {
	folder := s.archive
	switch {
	case folder != "":
	case s.plan.apart:
		folder = filepath.Join(s.dir, s.apart[0].name, "archive")
	default:
		folder = filepath.Join(s.dir, s.back.name, "archive")
	}
	a, _, err := filearchive.New(folder, lake.Options{})
	return a, err
}

var imbalance = regexp.MustCompile(`(?m)^pixel_ledger_imbalance\{check="(\w+)"\} (\S+)$`)

// balance asks the API now, and the metrics once they were made after the rest.
func (s *stand) balance(ctx context.Context, r *result, note func(string, ...any)) error {
	quiet := time.Now()
	var report struct {
		Total struct {
			Received, Accepted, Stored, Duplicate, Waiting int
		}
		Differences []struct {
			Difference int
			Text       string
		}
		CheckedAt time.Time `json:"checked_at"`
	}
	err := until(ctx, time.Minute, "the books are checked", func() error {
		if err := s.call(ctx, http.MethodGet, "/reports/ledger?since=3h", nil, &report); err != nil {
			return err
		}
		if !report.CheckedAt.After(quiet) {
			return fmt.Errorf("last checked at %s", report.CheckedAt)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range report.Differences {
		r.imbalance += max(d.Difference, -d.Difference)
		note("%s", d.Text)
	}
	if t := report.Total; t.Stored != r.stored || t.Waiting != 0 || t.Received != t.Accepted {
		r.imbalance++
		note("the books' total is %+v, with %d stored", t, r.stored)
	}
	b, err := metrics(s.ops[0]) // the console's process keeps the ledger
	if err != nil {
		return err
	}
	found := imbalance.FindAllSubmatch(b, -1)
	if len(found) == 0 {
		return fmt.Errorf("/metrics says nothing of the ledger")
	}
	for _, m := range found {
		if n, err := strconv.ParseFloat(string(m[2]), 64); err != nil || n != 0 {
			r.imbalance++
			note("pixel_ledger_imbalance{check=%q} is %s", m[1], m[2])
		}
	}
	return nil
}
