package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

func queueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Look at the queues of a running pixel, and take messages out of them",
		Long: `The queues hold what was accepted and is not done: ingest:high, ingest:standard
and ingest:low on the way to being stored, s2s:PARTNER on the way to a partner.

These commands ask the console of a running pixel, so that they work on the
embedded store too; looking needs the role viewer, changing needs admin, and
every change is in the audit log.`,
		Example: `  pixel queue list
  pixel queue peek s2s:ttd --limit 5 --bodies
  pixel queue skip s2s:ttd 0193f2aa… --reason "known bad order"
  pixel queue drain ingest:low --reason "flood from a test page" --max 5000
  pixel queue spill`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	apiFlags(cmd)
	cmd.AddCommand(queueList(), queuePeek(), queueSkip(), queueDrain(), queueSpill())
	return cmd
}

func queueList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Depth, age of the oldest, ready, in flight and delayed, by queue",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := dial(cmd)
			if err != nil {
				return err
			}
			var list struct {
				Items []struct {
					Queue    string  `json:"queue"`
					Kind     string  `json:"kind"`
					Ready    int     `json:"ready"`
					InFlight int     `json:"in_flight"`
					Delayed  int     `json:"delayed"`
					Depth    int     `json:"depth"`
					Oldest   float64 `json:"oldest_seconds"`
				} `json:"items"`
			}
			if err := a.call(cmd.Context(), http.MethodGet, "/queues", nil, &list); err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd, list.Items)
			}
			var rows [][]string
			for _, q := range list.Items {
				oldest := "-"
				if q.Depth > 0 {
					oldest = agoText(time.Duration(q.Oldest * float64(time.Second)))
				}
				rows = append(rows, []string{q.Queue, strconv.Itoa(q.Depth), oldest, strconv.Itoa(q.Ready), strconv.Itoa(q.InFlight), strconv.Itoa(q.Delayed)})
			}
			columns(cmd.OutOrStdout(), "QUEUE\tDEPTH\tOLDEST\tREADY\tIN FLIGHT\tDELAYED", rows)
			return nil
		},
	}
}

func queueSpill() *cobra.Command {
	return &cobra.Command{
		Use:   "spill",
		Short: "What waits on the collectors' own disks since Redis was away, by collector",
		Long: `What collectors accepted while Redis was away waits on their disks, and goes to the
queues by itself once Redis is back. A collector tells of it through Redis, so
while that is away its metrics do: pixel_spill_items and the others.

A dead letter there cannot be read, or the queue refuses it. It stays; the
collector's log says why.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := dial(cmd)
			if err != nil {
				return err
			}
			type spilled struct {
				Instance string `json:"instance"`
				Spill    *struct {
					Items  int     `json:"items"`
					Oldest float64 `json:"oldest_seconds"`
					Used   int64   `json:"used_bytes"`
					Limit  int64   `json:"limit_bytes"`
					Dead   int     `json:"dead_letters"`
				} `json:"spill"`
			}
			var list struct {
				Items []spilled `json:"items"`
			}
			if err := a.call(cmd.Context(), http.MethodGet, "/processes", nil, &list); err != nil {
				return err
			}
			list.Items = slices.DeleteFunc(list.Items, func(s spilled) bool { return s.Spill == nil })
			if wantsJSON(cmd) {
				return printJSON(cmd, list.Items)
			}
			if len(list.Items) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no collector has a disk of its own for when Redis is away")
				return nil
			}
			var rows [][]string
			for _, c := range list.Items {
				s := c.Spill
				oldest := "-"
				if s.Items > 0 {
					oldest = agoText(time.Duration(s.Oldest * float64(time.Second)))
				}
				rows = append(rows, []string{c.Instance, strconv.Itoa(s.Items), oldest, fmt.Sprintf("%d of %d MiB", s.Used>>20, s.Limit>>20), strconv.Itoa(s.Dead)})
			}
			columns(cmd.OutOrStdout(), "COLLECTOR\tWAITING\tOLDEST\tROOM TAKEN\tDEAD LETTERS", rows)
			return nil
		},
	}
}

// message is one of a queue, as the API shows it.
type message struct {
	ID         string         `json:"id"`
	State      string         `json:"state"`
	Until      time.Time      `json:"until,omitzero"`
	PushedAt   time.Time      `json:"pushed_at"`
	Deliveries int            `json:"deliveries"`
	EventID    string         `json:"event_id,omitempty"`
	Event      string         `json:"event,omitempty"`
	PixelID    string         `json:"pixel_id,omitempty"`
	Body       jsontext.Value `json:"body,omitempty"`
}

func queuePeek() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Look at messages without taking them; visitors' addresses are cut to the network",
		Args:  exactly(1, "name a queue, such as ingest:high; `pixel queue list` has them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := dial(cmd)
			if err != nil {
				return err
			}
			limit, _ := cmd.Flags().GetInt("limit")
			bodies, _ := cmd.Flags().GetBool("bodies")
			var page struct {
				Items []message `json:"items"`
			}
			if err := a.call(cmd.Context(), http.MethodGet, "/queues/"+url.PathEscape(args[0])+"/messages?limit="+strconv.Itoa(limit), nil, &page); err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd, page.Items)
			}
			if len(page.Items) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), args[0], "is empty")
				return nil
			}
			var rows [][]string
			for _, m := range page.Items {
				state := m.State
				if !m.Until.IsZero() {
					state += " until " + m.Until.Local().Format("15:04:05")
				}
				rows = append(rows, []string{m.ID, agoText(time.Since(m.PushedAt)), state, strconv.Itoa(m.Deliveries), m.PixelID, m.Event, m.EventID})
			}
			columns(cmd.OutOrStdout(), "MESSAGE\tAGE\tSTATE\tTRIES\tPIXEL\tEVENT\tEVENT ID", rows)
			for _, m := range page.Items {
				if bodies && len(m.Body) > 0 {
					_ = m.Body.Indent(jsontext.WithIndent("  "))
					fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n%s\n", m.ID, m.Body)
				}
			}
			return nil
		},
	}
	cmd.Flags().Int("limit", 20, "at most so `many`, 1 to 1000")
	cmd.Flags().Bool("bodies", false, "show what they hold too")
	return cmd
}

// outcome is what the API answers to a change.
type outcome struct {
	Moved   int    `json:"moved"`
	More    bool   `json:"more"`
	Message string `json:"message"`
}

func queueSkip() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "skip QUEUE MESSAGE…",
		Short: "Put waiting messages among the dead letters, from where they can be replayed",
		Long: `Puts waiting messages among the dead letters with a reason, so that those behind
them go on. Nothing is lost: pixel dlq replay brings them back. A message that
somebody is working on right now is left to whoever holds it.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError{errors.New("name a queue and at least one message; `pixel queue peek QUEUE` shows their ids")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return takeOut(cmd, args[0], "skip", map[string]any{"ids": args[1:]})
		},
	}
	takeOutFlags(cmd)
	return cmd
}

