package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/miq/pixel/modules/backfill"
)

func backfillCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "Replay the archive into the event store or to partners, or rehearse a change on it",
		Long: `Replays the archive: into the event store, which is rebuilt with it, or to chosen
partners. Consent is asked again for each event; a store keeps an event once, and
a partner is sent once what it took, so that nothing is done twice.

With --rehearse nothing is written and nothing is sent: each event goes through
the pixel as it is and as the file would change it, and what differs is printed.

The work is done by the workers and goes on when this command ends.`,
		Example: `  pixel backfill --storage --credits
  pixel backfill --pixel px_demo --partner ttd --event purchase --since 7d --rate 200
  pixel backfill --pixel px_demo --since 7d --rehearse change.json`,
		Args: noArgs,
		RunE: startBackfill,
	}
	apiFlags(cmd)
	f := cmd.Flags()
	f.String("pixel", "", "events of this pixel `id` alone")
	f.String("since", "", "received at this `time` or later: 2026-11-22T10:00:00Z, 2026-11-22, or an age such as 24h or 7d")
	f.String("until", "", "received before this `time`")
	f.StringSlice("event", nil, "events of this `name`; may be repeated")
	f.String("where", "", "events that a `condition` holds for, in the language of routes' conditions")
	f.Bool("storage", false, "into the event store")
	f.Bool("credits", false, "with --storage, of all of a pixel or of all pixels: give conversions to touchpoints anew, for a store that was lost")
	f.StringSlice("partner", nil, "to the partner of this `name`; may be repeated")
	f.Int("rate", 0, "at most so `many` events a second; 0: as fast as can be")
	f.String("rehearse", "", "try the change in this `file`, as PATCH /pixels/{id} takes it, and send nothing")
	f.Bool("detach", false, "do not wait for its end")
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "All of them, newest first", Args: noArgs, RunE: listBackfills},
		&cobra.Command{Use: "show ID", Short: "How far one is, and what a rehearsal found", Args: oneJob, RunE: func(cmd *cobra.Command, args []string) error {
			return withJob(cmd, args[0], http.MethodGet, "", func(_ *api, job backfill.Job) error { return printJob(cmd, job) })
		}},
		&cobra.Command{Use: "watch ID", Short: "Wait for its end", Args: oneJob, RunE: func(cmd *cobra.Command, args []string) error {
			return withJob(cmd, args[0], http.MethodGet, "", func(a *api, job backfill.Job) error { return watch(cmd, a, job) })
		}},
		&cobra.Command{Use: "cancel ID", Short: "End one; what was done stays done", Args: oneJob, RunE: func(cmd *cobra.Command, args []string) error {
			return withJob(cmd, args[0], http.MethodPost, "/cancel", func(_ *api, job backfill.Job) error { return printJob(cmd, job) })
		}},
		&cobra.Command{Use: "resume ID", Short: "Go on with one that failed or was cancelled", Args: oneJob, RunE: func(cmd *cobra.Command, args []string) error {
			return withJob(cmd, args[0], http.MethodPost, "/resume", func(a *api, job backfill.Job) error { return watch(cmd, a, job) })
		}},
	)
	return cmd
}

func oneJob(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{errors.New("name one backfill by its id; `pixel backfill list` has them")}
	}
	return nil
}

// asked is what the API takes.
type asked struct {
	PixelID  string         `json:"pixel_id,omitzero"`
	Since    time.Time      `json:"since,omitzero"`
	Until    time.Time      `json:"until,omitzero"`
	Events   []string       `json:"events,omitempty"`
	Where    string         `json:"where,omitzero"`
	Storage  bool           `json:"storage,omitzero"`
	Credits  bool           `json:"credits,omitzero"`
	Partners []string       `json:"partners,omitempty"`
	Rate     int            `json:"rate,omitzero"`
	Change   jsontext.Value `json:"change,omitzero"`
}

func startBackfill(cmd *cobra.Command, _ []string) error {
	f := cmd.Flags()
	var in asked
	in.PixelID, _ = f.GetString("pixel")
	in.Events, _ = f.GetStringSlice("event")
	in.Where, _ = f.GetString("where")
	in.Storage, _ = f.GetBool("storage")
	in.Credits, _ = f.GetBool("credits")
	in.Partners, _ = f.GetStringSlice("partner")
	in.Rate, _ = f.GetInt("rate")
	now := time.Now()
	for name, at := range map[string]*time.Time{"since": &in.Since, "until": &in.Until} {
		text, _ := f.GetString(name)
		var err error
		if *at, err = moment(text, now); err != nil {
			return usageError{fmt.Errorf("--%s %w", name, err)}
		}
	}
	path := "/backfills"
	file, _ := f.GetString("rehearse")
	switch {
	case file != "" && (in.Storage || in.Credits || len(in.Partners) > 0 || in.Rate > 0):
		return usageError{errors.New("a rehearsal sends nothing: leave --storage, --credits, --partner and --rate out")}
	case file != "" && in.PixelID == "":
		return usageError{errors.New("say which pixel is changed: --pixel")}
	case file != "":
		body, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if in.Change = body; !in.Change.IsValid() {
			return fmt.Errorf("%s is no JSON", file)
		}
		path = "/rehearsals"
	case !in.Storage && len(in.Partners) == 0:
		return usageError{errors.New("say where to: --storage, --partner, or both; or --rehearse a change")}
	}
	a, err := dial(cmd)
	if err != nil {
		return err
	}
	var job backfill.Job
	if err := a.call(cmd.Context(), http.MethodPost, path, in, &job); err != nil {
		return err
	}
	if detach, _ := f.GetBool("detach"); detach {
		return printJob(cmd, job)
	}
	return watch(cmd, a, job)
}

