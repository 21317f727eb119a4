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
	if len(os.Args) < 2 || os.Args[1] != "collect" {
		fmt.Fprintln(os.Stderr, "usage: run collect [-rounds n] [-seconds n]")
		os.Exit(2)
	}
	flags := flag.NewFlagSet("collect", flag.ExitOnError)
	rounds := flags.Int("rounds", 3, "rounds, at least 3 for figures to believe")
	seconds := flags.Int("seconds", 5, "seconds of load for each figure of a round")
	if err := flags.Parse(os.Args[2:]); err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := collect(ctx, *rounds, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "bench/collect:", err)
		stop()
		os.Exit(1)
	}
}
