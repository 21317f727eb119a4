package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/miq/pixel/migrations"
	"github.com/miq/pixel/modules/sqlitedb"
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
			path := filepath.Join(c.DataDir, "analytics.db")
			db, err := sqlitedb.Open(path)
			if err != nil {
				return err
			}
			defer db.Close()
			applied, err := migrations.SQLite(cmd.Context(), db.Durable)
			for _, name := range applied {
				fmt.Fprintln(cmd.OutOrStdout(), "applied", name)
			}
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), path, "is up to date")
			}
			return err
		},
	}
}
