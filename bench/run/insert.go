package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics/chanalytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/freeaddr"
)

const (
	insertRows    = 16_384 // of one batch
	insertBatches = 8      // of each side in a round
	insertHands   = 4      // that write at once, a batch at a time
)

// engine is a ClickHouse engine that was started here.
type engine struct {
	*process
	base string
	end  func() error
}

// startEngine starts the tests' engine on a folder; empty: on one of its own, which
// goes with it.
func startEngine(ctx context.Context, dir string) (_ *engine, err error) {
	gone := func() error { return nil }
	if dir == "" {
		if dir, err = os.MkdirTemp("", "pixel-bench-clickhouse-"); err != nil {
			return nil, err
		}
		gone = func() error { return os.RemoveAll(dir) }
	}
	addr, err := freeaddr.Pick()
	if err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(addr, ":")
	p, err := start("clickhouse", nil, "modules/clickhousetest/server/run", "--port", port, "--path", filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	e := &engine{p, "http://" + addr, func() error { p.stop(); return gone() }}
	if err := p.ready(ctx, e.base+"/ping"); err != nil {
		return nil, errors.Join(err, e.end())
	}
	return e, nil
}

// ask runs a statement, with its data behind it.
func (e *engine) ask(ctx context.Context, database, query string, data []byte) ([]byte, error) {
	at := e.base + "/?" + url.Values{"database": {database}, "query": {query}, "wait_end_of_query": {"1"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%.80s: %s", query, body)
	}
	return body, err
}

// store opens a store on a database of its own.
func (e *engine) store(ctx context.Context, database string) (*chanalytics.Store, error) {
	c := config.Default().ClickHouse
	c.DSN = e.base + "/" + database
	c.WriteTimeout = 45 * time.Second // beside other work too
	if _, err := chanalytics.Migrate(ctx, c); err != nil {
		return nil, err
	}
	s, err := chanalytics.New(c, nil, slog.New(slog.DiscardHandler), chanalytics.NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// benchInsert writes batches through the store, and posts the same rows as blocks
// that were encoded before, by turns.
func benchInsert(ctx context.Context, rounds int) error {
	line, err := insertRatio(ctx, rounds)
	if err != nil {
		return err
	}
	out, err := json.Marshal(line, json.Deterministic(true))
	if err != nil {
		return err
	}
	fmt.Println(string(out))
	return nil
}

func insertRatio(ctx context.Context, rounds int) (line map[string]any, err error) {
	// As the product sets it: else the collector would mostly walk the events made here.
	debug.SetGCPercent(400)
	e, err := startEngine(ctx, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.end()) }()
	ours, err := e.store(ctx, "ours")
	if err != nil {
		return nil, err
	}
	defer ours.Stop()
	// Where blocks are made, and where they are posted.
	form, err := e.store(ctx, "form")
	if err != nil {
		return nil, err
	}
	defer form.Stop()
	alone, err := e.store(ctx, "alone")
	if err != nil {
		return nil, err
	}
	defer alone.Stop()
	columns, err := e.ask(ctx, "form", `SELECT arrayStringConcat(groupArray(name), ', ') FROM system.columns WHERE database = 'form' AND table = 'events' AND default_kind = ''`, nil)
	if err != nil {
		return nil, err
	}
	names := strings.TrimSpace(string(columns))
	var ourEPS, aloneEPS, ourClient, ourServer, aloneClient, aloneServer []float64
	fmt.Printf("%6s %16s %16s %8s\n", "round", "ours, events/s", "alone, events/s", "ratio")
	// The first round warms both sides up and is not counted.
	for round := range rounds + 1 {
		batches := make([][]event.Event, insertBatches)
		blocks := make([][]byte, insertBatches)
		for i := range batches {
			if batches[i], err = freshEvents(insertRows); err != nil {
				return nil, err
			}
			if err := form.WriteEvents(ctx, batches[i]...); err != nil {
				return nil, err
			}
			if blocks[i], err = e.ask(ctx, "form", `SELECT `+names+` FROM events FORMAT Native SETTINGS max_block_size = 1000000, preferred_block_size_bytes = 0, max_threads = 1`, nil); err != nil {
				return nil, err
			}
			if _, err := e.ask(ctx, "form", `TRUNCATE TABLE events`, nil); err != nil {
				return nil, err
			}
		}
		through := func() (float64, error) {
			begun := time.Now()
			if err := write(ctx, ours, slices.Concat(batches...)); err != nil {
				return 0, err
			}
			return insertBatches * insertRows / time.Since(begun).Seconds(), nil
		}
		posted := func() (float64, error) {
			begun := time.Now()
			for _, b := range blocks {
				if _, err := e.ask(ctx, "alone", `INSERT INTO events (`+names+`) FORMAT Native`, b); err != nil {
					return 0, err
				}
			}
			return insertBatches * insertRows / time.Since(begun).Seconds(), nil
		}
		sides := []struct {
			run                  func() (float64, error)
			into, client, server *[]float64
		}{{through, &ourEPS, &ourClient, &ourServer}, {posted, &aloneEPS, &aloneClient, &aloneServer}}
		if round%2 == 1 {
			slices.Reverse(sides)
		}
		for _, s := range sides {
			client, server := own(), e.cpu()
			eps, err := s.run()
			if err != nil {
				return nil, err
			}
			if round > 0 {
				*s.into = append(*s.into, eps)
				*s.client = append(*s.client, float64((own()-client).Microseconds())/(insertBatches*insertRows))
				*s.server = append(*s.server, float64((e.cpu()-server).Microseconds())/(insertBatches*insertRows))
			}
		}
		if round > 0 {
			fmt.Printf("%6d %16.0f %16.0f %8.2f\n", round, ourEPS[round-1], aloneEPS[round-1], ourEPS[round-1]/aloneEPS[round-1])
		}
	}
	for _, database := range []string{"ours", "alone"} {
		n, err := e.ask(ctx, database, `SELECT count() FROM events FINAL`, nil)
		if err != nil {
			return nil, err
		}
		if want := fmt.Sprint((rounds + 1) * insertBatches * insertRows); strings.TrimSpace(string(n)) != want {
			return nil, fmt.Errorf("%s holds %s events, not %s", database, bytes.TrimSpace(n), want)
		}
	}
	return map[string]any{"insert_ratio": ratios(ourEPS, aloneEPS), "insert_eps": round(median(ourEPS)), "insert_alone_eps": round(median(aloneEPS)),
		// CPU an event; it does not depend on what else runs.
		"insert_client_cpu_us": hundredths(median(ourClient)), "insert_server_cpu_us": hundredths(median(ourServer)),
		"insert_alone_client_cpu_us": hundredths(median(aloneClient)), "insert_alone_server_cpu_us": hundredths(median(aloneServer))}, nil
}

// write brings events as workers do: each its next batch as soon as the last one is
// stored.
func write(ctx context.Context, s *chanalytics.Store, events []event.Event) error {
	batches := make(chan []event.Event)
	var hands sync.WaitGroup
	errs := make([]error, insertHands)
	for i := range insertHands {
		hands.Go(func() {
			for b := range batches {
				errs[i] = errors.Join(errs[i], s.WriteEvents(ctx, b...))
			}
		})
	}
	for b := range slices.Chunk(events, insertRows) {
		batches <- b
	}
	close(batches)
	hands.Wait()
	return errors.Join(errs...)
}

// freshEvents are events that were never stored.
func freshEvents(n int) ([]event.Event, error) {
	items, err := sampleItems(n)
	if err != nil {
		return nil, err
	}
	events := make([]event.Event, n)
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range events {
		e := &events[i]
		if err := event.Decode(items[i].Body, e); err != nil {
			return nil, err
		}
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		e.ID, e.ReceivedAt, e.Subject.VisitorID = id.String(), now.Add(time.Duration(i)*time.Microsecond), e.Subject.AnonymousID
		e.Enrichment = event.Enrichment{
			Device:   event.Device{Class: "desktop", Browser: "Chrome", BrowserVersion: "141.0", OS: "Windows", OSVersion: "10"},
			Campaign: event.Campaign{Source: "google", Name: "spring"}, Referrer: event.Referrer{Host: "www.google.com", Kind: "search", Name: "Google"},
		}
	}
	return events, nil
}
