package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// report prints the table and the last line.
func (b *bench) report(ctx context.Context) error {
	by := map[string]*side{}
	fmt.Printf("\n%-12s %12s %14s %12s %12s %10s\n", "", "requests/s", "x10: events/s", "CPU us/event", "x10: CPU us", "lost")
	lost := 0
	for _, s := range b.sides {
		by[s.name] = s
		missing := "-"
		if s.admin != "" {
			n, err := s.lost(ctx)
			if err != nil {
				return fmt.Errorf("count what %s stored: %w", s.name, err)
			}
			lost += n
			missing = fmt.Sprint(n)
		}
		fmt.Printf("%-12s %12.0f %14.0f %12.1f %12.1f %10s\n", s.name, median(s.rps), median(s.batch), median(s.cpu), median(s.cpu10), missing)
	}
	b.reportHalf()
	echo, naive, embedded, redis, always := by["echo"], by["naive"], by["embedded"], by["redis"], by["always"]
	main := redis
	if main == nil {
		main = embedded
	}
	line := map[string]any{
		"echo_rps": round(median(echo.rps)), "embedded_rps": round(median(embedded.rps)),
		"ratio_echo": ratios(main.rps, echo.rps), "batch10_eps": round(median(main.batch)),
		"p50_ms": hundredths(main.p50()), "p99_ms": hundredths(main.p99()), "lost": lost,
		"lag_p99_ms": hundredths(main.lag()), "echo_p99_ms": hundredths(echo.p99()),
		"half_wait_us": hundredths(of(main.half, func(h half) float64 { return h.wait })), "half_stolen": hundredths(of(main.half, func(h half) float64 { return h.stolen })),
		"embedded_ratio_echo": ratios(embedded.rps, echo.rps), "embedded_batch10_eps": round(median(embedded.batch)),
		"embedded_p50_ms": hundredths(embedded.p50()), "embedded_p99_ms": hundredths(embedded.p99()),
		"spread":         ratios(by["echo again"].rps, echo.rps),
		"batch10_cpu_us": hundredths(median(main.cpu10)), "embedded_batch10_cpu_us": hundredths(median(embedded.cpu10)),
		// Without Redis these are not known, and are null.
		"naive_rps": nil, "redis_rps": nil, "ratio_naive": nil, "batch10_ratio_naive": nil, "ratio_always": nil,
	}
	maps.Copy(line, b.allocs)
	for _, s := range b.sides {
		line[strings.ReplaceAll(s.name, " ", "_")+"_cpu_us"] = hundredths(median(s.cpu))
	}
	if redis != nil {
		line["naive_rps"], line["redis_rps"] = round(median(naive.rps)), round(median(redis.rps))
		line["ratio_naive"], line["embedded_ratio_naive"] = ratios(redis.rps, naive.rps), ratios(embedded.rps, naive.rps)
		line["batch10_ratio_naive"], line["embedded_batch10_ratio_naive"] = ratios(redis.batch, naive.batch), ratios(embedded.batch, naive.batch)
		line["always_rps"], line["ratio_always"], line["batch10_ratio_always"] = round(median(always.rps)), ratios(always.rps, redis.rps), ratios(always.batch, redis.batch)
		line["always_p50_ms"], line["always_p99_ms"] = hundredths(always.p50()), hundredths(always.p99())
		line["redis_batch10_eps"], line["naive_batch10_eps"] = round(median(redis.batch)), round(median(naive.batch))
	}
	out, err := json.Marshal(line, json.Deterministic(true))
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n", out)
	return nil
}

// ratios is the median of the rounds' ratios.
func ratios(a, b []float64) float64 {
	list := make([]float64, 0, len(a))
	for i := range min(len(a), len(b)) {
		list = append(list, a[i]/b[i])
	}
	return hundredths(median(list))
}

func ms(d time.Duration) float64   { return float64(d) / float64(time.Millisecond) }
func round(f float64) float64      { return math.Round(f) }
func hundredths(f float64) float64 { return math.Round(f*100) / 100 }
