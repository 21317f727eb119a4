package cli

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/miq/pixel/modules/simulate"
)

func simulateCommand() *cobra.Command {
	o := simulate.Options{}
	var shops int
	var unchecked, deliver bool
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Send realistic traffic to collectors, and check that what went in came out",
		Long: `simulate makes the traffic of web shops (visitors who come back, campaigns, what they
agree to, robots) and sends it to collectors at a chosen rate. The same seed makes the
same visits. Afterwards it waits until nothing waits any more, and compares the ids that
were answered with those that are stored: it ends with 1 if an event was lost, stored
twice, or stored without consent.

The shops are pixels named px_sim_1 and so on, which it makes by the console's API; so it
needs a token of somebody who may change pixels. Never point it at the pixels, partners or
collectors that real visitors' figures come from: what it sends counts.`,
		Example: `  pixel simulate --rate 200 --for 5m
  pixel simulate --rate 50 --for 1h --day 1h --seed 7       # a whole day's hours in one hour
  pixel simulate --collector https://px.example.com --url https://console.example.com --token $TOKEN
  pixel simulate plan --events-per-day 1e9`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, nil)
			if err != nil {
				return err
			}
			if len(o.Collectors) == 0 {
				o.Collectors = []string{"http://" + reachable(c.Collector.Addr)}
			}
			for _, address := range o.Collectors {
				if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
					return usageError{fmt.Errorf("--collector must be an address such as http://localhost:8080, not %q", address)}
				}
			}
			if o.Rate <= 0 || o.Length <= 0 || shops < 1 || o.Visitors < 1 || o.Robots < 0 || o.Robots > 1 || o.Day < 0 {
				return usageError{errors.New("--rate, --for, --shops and --visitors must be above 0, --robots between 0 and 1, and --day not negative")}
			}
			o.Shops = simulate.NewShops(shops)
			var console simulate.API
			if !unchecked {
				a, err := dial(cmd)
				if err != nil {
					return err
				}
				console = simulate.API{Base: a.base, Token: a.token}
				if err := simulate.Prepare(cmd.Context(), console, o.Shops, deliver); err != nil {
					return err
				}
			}
			out := cmd.OutOrStdout()
			if !wantsJSON(cmd) {
				fmt.Fprintf(out, "%10s %12s %10s %8s %10s %10s\n", "after", "events", "events/s", "failed", "p50 ms", "p99 ms")
				o.Tell = func(m simulate.Moment) {
					fmt.Fprintf(out, "%10s %12d %10.1f %8d %10.1f %10.1f\n", m.At.Round(time.Second), m.Events, m.Rate, m.Failed, float64(m.P50.Microseconds())/1000, float64(m.P99.Microseconds())/1000)
				}
			}
			if !unchecked {
				// A collector learns of a pixel within a second or two.
				if err := simulate.Known(cmd.Context(), o.Collectors, o.Shops, time.Minute); err != nil {
					return err
				}
			}
			run, err := simulate.Send(cmd.Context(), o)
			if err != nil {
				return err
			}
			if unchecked {
				fmt.Fprintf(out, "%d events were sent in %d requests, of which %d failed at first. Nothing was checked.\n", run.Events, run.Requests, run.Failed)
				return nil
			}
			result, err := run.Check(cmd.Context(), console, patience)
			if err != nil {
				return fmt.Errorf("check: %w", err)
			}
			if wantsJSON(cmd) {
				err = printJSON(cmd, result)
			} else {
				tell(cmd, result)
			}
			if err == nil && !result.Good() {
				err = errors.New("what came out is not what went in")
			}
			return err
		},
	}
	apiFlags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.Collectors, "collector", nil, "`addresses` of collectors, taken in turn (default: collector.addr on this machine)")
	f.Float64Var(&o.Rate, "rate", 20, "`events` a second on average")
	f.DurationVar(&o.Length, "for", time.Minute, "`how long`")
	f.IntVar(&o.Events, "events", 0, "end after about so many `events`, if that is earlier; 0: after the time")
	f.Uint64Var(&o.Seed, "seed", 1, "`number` that makes the visits what they are")
	f.DurationVar(&o.Day, "day", 0, "`how long` a simulated day takes, with its quiet night and busy evening; 0: the same rate all the time")
	f.IntVar(&shops, "shops", 3, "`how many` shops; the first is the largest")
	f.IntVar(&o.Visitors, "visitors", 5000, "`how many` visitors each shop has")
	f.Float64Var(&o.Robots, "robots", 0.04, "`share` of visits that are robots'")
	f.BoolVar(&deliver, "deliver", false, "give the shops routes to the partners; for installations whose partners are imitations (pixel sandbox)")
	f.BoolVar(&unchecked, "unchecked", false, "send alone: make no pixels, and do not look afterwards")
	f.DurationVar(&patience, "patience", 5*time.Minute, "`how long` what was sent may wait before the check gives up")
	cmd.AddCommand(planCommand())
	return cmd
}

