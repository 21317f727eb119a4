package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/miq/pixel/modules/build"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the Go version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "pixel %s, commit %s, %s %s/%s\n", build.Version, build.Commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
