package cli

import "github.com/spf13/cobra"

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the configuration in force, secrets masked; exit 2 and a line a problem where it is invalid",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, nil)
			if err != nil {
				return err
			}
			return c.Print(cmd.OutOrStdout())
		},
	}
}
