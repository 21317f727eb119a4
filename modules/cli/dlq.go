package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/miq/pixel/modules/deadletters"
)

func dlqCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "List, replay and drop dead letters of a running pixel",
		Long: `Dead letters are what nobody will try again by itself. The boxes are validation,
for input that was refused and events that could not be processed, and one for
each partner, for deliveries that it will not take.

Letters are chosen by their ids, by a filter whose parts must all be true, or
with --all. These commands ask the console of a running pixel; looking needs the
role viewer, changing needs admin, and every change is in the audit log.`,
		Example: `  pixel dlq list
  pixel dlq list ttd --contains "http 402" --since 24h
  pixel dlq replay ttd --reason "http_402: the tracker does not know this event's name" --dry-run
  pixel dlq replay amazon --all --rate 50
  pixel dlq drop validation --until 7d --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	apiFlags(cmd)
	cmd.AddCommand(dlqList(), dlqReplay(), dlqDrop())
	return cmd
}

// filterFlags choose letters.
func filterFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("reason", "", "letters of this whole `reason`")
	f.String("contains", "", "letters whose reason contains this `text`, whatever the case")
	f.String("pixel", "", "letters of this pixel `id`")
	f.String("event", "", "letters of events of this `name`")
	f.String("since", "", "buried at this `time` or later: 2026-11-22T10:00:00Z, 2026-11-22, or an age such as 24h or 7d")
	f.String("until", "", "buried before this `time`")
}

// filtered reads the flags.
func filtered(cmd *cobra.Command, ids []string) (s deadletters.Selection, err error) {
	f := cmd.Flags()
	s.IDs = ids
	if f.Changed("reason") {
		reason, _ := f.GetString("reason")
		s.Reason = &reason
	}
	s.Contains, _ = f.GetString("contains")
	s.PixelID, _ = f.GetString("pixel")
	s.Event, _ = f.GetString("event")
	if f.Lookup("all") != nil {
		s.All, _ = f.GetBool("all")
	}
	now := time.Now()
	for name, at := range map[string]*time.Time{"since": &s.Since, "until": &s.Until} {
		text, _ := f.GetString(name)
		if *at, err = moment(text, now); err != nil {
			return s, usageError{fmt.Errorf("--%s %w", name, err)}
		}
	}
	return s, nil
}

// moment reads a time, a date, or an age.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 100_000 { // else it is no age, but a slip
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("must be a time such as 2026-11-22T10:00:00Z, a date, or an age such as 24h or 7d, not %q", text)
}

// deadLetter is one, as the API shows it.
type deadLetter struct {
	ID         string         `json:"id"`
	Reason     string         `json:"reason"`
	Origin     string         `json:"origin,omitempty"`
	Deliveries int            `json:"deliveries"`
	BuriedAt   time.Time      `json:"buried_at"`
	Replayable bool           `json:"replayable"`
	Body       jsontext.Value `json:"body,omitempty"`
}

func dlqList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [BOX]",
		Short: "The boxes and what is in them; or the letters of one, newest first",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("name one box, not %d", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := dial(cmd)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return boxes(cmd, a)
			}
			s, err := filtered(cmd, nil)
			if err != nil {
				return err
			}
			limit, _ := cmd.Flags().GetInt("limit")
			q := url.Values{"limit": {strconv.Itoa(min(max(limit, 1), 1000))}}
			for name, v := range map[string]string{"contains": s.Contains, "pixel_id": s.PixelID, "event": s.Event} {
				if v != "" {
					q.Set(name, v)
				}
			}
			if s.Reason != nil {
				q.Set("reason", *s.Reason)
			}
			for name, t := range map[string]time.Time{"since": s.Since, "until": s.Until} {
				if !t.IsZero() {
					q.Set(name, t.UTC().Format(time.RFC3339Nano))
				}
			}
			letters := []deadLetter{}
			for len(letters) < limit {
				var page struct {
					Items []deadLetter `json:"items"`
					Next  string       `json:"next"`
				}
				if err := a.call(cmd.Context(), http.MethodGet, "/dlq/"+url.PathEscape(args[0])+"?"+q.Encode(), nil, &page); err != nil {
					return err
				}
				letters = append(letters, page.Items...)
				if page.Next == "" {
					break
				}
				q.Set("cursor", page.Next)
			}
			letters = letters[:min(len(letters), max(limit, 0))]
			if wantsJSON(cmd) {
				return printJSON(cmd, letters)
			}
			if len(letters) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "No such letter in", args[0]+".")
				return nil
			}
			var rows [][]string
			for _, l := range letters {
				about := deadletters.About(l.Body)
				again := "yes"
				if !l.Replayable {
					again = "no"
				}
				rows = append(rows, []string{l.ID, agoText(time.Since(l.BuriedAt)), strconv.Itoa(l.Deliveries), again, about.PixelID, about.Event, l.Reason})
			}
			columns(cmd.OutOrStdout(), "LETTER\tAGE\tTRIES\tREPLAYABLE\tPIXEL\tEVENT\tREASON", rows)
			return nil
		},
	}
	filterFlags(cmd)
	cmd.Flags().Int("limit", 50, "at most so `many`")
	return cmd
}

func boxes(cmd *cobra.Command, a *api) error {
	var list struct {
		Items []struct {
			Queue  string  `json:"queue"`
			Kind   string  `json:"kind"`
			Depth  int     `json:"depth"`
			Oldest float64 `json:"oldest_seconds"`
		} `json:"items"`
	}
	if err := a.call(cmd.Context(), http.MethodGet, "/queues", nil, &list); err != nil {
		return err
	}
	type box struct {
		Box     string  `json:"box"`
		Letters int     `json:"letters"`
		Oldest  float64 `json:"oldest_seconds"`
	}
	found := []box{}
	var rows [][]string
	for _, q := range list.Items {
		if q.Kind != "dead" {
			continue
		}
		name := strings.TrimPrefix(q.Queue, "dlq:")
		found = append(found, box{name, q.Depth, q.Oldest})
		oldest := "-"
		if q.Depth > 0 {
			oldest = agoText(time.Duration(q.Oldest * float64(time.Second)))
		}
		rows = append(rows, []string{name, strconv.Itoa(q.Depth), oldest})
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, found)
	}
	columns(cmd.OutOrStdout(), "BOX\tLETTERS\tOLDEST", rows)
	return nil
}

func dlqReplay() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay BOX [LETTER…]",
		Short: "Put letters back into the queues they came from",
		Long: `Puts letters back into the queues they came from, with their tries counted anew.
