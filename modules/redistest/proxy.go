package redistest

import (
	"context"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Network is a way to a server that can be made slow, silent or cut.
type Network struct {
	Addr  string
	t     testing.TB
	proxy *toxiproxy.Proxy
}

// Through starts one to an address.
func Through(t testing.TB, addr string) *Network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	n := &Network{Addr: FreeAddr(t), t: t, proxy: toxiproxy.NewProxy(server, "redis", "", addr)}
	n.proxy.Listen = n.Addr
	n.Join()
	t.Cleanup(n.Cut)
	return n
}

// Cut ends all connections and takes no more.
func (n *Network) Cut() { n.proxy.Stop() }

// Join takes connections again.
func (n *Network) Join() {
	n.t.Helper()
	if err := n.proxy.Start(); err != nil {
		n.t.Fatalf("join the network: %v", err)
	}
}

// Poison adds a toxic, in toxiproxy's words, such as
// {"type":"latency","attributes":{"latency":100}}, both ways, until Heal.
func (n *Network) Poison(toxic string) {
	n.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		body := strings.Replace(toxic, "{", `{"name":"`+stream+`","stream":"`+stream+`",`, 1)
		if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(body)); err != nil {
			n.t.Fatalf("poison the network: %v", err)
		}
	}
}

// Heal takes all toxics away.
func (n *Network) Heal() { n.proxy.Toxics.ResetToxics(context.Background()) }
