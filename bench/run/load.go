package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// load is what a load tool saw.
type load struct {
	requests, failed int
	took             time.Duration
	p50, p99         time.Duration
	lag              time.Duration // how late the tool itself was, of a hundred requests the latest; at a constant rate alone
}

func (l load) rps() float64 { return float64(l.requests-l.failed) / l.took.Seconds() }

var field = regexp.MustCompile(`(\w+)=(\d+)`)

func parse(out []byte) (load, error) {
	figures := map[string]int{}
	at := regexp.MustCompile(`RESULT .*`).Find(out)
	for _, m := range field.FindAllSubmatch(at, -1) {
		figures[string(m[1])], _ = strconv.Atoi(string(m[2]))
	}
	us := func(key string) time.Duration { return time.Duration(figures[key]) * time.Microsecond }
	l := load{figures["requests"], figures["errs"] + figures["bad"], us("dur_us"), us("p50_us"), us("p99_us"), us("lag_p99_us")}
	if l.requests == 0 {
		return l, fmt.Errorf("the load tool said no result: %s", out)
	}
	return l, nil
}

// runs numbers the runs, so that no two make the same event ids.
var started = time.Now().UnixNano()

// saturate loads an address with wrk from 64 connections, as fast as it goes.
func saturate(ctx context.Context, wrk, url string, batch, seconds int, run int64) (load, error) {
	out, err := exec.CommandContext(ctx, wrk, "-t2", "-c64", "-d"+strconv.Itoa(seconds)+"s", "-s", "bench/wrk/events.lua", url,
		"--", "envelope", strconv.Itoa(batch), fmt.Sprintf("%016x", started+run)).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parse(out)
}

// steady loads an address at a constant rate, whatever it answers.
func steady(ctx context.Context, ref, url string, rate float64, seconds int) (load, error) {
	out, err := exec.CommandContext(ctx, ref, "-mode", "rate", "-url", url, "-rate", strconv.Itoa(max(1, int(rate))), "-secs", strconv.Itoa(seconds)).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("constant rate: %w: %s", err, out)
	}
	return parse(out)
}
