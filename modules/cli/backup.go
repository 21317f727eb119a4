package cli

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/backup"
)

func backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Copy the data folder while pixel runs",
		Long: `backup copies data_dir into a new folder: the embedded queue, state and analytics,
each as it is at one moment, the archive where it lies in data_dir, and the key that
credentials are sealed with, so keep it as you keep the key. Whatever was stored when it
began is in the copy. pixel may run meanwhile.

Redis, ClickHouse and a bucket have ways of their own: docs/deploy says which.`,
		Args: one("the folder to make"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := load(cmd, nil)
			if err != nil {
				return err
			}
			begun := time.Now()
			done, err := backup.Take(cmd.Context(), c.DataDir, args[0])
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d files, %.1f MB, in %s: %s\n", len(done.Files), float64(done.Size())/1e6, time.Since(begun).Round(time.Millisecond), args[0])
			elsewhere(cmd, c)
			return nil
		},
	}
}

func restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FOLDER",
		Short: "Make a new data folder of a backup",
		Long: `restore checks each file of a backup, and makes data_dir of it, which must be empty or
not there. Start pixel afterwards: what waited in the queues when the backup was made is
worked on again, and what is known already by its id changes nothing. Deliveries that
went out since the backup go out again, under the same keys.`,
		Args: one("the backup's folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := load(cmd, nil)
			if err != nil {
				return err
			}
			done, err := backup.Restore(cmd.Context(), args[0], c.DataDir)
			if err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d files, %.1f MB, of %s, are in %s\n", len(done.Files), float64(done.Size())/1e6, done.Begun.Local().Format(time.DateTime), c.DataDir)
			elsewhere(cmd, c)
			return nil
		},
	}
}

// elsewhere says what a backup does not hold.
func elsewhere(cmd *cobra.Command, c config.Config) {
	for _, s := range []struct {
		what  string
		there bool
	}{{"the queues and the state: they are in Redis", c.Redis.URL != ""}, {"the analytics: they are in ClickHouse", c.ClickHouse.DSN != ""}, {"the archive: it is not in data_dir", !archiveInside(c)}} {
		if s.there {
			fmt.Fprintln(cmd.OutOrStdout(), "not in it:", s.what)
		}
	}
}

func archiveInside(c config.Config) bool {
	folder, local := c.Archive.Folder()
	return local && filepath.Clean(folder) == filepath.Join(c.DataDir, "archive")
}

// one is a command's only argument.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s needs one argument, %s (see %s --help)", cmd.Name(), what, cmd.CommandPath())}
		}
		return nil
	}
}
