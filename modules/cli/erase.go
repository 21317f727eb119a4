package cli

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/miq/pixel/modules/erasure"
)

func eraseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "erase KIND [VALUE]",
		Short: "Erase one person from everything that a running pixel keeps",
		Long: `Erases a person from the queues, the shared state, the archive and the stored
events, and waits until it is done. KIND is what the person is known by:
` + strings.Join(erasure.Kinds, ", ") + `.
Without VALUE it is read from the input, so that it stays out of the shell's history.

An e-mail address or telephone number is digested at once and kept nowhere. This
cannot be undone, so --yes is needed; --dry-run shows what would be deleted. It
asks the console of a running pixel and needs the role admin.`,
		Example: `  pixel erase email --dry-run < address.txt
  pixel erase visitor_id 0193cafe-0000-7000-8000-00000000beef --yes
  pixel erase list
  pixel erase certificate er_0193cafe > certificate.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 {
				return usageError{errors.New("name what the person is known by, and its value: pixel erase visitor_id 0193cafe-…")}
			}
			return nil
		},
		RunE: erase,
	}
	apiFlags(cmd)
	f := cmd.Flags()
	f.String("pixel", "", "only at this pixel `id` (default: all)")
	f.String("note", "", "a `text` that is kept, such as a ticket's number; not to name the person")
	f.Bool("dry-run", false, "show what would be deleted, and delete nothing")
	f.Bool("yes", false, "erase without asking")
	f.Bool("no-wait", false, "do not wait until it is done")
	cmd.AddCommand(eraseList(), eraseCertificate())
	return cmd
}

func erase(cmd *cobra.Command, args []string) error {
	id := erasure.Identifier{Kind: args[0]}
	if len(args) == 2 {
		id.Value = args[1]
	} else {
		line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if err != nil && line == "" {
			return usageError{errors.New("no value: give one, or write it to the input")}
		}
		id.Value = strings.TrimSpace(line)
	}
	if err := id.Check(); err != nil {
		return usageError{err}
	}
	a, err := dial(cmd)
	if err != nil {
		return err
	}
	body := map[string]any{"identifiers": []erasure.Identifier{id}}
	for flag, name := range map[string]string{"pixel": "pixel_id", "note": "note"} {
		if v, _ := cmd.Flags().GetString(flag); v != "" {
			body[name] = v
		}
	}
	dry, _ := cmd.Flags().GetBool("dry-run")
	if yes, _ := cmd.Flags().GetBool("yes"); dry || !yes {
		body["dry_run"] = true
		var p erasure.Preview
		if err := a.call(cmd.Context(), http.MethodPost, "/erasures", body, &p); err != nil {
			return err
		}
		if dry && wantsJSON(cmd) {
			return printJSON(cmd, p)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d visitors and %d other identifiers are this person; %d events are stored of them.\nWhat is in queues and in the archive is looked through too.\n", p.Found.Visitors, p.Found.Identifiers, p.Stored.Events)
		if dry {
			return nil
		}
		return usageError{errors.New("nothing was erased: it cannot be undone, so say --yes")}
	}
	var r erasure.Request
	if err := a.call(cmd.Context(), http.MethodPost, "/erasures", body, &r); err != nil {
		return err
	}
	if no, _ := cmd.Flags().GetBool("no-wait"); no {
		if wantsJSON(cmd) {
			return printJSON(cmd, r)
		}
		fmt.Fprintln(cmd.OutOrStdout(), r.ID)
		return nil
	}
	return awaitErasure(cmd, a, r)
}

// awaitErasure tells how far it is, on the error output, until it ends.
func awaitErasure(cmd *cobra.Command, a *api, r erasure.Request) error {
	said := ""
	for r.State == erasure.Waiting || r.State == erasure.Running {
		if s := r.Stage + r.Error; s != said && s != "" {
			said = s
			fmt.Fprintln(cmd.ErrOrStderr(), strings.TrimSpace(r.Stage+" "+r.Error))
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-cmd.Context().Done():
			timer.Stop()
			fmt.Fprintf(cmd.ErrOrStderr(), "It goes on without us: pixel erase list tells of %s.\n", r.ID)
			return cmd.Context().Err()
		case <-timer.C:
		}
		if err := a.call(cmd.Context(), http.MethodGet, "/erasures/"+url.PathEscape(r.ID), nil, &r); err != nil {
			return err
		}
	}
	if r.State == erasure.Refused {
		return errors.New(r.Error)
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, r)
	}
	var rows [][]string
	for _, store := range slices.Sorted(maps.Keys(r.Erased)) {
		for _, what := range slices.Sorted(maps.Keys(r.Erased[store])) {
			rows = append(rows, []string{store, what, strconv.Itoa(r.Erased[store][what])})
		}
	}
	if len(rows) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "Nothing was kept of this person.")
	} else {
		columns(cmd.OutOrStdout(), "FROM\tWHAT\tDELETED", rows)
	}
	fmt.Fprintln(cmd.OutOrStdout(), "Nothing is left. The certificate: pixel erase certificate", r.ID)
	return nil
}

func eraseList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "The erasures that were asked for, newest first",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := dial(cmd)
			if err != nil {
				return err
			}
			var list struct {
				Items []erasure.Request `json:"items"`
			}
			if err := a.call(cmd.Context(), http.MethodGet, "/erasures?limit=1000", nil, &list); err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd, list.Items)
			}
			if len(list.Items) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "Nobody was erased yet.")
				return nil
			}
			var rows [][]string
			for _, r := range list.Items {
				kinds := make([]string, len(r.Named))
				for i, n := range r.Named {
					kinds[i] = n.Kind
				}
				pixel := r.PixelID
				if pixel == "" {
					pixel = "all"
				}
				rows = append(rows, []string{r.ID, agoText(time.Since(r.At)), string(r.State), strings.Join(kinds, ","), pixel, r.By, r.Error})
			}
			columns(cmd.OutOrStdout(), "ERASURE\tASKED\tSTATE\tKNOWN BY\tPIXEL\tBY\tERROR", rows)
			return nil
		},
	}
}

func eraseCertificate() *cobra.Command {
	return &cobra.Command{
		Use:   "certificate ERASURE",
		Short: "The signed proof of an erasure, as JSON",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name the erasure: pixel erase certificate er_…")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := dial(cmd)
			if err != nil {
				return err
			}
			var c struct {
				Certificate *erasure.Certificate `json:"certificate"`
				LookedAgain *erasure.Certificate `json:"looked_again,omitempty"`
				Problems    []string             `json:"problems"`
			}
			if err := a.call(cmd.Context(), http.MethodGet, "/erasures/"+url.PathEscape(args[0])+"/certificate", nil, &c); err != nil {
				return err
			}
			for _, p := range c.Problems {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", p)
			}
			return printJSON(cmd, c)
		},
	}
}
