package app

import (
	"net"
	"net/url"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/watch"
)

// certificates are those that the configuration names: files of ours, and what is
// shown by Redis and by whatever ends TLS in front of us.
func certificates(c config.Config) []watch.Certificate {
	list := []watch.Certificate{}
	for _, f := range [][2]string{
		{"redis.tls.ca", c.Redis.TLS.CA}, {"redis.tls.cert", c.Redis.TLS.Cert},
		{"clickhouse.tls.ca", c.ClickHouse.TLS.CA}, {"clickhouse.tls.cert", c.ClickHouse.TLS.Cert},
	} {
		if f[1] != "" {
			list = append(list, watch.Certificate{Name: f[0], Ends: watch.InFile(f[1])})
		}
	}
	if a, err := c.Redis.Address(); c.Redis.URL != "" && err == nil && a.TLS {
		list = append(list, watch.Certificate{Name: "redis.url", Ends: watch.Served(a.Hosts...)})
	}
	for _, s := range [][2]string{{"collector.public_url", c.Collector.PublicURL}, {"admin.public_url", c.Admin.PublicURL}} {
		u, err := url.Parse(s[1])
		if err != nil || u.Scheme != "https" || u.Host == "" {
			continue
		}
		port := u.Port()
		if port == "" {
			port = "443"
		}
		list = append(list, watch.Certificate{Name: s[0], Ends: watch.Served(net.JoinHostPort(u.Hostname(), port))})
	}
	return list
}
