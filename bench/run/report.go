package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// report prints the table and the last line.
func (b *bench) report(ctx context.Context) error {
	by := map[string]*side{}
	fmt.Printf("\n%-12s %12s %14s %12s %10s %10s %10s\n", "", "requests/s", "x10: events/s", "CPU us/event", "p50 ms", "p99 ms", "lost")
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
		fmt.Printf("%-12s %12.0f %14.0f %12.1f %10.2f %10.2f %10s\n", s.name, median(s.rps), median(s.batch), median(s.cpu), ms(s.half.p50), ms(s.half.p99), missing)
	}
	echo, naive, embedded, redis := by["echo"], by["naive"], by["embedded"], by["redis"]
	main := redis
	if main == nil {
		main = embedded
	}
	line := map[string]any{
		"echo_rps": round(median(echo.rps)), "embedded_rps": round(median(embedded.rps)),
		"ratio_echo": ratio(main, echo), "batch10_eps": round(median(main.batch)),
		"p50_ms": hundredths(ms(main.half.p50)), "p99_ms": hundredths(ms(main.half.p99)), "lost": lost,
		"embedded_ratio_echo": ratio(embedded, echo), "embedded_batch10_eps": round(median(embedded.batch)),
		"embedded_p50_ms": hundredths(ms(embedded.half.p50)), "embedded_p99_ms": hundredths(ms(embedded.half.p99)),
		"spread": ratio(by["echo again"], echo),
		// Without Redis these two are not known, and are null.
		"naive_rps": nil, "redis_rps": nil, "ratio_naive": nil,
	}
	for _, s := range b.sides {
		line[strings.ReplaceAll(s.name, " ", "_")+"_cpu_us"] = hundredths(median(s.cpu))
	}
	if redis != nil {
		line["naive_rps"], line["redis_rps"] = round(median(naive.rps)), round(median(redis.rps))
		line["ratio_naive"], line["embedded_ratio_naive"] = ratio(redis, naive), ratio(embedded, naive)
		line["redis_batch10_eps"], line["naive_batch10_eps"] = round(median(redis.batch)), round(median(naive.batch))
	}
	out, err := json.Marshal(line, json.Deterministic(true))
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n", out)
	return nil
}

// ratio is the median of the rounds' ratios.
func ratio(a, b *side) float64 {
	list := make([]float64, 0, len(a.rps))
	for i := range min(len(a.rps), len(b.rps)) {
		list = append(list, a.rps[i]/b.rps[i])
	}
	return hundredths(median(list))
}

func ms(d time.Duration) float64   { return float64(d) / float64(time.Millisecond) }
func round(f float64) float64      { return math.Round(f) }
func hundredths(f float64) float64 { return math.Round(f*100) / 100 }
