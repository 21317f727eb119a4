package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/simulate"
)

// waitingBytes is what an event takes of Redis while it waits in its queue: with the workers
// stopped, so many are sent, and Redis is asked what it has more.
func (s *stand) waitingBytes(ctx context.Context, traffic simulate.Options) (float64, error) {
	if len(s.apart) == 0 {
		return 0, nil
	}
	client := redis.NewClient(&redis.Options{Addr: s.redis[0].addr})
	defer client.Close()
	used := func() (n float64, err error) {
		info, err := client.Info(ctx, "memory").Result()
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(info, "\r\nused_memory:")
		_, err = fmt.Sscanf(rest, "%f", &n)
		return n, err
	}
	if err := s.apart[0].signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	defer func() { _ = s.apart[0].signal(syscall.SIGCONT) }()
	before, err := used()
	if err != nil {
		return 0, err
	}
	already := s.waits(ctx)
	traffic.Seed, traffic.Rate, traffic.Events, traffic.Length = 150, 1000, 10_000, time.Minute
	if _, err := simulate.Send(ctx, traffic); err != nil {
		return 0, err
	}
	after, err := used()
	if err != nil {
		return 0, err
	}
	n := s.waits(ctx) - already
	if n < 1000 {
		return 0, fmt.Errorf("only %d events wait", n)
	}
	return (after - before) / float64(n), nil
}

// remembered is what Redis has of what was, by what keys begin with: an event's id, and a
// visitor, of whom several are.
func (s *stand) remembered(ctx context.Context) (event, visitor float64, err error) {
	client := redis.NewClient(&redis.Options{Addr: s.redis[0].addr})
	defer client.Close()
	const most = 2000 // of a kind are weighed
	keys, weighed, bytes := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for iter := client.Scan(ctx, 0, "*", 1000).Iterator(); iter.Next(ctx); {
		key := iter.Val()
		kind, _, _ := strings.Cut(key, ":")
		if strings.HasPrefix(key, "{") || kind == "docs" || kind == "rate" || key == "queues" {
			continue
		}
		keys[kind]++
		if keys[kind] > most {
			continue
		}
		n, err := client.MemoryUsage(ctx, key, 0).Result()
		if err == redis.Nil {
			continue // it ended
		}
		if err != nil {
			return 0, 0, err
		}
		weighed[kind]++
		bytes[kind] += float64(n)
	}
	if weighed["seen"] == 0 || weighed["path"] == 0 {
		return 0, 0, fmt.Errorf("there are no keys of events and visitors: %v", keys)
	}
	// Whoever came has a path to what he may buy; what else there is, is shared out.
	for kind, n := range weighed {
		if each := bytes[kind] / n; kind == "seen" {
			event = each
		} else {
			visitor += each * keys[kind] / keys["path"]
		}
	}
	return event, visitor, nil
}

// rowBytes is what ClickHouse has on its disk, all tables together, for each event.
func (s *stand) rowBytes(ctx context.Context) (n float64, err error) {
	const q = "SELECT toFloat64(sum(bytes_on_disk)) / maxIf(rows, table = 'events') FROM (SELECT table, sum(bytes_on_disk) AS bytes_on_disk, sum(rows) AS rows FROM system.parts WHERE active AND database = 'default' GROUP BY table) FORMAT TabSeparated"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.engine.addr+"/", strings.NewReader(q))
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("ask ClickHouse for the size of its tables: %s %.300s (%v)", resp.Status, body, err)
	}
	_, err = fmt.Sscanf(string(body), "%f", &n)
	return n, err
}