// tell says for people what a run came to.
func tell(cmd *cobra.Command, r *simulate.Outcome) {
	out := cmd.OutOrStdout()
	fmt.Fprintln(out)
	rows := [][2]string{
		{"sent", fmt.Sprintf("%d events, %d of them purchases, in %d requests (%d repeats and failures included); %.0f events/s, p50 %.1f ms, p99 %.1f ms", r.Events, r.Conversions, r.Requests, r.Failed, r.Rate, r.P50, r.P99)},
		{"answered", fmt.Sprintf("%d accepted, %d suppressed for want of consent, %d rejected, %d never", r.Accepted, r.Suppressed, r.Rejected, r.Unanswered)},
		{"stored", fmt.Sprintf("%d, all of them %.0f s after the last was sent", r.Stored, r.DrainedS)},
		{"wrong", fmt.Sprintf("%d lost, %d stored that must not be, %d stored twice, %d unknown", r.Lost, r.Extra, r.Twice, r.Strange)},
		{"books", map[bool]string{true: "balance", false: "do not balance: see Ledger in the console"}[r.Balanced]},
	}
	var partners []string
	for name, n := range r.Delivered {
		partners = append(partners, fmt.Sprintf("%s %d", name, n))
	}
	if slices.Sort(partners); len(partners) > 0 {
		rows = append(rows, [2]string{"delivered", strings.Join(partners, ", ") + " (of these hours)"})
	}
	var why []string
	for reason, n := range r.Why {
		why = append(why, fmt.Sprintf("%s: %d", reason, n))
	}
	if slices.Sort(why); len(why) > 0 {
		rows = append(rows, [2]string{"not taken", strings.Join(why, "; ")})
	}
	table(out, rows)
}

func planCommand() *cobra.Command {
	n := simulate.Usual(1)
	var file string
	var visitors float64
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "What so many events a day need: replicas, memory, disk and money, and what bounds it",
		Long: `plan multiplies what an event was measured to cost by how many there are. It sends
nothing. The costs built in are ours, some measured on two cores of a virtual machine
and some estimates, as --json tells of each; make costs measures yours, into a file for
--costs. Prices are examples: give yours.`,
		Example: `  pixel simulate plan --events-per-day 1e9
  pixel simulate plan --events-per-day 2e7 --peak 5 --keep 400 --core 30
  pixel simulate plan --events-per-day 1e9 --costs costs.json --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			costs := simulate.Measured()
			if file != "" {
				b, err := os.ReadFile(file)
				if err != nil {
					return usageError{fmt.Errorf("--costs: %w", err)}
				}
				if costs, err = simulate.ReadCosts(b); err != nil {
					return usageError{fmt.Errorf("--costs %s: %w", file, err)}
				}
			}
			if n.Visitors = visitors; n.Visitors <= 0 {
				n.Visitors = n.PerDay / 2
			}
			p, err := simulate.Make(n, costs)
			if err != nil {
				return usageError{err}
			}
			if wantsJSON(cmd) {
				return printJSON(cmd, p)
			}
			p.Print(cmd.OutOrStdout())
			return nil
		},
	}
	f := cmd.Flags()
	f.Float64Var(&n.PerDay, "events-per-day", 1e9, "`events` a day")
	f.Float64Var(&n.Peak, "peak", n.Peak, "how much busier the busiest minute is than the average, `times`")
	f.Float64Var(&n.Deliveries, "deliveries", n.Deliveries, "deliveries to partners, as a `share` of all events")
	f.Float64Var(&visitors, "visitors", 0, "visitors that are remembered at a time, `how many` (default half of a day's events)")
	f.Float64Var(&n.Remember, "remember", n.Remember, "`days` that an event's id is remembered (worker.dedupe_ttl)")
	f.Float64Var(&n.Outage, "outage", n.Outage, "`hours` of events that Redis can hold while nothing works them off")
	f.Float64Var(&n.Keep, "keep", n.Keep, "`days` that events stay in ClickHouse")
	f.Float64Var(&n.Archive, "archive", n.Archive, "`days` that they stay in the archive")
	f.Float64Var(&n.Copies, "copies", n.Copies, "of Redis and ClickHouse, `how many`")
	f.Float64Var(&n.Use, "use", n.Use, "`share` of a processor to plan with")
	f.Float64Var(&n.ServerMemory, "server-memory", n.ServerMemory, "`GB` of a Redis server")
	f.Float64Var(&n.Core, "core", n.Core, "`money` that a core costs a month")
	f.Float64Var(&n.Memory, "memory", n.Memory, "`money` for a GB of memory a month")
	f.Float64Var(&n.Disk, "disk", n.Disk, "`money` for a GB of disk a month")
	f.Float64Var(&n.Object, "object", n.Object, "`money` for a GB in a bucket a month")
	f.StringVar(&file, "costs", "", "`file` of measured costs")
	return cmd
}
