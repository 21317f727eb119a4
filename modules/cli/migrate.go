package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/miq/pixel/modules/app"
)

func migrateCommand() *cobra.Command {
	back := false
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Apply the analytics migrations and stop",
		Long: `migrate brings the analytics store up to date, as a start does for the embedded one.

With --back it gives the analytics store the form that the version before reads, with
all that is stored since. The embedded one: stop pixel first, and start that version
next; a start of this one brings the store up to date again. In ClickHouse processes of
this version may go on meanwhile, and need pixel migrate before they are started again.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, nil)
			if err != nil {
				return err
			}
			where := c.DataDir
			if c.ClickHouse.DSN != "" {
				where = "ClickHouse"
			}
			if back {
				if err := app.MigrateBack(cmd.Context(), c); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "the analytics store in", where, "is as the version before knows it")
				return nil
			}
			applied, err := app.Migrate(cmd.Context(), c)
			for _, name := range applied {
				fmt.Fprintln(cmd.OutOrStdout(), "applied", name)
			}
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), "the analytics store in", where, "is up to date")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&back, "back", false, "make the store one that the version before reads")
	return cmd
}