Replaying one twice does no harm: an event is stored once, and a partner is sent
once what it took. What a schema refused can go on once it is mended by --edit;
other input that was refused came from no queue and stays.

--edit is a JSON merge patch (RFC 7396) to each letter: of a partner's letters to
params, account and event, of refused input to the event's properties.`,
		Example: `  pixel dlq replay ttd --all --edit '{"params":{"tracker_id":"abc123x"}}'
  pixel dlq replay validation --event purchase --edit '{"event":{"properties":{"currency":"EUR"}}}' --dry-run`,
		Args: someBox,
		RunE: func(cmd *cobra.Command, args []string) error {
			return moveLetters(cmd, args, http.MethodPost, "/replay", "replayed")
		},
	}
	moveFlags(cmd)
	cmd.Flags().String("edit", "", "change each letter by this merge `patch` before it goes back")
	return cmd
}

func dlqDrop() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drop BOX [LETTER…]",
		Short: "Delete letters for good",
		Args:  someBox,
		RunE: func(cmd *cobra.Command, args []string) error {
			if dry, _ := cmd.Flags().GetBool("dry-run"); !dry {
				if _, err := chosen(cmd, args); err != nil {
					return err
				}
				if err := sure(cmd, "Delete letters of "+args[0]+" for good?"); err != nil {
					return err
				}
			}
			return moveLetters(cmd, args, http.MethodDelete, "", "deleted")
		},
	}
	moveFlags(cmd)
	cmd.Flags().Bool("yes", false, "do not ask")
	return cmd
}

