// Package redisclient makes the client that queues and state share: for a single
// server, a cluster, or a master that sentinels name. A server that does not
// answer is an error within seconds, never a hang.
package redisclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/miq/pixel/config"
)

// Pullers block a connection each while they wait, beside those that work.
const connections = 64

// New makes a client; its owner closes it.
func New(c config.Redis) (redis.UniversalClient, error) {
	a, err := c.Address()
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	o := &redis.UniversalOptions{
		Addrs: a.Hosts, DB: a.DB, Username: a.Username, Password: a.Password,
		ContextTimeoutEnabled: true,
		DialTimeout:           max(c.Timeout/2, 250*time.Millisecond), DialerRetries: 1,
		// A command that blocks does so for a second at most.
		ReadTimeout: c.Timeout + time.Second, WriteTimeout: c.Timeout,
		MaxRetries: 2, MinRetryBackoff: 10 * time.Millisecond, MaxRetryBackoff: 200 * time.Millisecond,
		PoolSize: connections, PoolTimeout: c.Timeout, ConnMaxIdleTime: 5 * time.Minute,
		// Neither is needed, and each would have to be allowed to our ACL user.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if a.TLS {
		if o.TLSConfig, err = tlsConfig(c.TLS); err != nil {
			return nil, err
		}
	} else {
		o.Dialer = dialer(o.DialTimeout)
	}
	switch c.Mode {
	case "cluster":
		o.IsClusterMode = true
		return redis.NewUniversalClient(o), nil
	case "sentinel":
		o.MasterName = c.Sentinel.Master
		o.SentinelUsername, o.SentinelPassword = c.Sentinel.Username, c.Sentinel.Password
		return redis.NewUniversalClient(o), nil
	}
	single := o.Simple()
	single.Network = a.Network
	return redis.NewClient(single), nil
}

func tlsConfig(c config.TLSFiles) (*tls.Config, error) {
	// The server's name is that of each connection's own address.
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("redis.tls.ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("redis.tls.ca: %s holds no certificate in PEM", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("redis.tls.cert: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// ErrAway says that no server answers, which may pass by itself.
var ErrAway = errors.New("the server does not answer")

// Ping asks for an answer, and says in plain words what stands in the way.
func Ping(ctx context.Context, client redis.UniversalClient) error {
	err := client.Ping(ctx).Err()
	var unknown x509.UnknownAuthorityError
	var network *net.OpError
	switch {
	case err == nil:
		return nil
	case redis.IsAuthError(err):
		return fmt.Errorf("redis.url: the server refuses our user or password: %w", err)
	case redis.IsPermissionError(err):
		return fmt.Errorf("redis.url: our ACL user may not do what it must: %w", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("redis.tls.ca: the server's certificate is signed by somebody we do not know: %w", err)
	case errors.As(err, &network) && network.Op == "remote error":
		return fmt.Errorf("redis.tls: the server ended the handshake, perhaps because it wants a certificate of ours: %w", err)
	}
	return fmt.Errorf("redis.url: %w: %w", ErrAway, err)
}

// Log takes the library's own complaints about connections, which our roles
// report in their own words: they are for whoever looks closer. The library has
// one logger a process, and by default writes plain lines.
func Log(log *slog.Logger) { redis.SetLogger(logger{log}) }

type logger struct{ log *slog.Logger }

func (l logger) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "the client says", "message", fmt.Sprintf(format, v...))
}
