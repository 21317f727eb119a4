package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/miq/pixel/modules/app"
)

func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Apply the analytics migrations and stop",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, nil)
			if err != nil {
				return err
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
}