func withJob(cmd *cobra.Command, id, method, path string, do func(*api, backfill.Job) error) error {
	a, err := dial(cmd)
	if err != nil {
		return err
	}
	var job backfill.Job
	if err := a.call(cmd.Context(), method, "/backfills/"+url.PathEscape(id)+path, nil, &job); err != nil {
		return err
	}
	return do(a, job)
}

func listBackfills(cmd *cobra.Command, _ []string) error {
	a, err := dial(cmd)
	if err != nil {
		return err
	}
	var list struct {
		Items []backfill.Job `json:"items"`
	}
	if err := a.call(cmd.Context(), http.MethodGet, "/backfills", nil, &list); err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, list.Items)
	}
	if len(list.Items) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "None yet.")
		return nil
	}
	var rows [][]string
	for _, j := range list.Items {
		rows = append(rows, []string{j.ID, string(j.State), agoText(time.Since(j.CreatedAt)), strconv.FormatInt(j.Progress.Read, 10), j.By, destination(j)})
	}
	columns(cmd.OutOrStdout(), "BACKFILL\tSTATE\tAGE\tREAD\tBY\tTO", rows)
	return nil
}

func destination(j backfill.Job) string {
	if j.Spec.Rehearsal() {
		return "nobody: a rehearsal of " + j.Spec.PixelID
	}
	to := slices.Clone(j.Spec.Partners)
	if j.Spec.Storage {
		to = slices.Insert(to, 0, "storage")
	}
	if j.Spec.Credits {
		to = append(to, "credits")
	}
	return strings.Join(to, ", ")
}

// watch says how far a job is until it ends. It goes on when the command is stopped.
func watch(cmd *cobra.Command, a *api, job backfill.Job) error {
	quiet := wantsJSON(cmd)
	for !job.State.Ended() {
		if !quiet {
			at := ""
			if !job.Progress.At.IsZero() {
				at = ", at " + job.Progress.Pixel + " " + job.Progress.At.UTC().Format("2006-01-02 15:04")
			}
			soFar(cmd, fmt.Sprintf("%s: %d read%s", job.State, job.Progress.Read, at))
		}
		wait := time.NewTimer(time.Second)
		select {
		case <-cmd.Context().Done():
			wait.Stop()
			return fmt.Errorf("it goes on without this command: see `pixel backfill show %s`", job.ID)
		case <-wait.C:
		}
		err := a.call(cmd.Context(), http.MethodGet, "/backfills/"+job.ID, nil, &job)
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	if !quiet {
		soFar(cmd, "")
	}
	if err := printJob(cmd, job); err != nil {
		return err
	}
	if job.State != backfill.Done {
		return fmt.Errorf("the backfill %s", job.State)
	}
	return nil
}

func printJob(cmd *cobra.Command, job backfill.Job) error {
	if wantsJSON(cmd) {
		return printJSON(cmd, job)
	}
	out := cmd.OutOrStdout()
	p := job.Progress
	fmt.Fprintf(out, "%s: %s; %d events read", job.ID, job.State, p.Read)
	if len(job.Spec.Events) > 0 || job.Spec.Where != "" {
		fmt.Fprintf(out, ", %d of them chosen", p.Chosen)
	}
	if job.Spec.Storage {
		fmt.Fprintf(out, ", %d stored", p.Stored)
		if p.Lines > 0 {
			fmt.Fprintf(out, ", with %d lines of the log", p.Lines)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Queued)) {
		fmt.Fprintf(out, ", %d to %s", p.Queued[name], name)
	}
	fmt.Fprintln(out, ".")
	for _, reason := range slices.Sorted(maps.Keys(p.Skipped)) {
		fmt.Fprintf(out, "  left out: %d, %s\n", p.Skipped[reason], reason)
	}
	if job.Error != "" {
		fmt.Fprintln(out, "  "+job.Error)
	}
	if job.Report == nil {
		return nil
	}
	fmt.Fprintf(out, "%d events went through both configurations.\n", job.Report.Events)
	for _, s := range job.Report.Partners {
		fmt.Fprintf(out, "\n%s: %d events before, %d after; %d requests differ\n", s.Partner, s.Before.Events, s.After.Events, s.Changed)
		var rows [][]string
		for _, currency := range slices.Sorted(maps.Keys(both(s.Before.Value, s.After.Value))) {
			rows = append(rows, []string{"worth in " + currency, fmt.Sprintf("%.2f", s.Before.Value[currency]), fmt.Sprintf("%.2f", s.After.Value[currency])})
		}
		for _, reason := range slices.Sorted(maps.Keys(both(s.Before.Kept, s.After.Kept))) {
			rows = append(rows, []string{"not sent: " + reason, strconv.FormatInt(s.Before.Kept[reason], 10), strconv.FormatInt(s.After.Kept[reason], 10)})
		}
		if len(rows) > 0 {
			columns(out, "FIGURE\tBEFORE\tAFTER", rows)
		}
		for _, reason := range slices.Sorted(maps.Keys(s.Rejections)) {
			fmt.Fprintf(out, "new rejections: %d, %s\n", s.Rejections[reason], reason)
		}
		rows = nil
		for _, f := range s.Fields {
			rows = append(rows, []string{f.Path, strconv.FormatInt(f.Changed+f.Added+f.Removed, 10), text(f.Before), text(f.After)})
		}
		if len(rows) > 0 {
			columns(out, "FIELD\tEVENTS\tFROM\tTO", rows)
		}
	}
	return nil
}

func text(v jsontext.Value) string {
	if len(v) == 0 {
		return "-"
	}
	return string(v)
}

func both[V any](a, b map[string]V) map[string]V {
	out := map[string]V{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}