// archiveBytes is what the archive has on its disk for each event, once the worker has ended
// and filed what it held.
func (s *stand) archiveBytes(ctx context.Context) (float64, error) {
	if err := s.apart[0].leave(ctx); err != nil {
		return 0, err
	}
	var size, files int64
	err := filepath.WalkDir(filepath.Join(s.dir, s.apart[0].name, "archive"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			size, files = size+i.Size(), files+1
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	rows, err := s.archivedRows(ctx)
	if err != nil || rows == 0 {
		return 0, fmt.Errorf("%d rows in %d files (%v)", rows, files, err)
	}
	return float64(size) / float64(rows), nil
}

// stretch is a time under a steady load: what came each second, and how many cores each group
// of processes was busy with.
type stretch struct {
	events, delivered float64 // a second
	cores             map[string]float64

	since   time.Time
	before  map[string]time.Duration
	already int
}

func (s *stand) begin(ctx context.Context, shops []simulate.Shop) (stretch, error) {
	already, err := s.delivered(ctx, shops)
	return stretch{since: time.Now(), before: s.spent(), already: already}, err
}

func (t *stretch) end(ctx context.Context, s *stand, shops []simulate.Shop, events int) error {
	now, seconds := s.spent(), time.Since(t.since).Seconds()
	delivered, err := s.delivered(ctx, shops)
	if err != nil {
		return err
	}
	t.events, t.delivered, t.cores = float64(events)/seconds, float64(delivered-t.already)/seconds, map[string]float64{}
	for name, d := range now {
		t.cores[name] = (d - t.before[name]).Seconds() / seconds
	}
	return nil
}

// stretch sends traffic, and waits until all of it came out.
func (s *stand) stretch(ctx context.Context, console simulate.API, traffic simulate.Options) (stretch, error) {
	t, err := s.begin(ctx, traffic.Shops)
	if err != nil {
		return t, err
	}
	run, err := simulate.Send(ctx, traffic)
	if err != nil {
		return t, err
	}
	got, err := run.Check(ctx, console, 10*time.Minute)
	if err != nil {
		return t, err
	}
	if !got.Good() {
		return t, fmt.Errorf("what came out is not what went in: %+v", got)
	}
	return t, t.end(ctx, s, traffic.Shops, run.Events)
}

// apiece are the costs by two stretches: what one more costs (µs), and the cores that a process
// is busy with whatever comes. What waits for data asks for it, ClickHouse merges its parts, and a
// batch costs what it costs however few are in it: at a small rate that is most of what there is,
// and multiplying it by a large one would be wrong.
func apiece(cores, few, more, many float64, processes int) (us, base float64) {
	each := max(0, (more-cores)/(many-few))
	return each * 1e6, max(0, cores-each*few) / float64(max(1, processes))
}

// writeCosts writes what was measured in the place of what is built in, and says what is not.
func (s *stand) writeCosts(ctx context.Context, out io.Writer, path string, quiet, loaded stretch, t *table, waiting float64) error {
	c := simulate.Measured()
	by := fmt.Sprintf("bench/chaos -soak -apart on %s, %s, %d cores: %.0f and %.0f events/s", time.Now().UTC().Format(time.DateOnly), runtime.GOARCH, runtime.NumCPU(), quiet.events, loaded.events)
	set := func(name string, to *float64, v float64, err error) {
		if err != nil {
			fmt.Fprintf(out, "not measured: %s: %v\n", name, err)
		} else if v > 0 {
			*to = round2(v)
			c.Source[name] = by
		}
	}
	c.Base, c.Source["base_cores"] = map[string]float64{}, by
	for name, to := range map[string]*float64{"collector": &c.CollectorUS, "worker": &c.WorkerUS, "dispatcher": &c.DispatcherUS, "redis": &c.RedisUS, "clickhouse": &c.ClickHouseUS} {
		few, many := quiet.events, loaded.events
		if name == "dispatcher" {
			few, many = quiet.delivered, loaded.delivered
		}
		us, base := apiece(quiet.cores[name], few, loaded.cores[name], many, len(s.groups()[name]))
		set(name+"_us", to, us, nil)
		c.Base[name] = float64(int(base*1e4+0.5)) / 1e4
	}
	for i, p := range t.list {
		for name, to := range map[string]*float64{"collector1": &c.CollectorMB, "worker": &c.WorkerMB, "dispatcher": &c.DispatcherMB} {
			if p.name == name {
				var v []float64
				for _, r := range t.rows {
					v = append(v, r.memory[i])
				}
				set(strings.TrimSuffix(name, "1")+"_mb", to, slices.Max(v), nil)
			}
		}
	}
	set("redis_waiting_bytes", &c.RedisWaiting, waiting, nil)
	event, visitor, err := s.remembered(ctx)
	set("redis_event_bytes", &c.RedisEvent, event, err)
	set("redis_visitor_bytes", &c.RedisVisitor, visitor, err)
	v, err := s.rowBytes(ctx)
	set("clickhouse_row_bytes", &c.ClickHouseRow, v, err)
	v, err = s.archiveBytes(ctx)
	set("archive_row_bytes", &c.ArchiveRow, v, err)
	for name, source := range c.Source {
		if source != by {
			fmt.Fprintf(out, "%s was not measured now: %s\n", name, source)
		}
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
