package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// did is what Redis has done so far: the numbers of INFO's stats, its processor time (to a
// microsecond, where the system tells hundredths of a second), how often each command was
// called and, as "usec get", how long it took.
func did(ctx context.Context, client redis.UniversalClient) (map[string]float64, error) {
	info, err := client.Info(ctx, "stats", "cpu", "commandstats").Result()
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(info) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		command, is := strings.CutPrefix(name, "cmdstat_")
		if !is {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				out[name] = v
			}
			continue
		}
		for field := range strings.SplitSeq(value, ",") {
			name, v, _ := strings.Cut(field, "=")
			n, err := strconv.ParseFloat(v, 64)
			switch {
			case err != nil:
			case name == "calls":
				out[command] = n
			case name == "usec":
				out["usec "+command] = n
			}
		}
	}
	return out, nil
}

var usedMemory = regexp.MustCompile(`used_memory:(\d+)`)

// usedBy is how many bytes Redis needs.
func usedBy(ctx context.Context, client redis.UniversalClient) (float64, error) {
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	m := usedMemory.FindStringSubmatch(info)
	if m == nil {
		return 0, errors.New("redis does not say how much memory it uses")
	}
	return strconv.ParseFloat(m[1], 64)
}

// usedBySeen is about how many of them are for the ids of events, which are gone in a
// week: how many there are, by a sample of all keys, times what some of them need.
func usedBySeen(ctx context.Context, client redis.UniversalClient) (float64, error) {
	const sample = 2000
	size, err := client.DBSize(ctx).Result()
	if err != nil {
		return 0, err
	}
	var of []string
	for range sample {
		key, err := client.RandomKey(ctx).Result()
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(key, "seen:") {
			of = append(of, key)
		}
	}
	if len(of) == 0 {
		return 0, nil
	}
	var bytes []float64
	for key := range slices.Values(of[:min(len(of), 200)]) {
		n, err := client.MemoryUsage(ctx, key, 0).Result()
		if err != nil {
			return 0, err
		}
		bytes = append(bytes, float64(n))
	}
	return float64(size) * float64(len(of)) / sample * median(bytes), nil
}
