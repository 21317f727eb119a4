// Command run is what the executables in bench/ call: it builds, starts, loads
// and measures, and ends what it started.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	what := ""
	if len(os.Args) > 1 {
		what = os.Args[1]
	}
	flags := flag.NewFlagSet(what, flag.ExitOnError)
	var run func(context.Context) error
	switch what {
	case "collect":
		rounds := flags.Int("rounds", 3, "rounds, at least 3 for figures to believe")
		seconds := flags.Int("seconds", 5, "seconds of load for each figure of a round")
		length := flags.Duration("soak", 0, "instead, load the collector for so long at four fifths of what it takes, and watch its memory")
		run = func(ctx context.Context) error {
			if *length > 0 {
				return soak(ctx, *length)
			}
			return collect(ctx, *rounds, *seconds)
		}
	case "queue":
		rounds := flags.Int("rounds", 5, "rounds, at least 3 for figures to believe")
		events := flags.Int("events", 200_000, "events in a round")
		run = func(ctx context.Context) error { return benchQueue(ctx, *rounds, *events) }
	case "dispatch":
		rounds := flags.Int("rounds", 3, "rounds, at least 3 for figures to believe")
		seconds := flags.Int("seconds", 5, "seconds of quiet load for each figure of a round")
		run = func(ctx context.Context) error { return dispatch(ctx, *rounds, *seconds) }
	case "state":
		visitors := flags.Int("visitors", 2000, "visitors")
		events := flags.Int("events", 10, "events of each")
		run = func(ctx context.Context) error { return benchState(ctx, *visitors, *events) }
	case "reports":
		embedded := flags.Int("n", 5_000_000, "events in the embedded store; 0: leave it out")
		large := flags.Int("clickhouse", 20_000_000, "events in ClickHouse; 0: leave it out")
		rounds := flags.Int("rounds", 5, "how often each question is asked")
		dir := flags.String("data", "", "keep the stores in this `folder`, and ask those that an earlier run left there; empty: make them anew, and delete them")
		run = func(ctx context.Context) error {
			return benchReports(ctx, reportsOf{embedded: *embedded, clickhouse: *large, rounds: max(1, *rounds), dir: *dir})
		}
	case "insert":
		rounds := flags.Int("rounds", 3, "rounds, at least 3 for figures to believe")
		run = func(ctx context.Context) error { return benchInsert(ctx, *rounds) }
	case "worker":
		visitors := flags.Int("visitors", 10_000, "visitors that are known")
		events := flags.Int("events", 100_000, "events in a round")
		rounds := flags.Int("rounds", 3, "rounds, at least 3 for figures to believe")
		backlog := flags.Int("backlog", 100_000, "events that wait in Redis in a round; 0: leave the real stores out")
		store := flags.String("store", "", "the one analytics `store` to measure, embedded or clickhouse; empty: both")
		scale := flags.Int("scale", 2_000_000, "profiles that the state has when it is compared with few; 0: it is not")
		profile := flags.String("profile", "", "write a profile of the processor's time to a file")
		run = func(ctx context.Context) error {
			return benchWorker(ctx, workerOf{visitors: *visitors, events: *events, rounds: max(1, *rounds), backlog: *backlog, scale: *scale, store: *store, profile: *profile})
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: run worker [-visitors n] [-events n] [-rounds n] | run reports [-n events] [-clickhouse events] [-rounds n] [-data folder] | run collect [-rounds n] [-seconds n] [-soak 10m] | run queue [-rounds n] [-events n] | run dispatch [-rounds n] [-seconds n] | run state [-visitors n] [-events n] | run insert [-rounds n]")
		os.Exit(2)
	}
	if err := flags.Parse(os.Args[2:]); err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "bench/%s: %v\n", what, err)
		stop()
		os.Exit(1)
	}
}