func queueDrain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain QUEUE",
		Short: "Empty a queue of what waits: into the dead letters, or for good with --delete",
		Args:  exactly(1, "name a queue, such as ingest:low; `pixel queue list` has them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			most, _ := cmd.Flags().GetInt("max")
			forGood, _ := cmd.Flags().GetBool("delete")
			dry, _ := cmd.Flags().GetBool("dry-run")
			if forGood && !dry {
				if err := sure(cmd, "Delete what waits in "+args[0]+" for good?"); err != nil {
					return err
				}
			}
			total := 0
			for left := most; ; {
				n, more, err := drainOnce(cmd, args[0], forGood, left)
				if err != nil || !more || dry {
					return err
				}
				if total += n; most > 0 {
					if left = most - total; left <= 0 {
						return nil
					}
				}
			}
		},
	}
	takeOutFlags(cmd)
	cmd.Flags().Int("max", 0, "at most so `many`; 0: all that wait")
	cmd.Flags().Bool("delete", false, "delete them for good")
	cmd.Flags().Bool("yes", false, "do not ask")
	return cmd
}

func takeOutFlags(cmd *cobra.Command) {
	cmd.Flags().String("reason", "", "`why`, which is kept with them")
	cmd.Flags().Bool("dry-run", false, "say what would be done, and do nothing")
}

func drainOnce(cmd *cobra.Command, name string, forGood bool, left int) (int, bool, error) {
	body := map[string]any{"delete": forGood}
	if left > 0 {
		body["max"] = min(left, 5000)
	}
	o, err := ask(cmd, name, "drain", body)
	return o.Moved, o.More, err
}

func takeOut(cmd *cobra.Command, name, action string, body map[string]any) error {
	_, err := ask(cmd, name, action, body)
	return err
}

// ask has the console do something to a queue, and says what came of it.
func ask(cmd *cobra.Command, name, action string, body map[string]any) (o outcome, err error) {
	a, err := dial(cmd)
	if err != nil {
		return o, err
	}
	body["reason"], _ = cmd.Flags().GetString("reason")
	body["dry_run"], _ = cmd.Flags().GetBool("dry-run")
	if err := a.call(cmd.Context(), http.MethodPost, "/queues/"+url.PathEscape(name)+"/"+action, body, &o); err != nil {
		return o, err
	}
	if wantsJSON(cmd) {
		return o, printJSON(cmd, o)
	}
	fmt.Fprintln(cmd.OutOrStdout(), o.Message)
	return o, nil
}

// exactly wants so many arguments, and says what they are.
func exactly(n int, hint string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{errors.New(hint)}
		}
		return nil
	}
}
