package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/miq/pixel/modules/freeaddr"
)

// network is what lies between the roles and Redis.
type network struct {
	addr  string
	proxy *toxiproxy.Proxy
}

func newNetwork(upstream string) (*network, error) {
	addr, err := freeaddr.Pick()
	if err != nil {
		return nil, err
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // parts of it log by themselves
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{addr, toxiproxy.NewProxy(server, "redis", addr, upstream)}
	return n, n.proxy.Start()
}

func (n *network) close() { n.proxy.Stop() }

// poison makes the network bad for a while. A stream is "upstream", which are
// commands, or "downstream", which are answers.
func (n *network) poison(ctx context.Context, d time.Duration, kind, stream, attributes string) error {
	_, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":"it","type":%q,"stream":%q,"toxicity":1,"attributes":%s}`, kind, stream, attributes)))
	if err != nil {
		return err
	}
	pause(ctx, d)
	return n.proxy.Toxics.RemoveToxic(ctx, "it")
}

// cut breaks all connections and lets no new ones through for a while.
func (n *network) cut(ctx context.Context, d time.Duration) error {
	n.proxy.Stop()
	pause(ctx, d)
	return n.proxy.Start()
}
