package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/freeaddr"
)

// benchState lets visitors browse, buy and in part withdraw their consent, with
// the whole product, and then weighs what the state keeps of them.
func benchState(ctx context.Context, visitors, events int) (err error) {
	dir, err := os.MkdirTemp("", "pixel-bench-")
	if err != nil {
		return err
	}
	b := &bench{dir: dir, pixel: filepath.Join(dir, "pixel")}
	defer func() {
		for _, p := range slices.Backward(b.processes) {
			p.stop()
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	build := exec.CommandContext(ctx, "go", "build", "-o", b.pixel, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	server, err := tool(ctx, "redis-server")
	if err != nil {
		return err
	}
	_, store, err := b.redis(ctx, server, "everysec")
	if err != nil {
		return err
	}
	s, err := b.whole(ctx, store)
	if err != nil {
		return err
	}
	if err := s.browse(ctx, visitors, events); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: store})
	defer client.Close()
	if err := s.worked(ctx); err != nil {
		return err
	}
	return weigh(ctx, client, visitors, events)
}

// whole starts the roles that write state.
func (b *bench) whole(ctx context.Context, store string) (*side, error) {
	var addr [3]string
	for i := range addr {
		var err error
		if addr[i], err = freeaddr.Pick(); err != nil {
			return nil, err
		}
	}
	key := make([]byte, 32)
	rand.Read(key)
	env := []string{"PIXEL_REDIS_URL=redis://" + store, "PIXEL_ADMIN_TOKEN=" + token, "PIXEL_SECRET_KEY=" + base64.StdEncoding.EncodeToString(key)}
	p, err := b.run("pixel", env, b.pixel, "serve", "--role", "collector,worker,admin", "--data_dir="+filepath.Join(b.dir, "data"),
		"--collector.addr="+addr[0], "--admin.addr="+addr[1], "--ops.addr="+addr[2])
	if err != nil {
		return nil, err
	}
	if err := p.ready(ctx, "http://"+addr[0]+"/readyz"); err != nil {
		return nil, err
	}
	s := &side{url: "http://" + addr[0], admin: "http://" + addr[1]}
	return s, s.api(ctx, "POST", "/api/v1/pixels", `{"id":"px_demo","name":"bench","enabled":true,"consent_mode":"implied"}`, nil)
}

func visitorID(v int) string { return fmt.Sprintf("7d1f2c3b-9a4e-4c58-b6d7-%012x", v) }

// browse sends each visitor's events in one request, the last of them with who
// it is, and withdraws the consent of every tenth.
func (s *side) browse(ctx context.Context, visitors, events int) error {
	for v := range visitors {
		var list []string
		for e := range events {
			list = append(list, fmt.Sprintf(`{"id":"0193a1b2-%04x-7%03x-8000-%012x","name":"view_item","properties":{"value":9.5,"currency":"GBP"}}`, e, v&0xfff, v))
		}
		body := fmt.Sprintf(`{"pixel_id":"px_demo","consent":{"gdpr_applies":false,"us_privacy":"1YNN","state":"full"},"identity":{"anonymous_id":%q,"user_id":"customer-%d","email":"visitor-%d@example.com"},
			"context":{"page":{"url":"https://shop.example.com/?utm_source=google&utm_campaign=spring&gclid=Cj0KCQ%d"}},"events":[%s]}`, visitorID(v), v, v, v, strings.Join(list, ","))
		if err := s.post(ctx, "/collect", body); err != nil {
			return err
		}
	}
	for v := 0; v < visitors; v += 10 {
		if err := s.post(ctx, "/consent", fmt.Sprintf(`{"pixel_id":"px_demo","anonymous_id":%q,"state":"none"}`, visitorID(v))); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) post(ctx context.Context, path, body string) error {
	r, err := http.NewRequestWithContext(ctx, "POST", s.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("POST %s: %s: %s", path, res.Status, &answer)
	}
	return nil
}

// worked waits until the queues are empty.
func (s *side) worked(ctx context.Context) error {
	for {
		var answer struct {
			Items []struct {
				Queue    string `json:"queue"`
				Ready    int    `json:"ready"`
				InFlight int    `json:"in_flight"`
				Delayed  int    `json:"delayed"`
			}
		}
		if err := s.api(ctx, "GET", "/api/v1/queues", "", &answer); err != nil {
			return err
		}
		left := 0
		for _, q := range answer.Items {
			if strings.HasPrefix(q.Queue, "ingest:") {
				left += q.Ready + q.InFlight + q.Delayed
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// weighed are the keys of one kind.
type weighed struct {
	keys, bytes, lasting int
	longest              time.Duration
}

// weigh adds up MEMORY USAGE by what keys begin with, which is their entry in
// Redis's tables too; keys of the queues and of documents are nobody's.
func weigh(ctx context.Context, client *redis.Client, visitors, events int) error {
	kinds := map[string]*weighed{}
	total := weighed{}
	for iter := client.Scan(ctx, 0, "*", 1000).Iterator(); iter.Next(ctx); {
		key := iter.Val()
		kind, _, _ := strings.Cut(key, ":")
		if strings.HasPrefix(key, "{") || kind == "docs" || key == "queues" {
			continue
		}
		bytes, err := client.MemoryUsage(ctx, key, 0).Result()
		if err != nil {
			return err
		}
		ttl, err := client.TTL(ctx, key).Result()
		if err != nil {
			return err
		}
		if kinds[kind] == nil {
			kinds[kind] = &weighed{}
		}
		for _, w := range []*weighed{kinds[kind], &total} {
			w.keys++
			w.bytes += int(bytes)
			w.longest = max(w.longest, ttl)
			if ttl < 0 {
				w.lasting++
			}
		}
	}
	fmt.Printf("\n%d visitors with %d events each\n\n%-12s %14s %12s %16s %14s\n", visitors, events, "keys", "a visitor has", "bytes a key", "bytes a visitor", "kept, days")
	names := []string{}
	for kind := range kinds {
		names = append(names, kind)
	}
	slices.Sort(names)
	figures := map[string]any{}
	row := func(name string, w weighed) {
		per := float64(w.bytes) / float64(visitors)
		kept := strconv.FormatFloat(w.longest.Hours()/24, 'f', 0, 64)
		if w.lasting > 0 {
			kept = "for ever"
		}
		fmt.Printf("%-12s %14.2f %12.0f %16.0f %14s\n", name, float64(w.keys)/float64(visitors), float64(w.bytes)/float64(w.keys), per, kept)
		figures[name+"_bytes"] = round(per)
	}
	for _, name := range names {
		row(name, *kinds[name])
	}
	row("all", total)
	seen := 0
	if w := kinds["seen"]; w != nil {
		seen = w.bytes
	}
	figures["state_bytes_per_visitor"] = round(float64(total.bytes-seen) / float64(visitors))
	figures["state_bytes_per_visitor_total"] = round(float64(total.bytes) / float64(visitors))
	figures["state_bytes_per_event"] = round(float64(seen) / float64(visitors*events))
	figures["without_expiry"] = total.lasting
	delete(figures, "all_bytes")
	out, err := json.Marshal(figures, json.Deterministic(true))
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n", out)
	return nil
}
