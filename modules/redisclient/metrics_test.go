package redisclient_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/redisclient"
	"github.com/miq/pixel/modules/redistest"
)

func TestWhatRedisIsAskedIsCountedAndAnAnswerOfNothingIsNoError(t *testing.T) {
	client, err := redisclient.New(config.Redis{URL: "unix://" + redistest.Start(t).Addr, Mode: "single", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	reg := prometheus.NewRegistry()
	if err := redisclient.Measure(client, reg); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_ = client.Get(ctx, "absent").Err()
	_ = client.EvalSha(ctx, "0000000000000000000000000000000000000000", nil).Err()
	client.Set(ctx, "text", "x", 0)
	_ = client.LLen(ctx, "text").Err() // of another type
	_, _ = client.Pipelined(ctx, func(p redis.Pipeliner) error { p.Get(ctx, "text"); p.Get(ctx, "text"); return nil })
	got := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "pixel_redis_errors_total" {
					got["error "+l.GetValue()] = m.GetCounter().GetValue()
				} else {
					got[l.GetValue()] = float64(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	want := map[string]float64{"get": 1, "evalsha": 1, "set": 1, "llen": 1, "error llen": 1}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %v, want %v (%v)", k, got[k], n, got)
		}
	}
	// A new connection's greeting may be a pipeline too.
	if got["pipeline"] < 1 || got["error get"]+got["error evalsha"]+got["error pipeline"] != 0 {
		t.Errorf("no pipeline, or errors that are none: %v", got)
	}
	if n, err := testutil.GatherAndCount(reg, "pixel_redis_connections"); n != 1 || err != nil {
		t.Errorf("%d (%v)", n, err)
	}
}
