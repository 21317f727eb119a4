// Command ref holds what the benchmarks compare us with: a server that does no
// work, the collector that an average team would write, and the disk's own limit;
// and a load of unique events at a constant rate.
package main

import (
	"context"
	"encoding/json" // the average team's
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"
	"github.com/redis/go-redis/v9"
)

var gif = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b")

func main() {
	mode := flag.String("mode", "", "echo | naive | fsync | rate")
	addr := flag.String("addr", "127.0.0.1:18200", "listen address (servers)")
	redisURL := flag.String("redis", "redis://127.0.0.1:16379/0", "store of naive")
	dir := flag.String("dir", ".", "fsync: folder to write in")
	size := flag.Int("size", 600, "fsync: bytes an event")
	secs := flag.Int("secs", 5, "fsync, rate: seconds")
	url := flag.String("url", "", "rate: target")
	rate := flag.Int("rate", 1000, "rate: requests a second")
	format := flag.String("format", "envelope", "rate: envelope | pixel")
	batch := flag.Int("batch", 1, "rate: events a request")
	header := flag.String("header", "", "rate: extra headers, Name: value, separated by |")
	conns := flag.Int("conns", 64, "rate: most connections")
	flag.Parse()
	var err error
	switch *mode {
	case "echo":
		err = serveEcho(*addr)
	case "naive":
		err = serveNaive(*addr, *redisURL)
	case "fsync":
		err = fsync(*dir, *size, time.Duration(*secs)*time.Second)
	case "rate":
		err = constantRate(*url, *format, *header, *rate, *batch, *conns, time.Duration(*secs)*time.Second)
	default:
		err = errors.New("unknown -mode")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func serveEcho(addr string) error {
	e := echo.New()
	e.POST("/collect", func(c *echo.Context) error {
		return c.JSONBlob(http.StatusAccepted, []byte(`{"accepted":1,"rejected":0}`))
	})
	e.GET("/pixel.gif", func(c *echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		return c.Blob(http.StatusOK, "image/gif", gif)
	})
	return http.ListenAndServe(addr, e)
}

// envelope is what POST /collect takes; naive keeps what it does not read.
type envelope struct {
	PixelID  string           `json:"pixel_id"`
	Consent  map[string]any   `json:"consent"`
	Identity map[string]any   `json:"identity"`
	Context  map[string]any   `json:"context"`
	Events   []map[string]any `json:"events"`
}

type result struct {
	Index  int    `json:"index"`
	ID     string `json:"id"`
	Status string `json:"status"`
}

// serveNaive is the plain design: bind, check, add what the server knows, one
// RPUSH for the request, wait for it, 202.
func serveNaive(addr, redisURL string) error {
	opt, err := redis.ParseURL(redisURL)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(opt)
	if err := rdb.Ping(context.Background()).Err(); err != nil {
		return err
	}
	enrich := func(c *echo.Context, ev map[string]any, env *envelope) (string, []byte, error) {
		id, _ := ev["id"].(string)
		if id == "" {
			id = uuid.NewString()
		}
		b, err := json.Marshal(map[string]any{
			"id": id, "event": ev, "pixel_id": env.PixelID, "consent": env.Consent,
			"identity": env.Identity, "context": env.Context,
			"received_at": time.Now().UTC().Format(time.RFC3339Nano),
			"ip":          c.RealIP(), "user_agent": c.Request().UserAgent(),
		})
		return id, b, err
	}
	e := echo.New()
	e.POST("/collect", func(c *echo.Context) error {
		var env envelope
		if err := c.Bind(&env); err != nil {
			return echo.NewHTTPError(http.StatusBadRequest, "bad JSON")
		}
		if env.PixelID == "" || len(env.Events) == 0 {
			return echo.NewHTTPError(http.StatusBadRequest, "pixel_id and events are required")
		}
		values := make([]any, 0, len(env.Events))
		results := make([]result, 0, len(env.Events))
		for i, ev := range env.Events {
			if name, _ := ev["name"].(string); name == "" {
				return echo.NewHTTPError(http.StatusBadRequest, "name is required")
			}
			id, b, err := enrich(c, ev, &env)
			if err != nil {
				return err
			}
			values = append(values, b)
			results = append(results, result{i, id, "accepted"})
		}
		if err := rdb.RPush(c.Request().Context(), "events", values...).Err(); err != nil {
			return echo.NewHTTPError(http.StatusServiceUnavailable, "store")
		}
		return c.JSON(http.StatusAccepted, map[string]any{"accepted": len(results), "rejected": 0, "results": results})
	})
	e.GET("/pixel.gif", func(c *echo.Context) error {
		props := map[string]any{}
		for k, v := range c.QueryParams() {
			props[k] = v[0]
		}
		ev := map[string]any{"id": c.QueryParam("eid"), "name": c.QueryParam("e"), "properties": props}
		_, b, err := enrich(c, ev, &envelope{PixelID: c.QueryParam("pid")})
		if err == nil {
			err = rdb.RPush(c.Request().Context(), "events", b).Err()
		}
		if err != nil {
			log.Print(err)
		}
		c.Response().Header().Set("Cache-Control", "no-store")
		return c.Blob(http.StatusOK, "image/gif", gif)
	})
	return http.ListenAndServe(addr, e)
}

// fsync prints what the disk gives an append-only file: events a second when
// each group of g events is followed by one fdatasync.
func fsync(dir string, size int, each time.Duration) error {
	payload := []byte(strings.Repeat("x", size-1) + "\n")
	for _, group := range []int{1, 16, 64, 256, 1024} {
		f, err := os.CreateTemp(dir, "fsync-*")
		if err != nil {
			return err
		}
		block := []byte(strings.Repeat(string(payload), group))
		var took []time.Duration
		for end := time.Now().Add(each); time.Now().Before(end); {
			start := time.Now()
			if _, err := f.Write(block); err != nil {
				return err
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				return err
			}
			took = append(took, time.Since(start))
		}
		var sum time.Duration
		for _, d := range took {
			sum += d
		}
		sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
		persec := float64(len(took)) / sum.Seconds()
		fmt.Printf("fsync group=%d syncs_per_s=%.0f events_per_s=%.0f p50_us=%d p99_us=%d\n", group, persec,
			persec*float64(group), took[len(took)/2].Microseconds(), took[len(took)*99/100].Microseconds())
		f.Close()
		os.Remove(filepath.Join(f.Name()))
	}
	return nil
}
