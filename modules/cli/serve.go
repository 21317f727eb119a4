package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/app"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the roles (the default command)",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, nil)
			if err != nil {
				return err
			}
			return run(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr(), nil)
		},
	}
}

// run starts the roles, calls ready, waits for the context to end, and drains.
func run(ctx context.Context, c config.Config, stdout, stderr io.Writer, ready func(context.Context) error, extra ...fx.Option) error {
	log, level, err := app.NewLogger(c.Log, stderr)
	if err != nil {
		return err
	}
	useMemory(os.Getenv, containers...)
	a := app.New(c, log, stdout, append(extra, fx.Supply(level))...)
	if err := a.Err(); err != nil {
		return dig.RootCause(err)
	}
	start, cancel := context.WithTimeout(ctx, a.StartTimeout())
	defer cancel()
	if err := a.Start(start); err != nil {
		return fmt.Errorf("start: %w", dig.RootCause(err))
	}
	log.Info("running", "roles", c.Roles(), "embedded", c.Embedded(), "data_dir", c.DataDir)
	if ready != nil {
		err = ready(ctx)
	}
	if err == nil {
		<-ctx.Done()
	}
	log.Info("stopping")
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	if e := a.Stop(stop); e != nil {
		return fmt.Errorf("stop: %w", e)
	}
	log.Info("stopped")
	return err
}
