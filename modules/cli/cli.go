// Package cli is the command line: one command a file.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/miq/pixel/config"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitInvalid = 2 // the configuration, or the command line
)

// Run executes a command line, without the program's name, and returns the exit
// code. SIGINT and SIGTERM end a running command gracefully; a second one at once.
func Run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the default handling returns: a second one kills.
	context.AfterFunc(ctx, stop)

	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var bad config.Invalid
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &bad):
		fmt.Fprintln(stderr, bad.Error())
		return exitInvalid
	case errors.As(err, new(usageError)):
		fmt.Fprintln(stderr, "pixel:", err)
		return exitInvalid
	}
	fmt.Fprintln(stderr, "pixel:", err)
	return exitFailed
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func rootCommand() *cobra.Command {
	serve := serveCommand()
	root := &cobra.Command{
		Use:   "pixel",
		Short: "A marketing pixel: collects events with consent, and delivers conversions to advertising partners",
		Long: `pixel collects events from a tag on a web site, with the visitor's consent and
never without it, and delivers conversions to advertising partners.

Without a command it serves. With nothing configured it runs whole on an
embedded store in ./data; "pixel demo" adds a shop and imitated partners to try.

Every key of config.yaml is an environment variable (PIXEL_REDIS_URL for
redis.url) and a flag (--redis.url=…); "pixel config" prints what is in force.`,
		Args:          noArgs,
		RunE:          serve.RunE,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.String("config", "config.yaml", "settings `file`; missing is fine unless named")
	flags.String("role", "", "what to run, `roles`: all, or some of collector,worker,dispatcher,admin (default all)")
	flags.String("data_dir", "", "`folder` of the embedded store (default ./data)")
	for _, key := range config.Keys() {
		if flags.Lookup(key) == nil {
			flags.String(key, "", "")
			_ = flags.MarkHidden(key) // config.yaml is where they are explained
		}
	}
	root.AddCommand(serve, demoCommand(), sandboxCommand(), simulateCommand(), configCommand(), migrateCommand(), queueCommand(), dlqCommand(), eraseCommand(), backfillCommand(), backupCommand(), restoreCommand(), healthCommand(), versionCommand())
	return root
}

// noArgs is for a command that takes none.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
	}
	return nil
}

// load reads the configuration that a command's flags ask for.
func load(cmd *cobra.Command, override map[string]string) (config.Config, error) {
	src := config.Sources{Environ: os.Environ(), Flags: override}
	if src.Flags == nil {
		src.Flags = map[string]string{}
	}
	src.File, _ = cmd.Flags().GetString("config")
	src.Named = cmd.Flags().Changed("config")
	known := map[string]bool{}
	for _, key := range config.Keys() {
		known[key] = true
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if known[f.Name] {
			src.Flags[f.Name] = f.Value.String()
		}
	})
	return config.Load(src)
}

// table writes rows of two columns for people.
func table(w io.Writer, rows [][2]string) {
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(w, "  %s%s  %s\n", r[0], strings.Repeat(" ", width-len(r[0])), r[1])
	}
}
