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

With --back it gives the embedded analytics store the form that the version before
reads, with all that is stored since; stop pixel first, and start that version next.
A start of this one brings the store up to date again.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, nil)
			if err != nil {
				return err
			}
			if back {
				if err := app.MigrateBack(cmd.Context(), c); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "the analytics store in", c.DataDir, "is as the version before knows it")
				return nil
			}
			applied, err := app.Migrate(cmd.Context(), c)
			for _, name := range applied {
				fmt.Fprintln(cmd.OutOrStdout(), "applied", name)
			}
			if err == nil {
				where := c.DataDir
				if c.ClickHouse.DSN != "" {
					where = "ClickHouse"
				}
				fmt.Fprintln(cmd.OutOrStdout(), "the analytics store in", where, "is up to date")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&back, "back", false, "make the embedded store one that the version before reads")
	return cmd
}
