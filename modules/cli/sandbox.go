package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/miq/pixel/modules/app"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/sandbox"
)

func sandboxCommand() *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Imitate the partners' endpoints: check strictly what they are sent, and fail on request",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			site, err := listen("--addr", addr, sandbox.New(app.Adapters()))
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The sandbox is at %s\n\nPoint the adapters at it:\n\n", site.URL)
			addresses := sandbox.Endpoints(site.URL, app.Adapters())
			for _, name := range slices.Sorted(maps.Keys(addresses)) {
				fmt.Fprintf(cmd.OutOrStdout(), "  --partners.%s.endpoint=%s\n", name, addresses[name].Endpoint)
				for key, u := range map[string]string{"token_url": addresses[name].TokenURL, "authorize_url": addresses[name].AuthorizeURL} {
					if u != "" {
						fmt.Fprintf(cmd.OutOrStdout(), "  --partners.%s.%s=%s\n", name, key, u)
					}
				}
			}
			<-cmd.Context().Done()
			return site.Close()
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:8082", "`host:port` to listen on")
	return cmd
}

// site is a small HTTP server of a command's own, where one of its flags says.
type site struct {
	URL    string
	server *http.Server
}

func listen(flag, addr string, h http.Handler) (*site, error) {
	l, err := httpserver.Listen(context.Background(), flag, addr)
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(l) }()
	return &site{"http://" + browsable(l.Addr().String()), s}, nil
}

// Close lets running requests end.
func (s *site) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return s.server.Close()
}

// browsable turns an address that was listened on into one to visit: localhost,
// where browsers accept Secure cookies without TLS.
func browsable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