func someBox(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("name a box: validation, or a partner; `pixel dlq list` has them")}
	}
	return nil
}

func moveFlags(cmd *cobra.Command) {
	filterFlags(cmd)
	cmd.Flags().Bool("all", false, "every letter of the box")
	cmd.Flags().Bool("dry-run", false, "count them, and do nothing")
	cmd.Flags().Int("rate", 0, "at most so `many` a second; 0: as fast as can be")
}

// chosen are the letters that a command line names.
func chosen(cmd *cobra.Command, args []string) (deadletters.Selection, error) {
	s, err := filtered(cmd, args[1:])
	if err == nil && s.Check() != nil {
		err = usageError{errors.New("choose letters by id, by a filter, or with --all: one of the three (see pixel dlq --help)")}
	}
	return s, err
}

// progress is what a run came to so far.
type progress struct {
	Selected int  `json:"selected"`
	Moved    int  `json:"moved"`
	Stuck    int  `json:"not_replayable"`
	DryRun   bool `json:"dry_run,omitzero"`
}

// moveLetters asks the console for a part at a time, until there are no more, and
// says how far it is. Only letters that lay there at the start are moved, or a
// partner that refuses them anew would keep it busy for ever.
func moveLetters(cmd *cobra.Command, args []string, method, path, done string) error {
	a, err := dial(cmd)
	if err != nil {
		return err
	}
	s, err := chosen(cmd, args)
	if err != nil {
		return err
	}
	if len(s.IDs) == 0 && s.Until.IsZero() {
		s.All, s.Until = false, time.Now()
	}
	rate, _ := cmd.Flags().GetInt("rate")
	body := struct {
		deadletters.Selection `json:",embed"`

		Edit   jsontext.Value `json:"edit,omitzero"`
		DryRun bool           `json:"dry_run,omitzero"`
		Limit  int            `json:"limit,omitzero"`
		Cursor string         `json:"cursor,omitzero"`
	}{Selection: s, Limit: 1000}
	if f := cmd.Flags().Lookup("edit"); f != nil && f.Changed {
		if body.Edit = jsontext.Value(f.Value.String()); !body.Edit.IsValid() || body.Edit.Kind() != '{' {
			return usageError{fmt.Errorf("--edit must be a JSON object, such as {\"params\":{…}}")}
		}
	}
	body.DryRun, _ = cmd.Flags().GetBool("dry-run")
	if rate > 0 {
		body.Limit = min(body.Limit, rate)
	}
	sum := progress{DryRun: body.DryRun}
	for {
		began := time.Now()
		var r struct {
			progress `json:",embed"`
			More     bool   `json:"more"`
			Next     string `json:"next"`
			Message  string `json:"message"`
		}
		if err := a.call(cmd.Context(), method, "/dlq/"+url.PathEscape(args[0])+path, body, &r); err != nil {
			if sum.Moved > 0 {
				return fmt.Errorf("after %d: %w", sum.Moved, err)
			}
			return err
		}
		sum.Selected, sum.Moved, sum.Stuck = sum.Selected+r.Selected, sum.Moved+r.Moved, sum.Stuck+r.Stuck
		if !r.More {
			break
		}
		body.Cursor = r.Next
		if !wantsJSON(cmd) {
			soFar(cmd, fmt.Sprintf("%d %s so far…", sum.Moved, done))
		}
		if rate > 0 && r.Moved > 0 && !body.DryRun {
			wait := time.NewTimer(time.Duration(r.Moved)*time.Second/time.Duration(rate) - time.Since(began))
			select {
			case <-cmd.Context().Done():
				wait.Stop()
				return fmt.Errorf("ended after %d", sum.Moved)
			case <-wait.C:
			}
		}
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, sum)
	}
	soFar(cmd, "")
	if body.DryRun {
		fmt.Fprintf(cmd.OutOrStdout(), "%d would be %s; nothing was done.\n", sum.Selected-sum.Stuck, done)
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "%d %s.\n", sum.Moved, done)
	}
	if sum.Stuck > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "%d cannot be replayed: the collector refused them, and only their sender can put them right.\n", sum.Stuck)
	}
	return nil
}
