package config

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// ClickHouse holds events and the sync log when its DSN is set.
type ClickHouse struct {
	DSN string `koanf:"dsn" secret:"url"`
	// Cluster is on whose every host the tables are, replicated; empty: a single server.
	Cluster string   `koanf:"cluster"`
	TLS     TLSFiles `koanf:"tls"`
	// BatchRows bounds one insert, and Linger is the pause between two.
	BatchRows    int           `koanf:"batch_rows"`
	Linger       time.Duration `koanf:"linger"`
	WriteTimeout time.Duration `koanf:"write_timeout"`
	QueryTimeout time.Duration `koanf:"query_timeout"`
	QueryMemory  int64         `koanf:"query_memory"` // bytes
}

func (c ClickHouse) check(bad *Invalid) {
	if c.BatchRows < 1 || c.BatchRows > 1_000_000 {
		bad.add("clickhouse.batch_rows", "must be between 1 and 1000000")
	}
	if c.Linger < 0 || c.Linger > 5*time.Second {
		bad.add("clickhouse.linger", "must be between 0s and 5s")
	}
	if c.WriteTimeout < time.Second || c.WriteTimeout > 45*time.Second {
		bad.add("clickhouse.write_timeout", "must be between 1s and 45s")
	}
	if c.QueryTimeout < time.Second || c.QueryTimeout > time.Hour {
		bad.add("clickhouse.query_timeout", "must be between 1s and 1h")
	}
	if c.QueryMemory < 64<<20 {
		bad.add("clickhouse.query_memory", "must be at least 67108864 (64 MiB)")
	}
	c.TLS.check(bad, "clickhouse.tls")
	if c.DSN == "" {
		return
	}
	scheme, rest, _ := strings.Cut(c.DSN, "://")
	if !slices.Contains([]string{"clickhouse", "http", "https"}, scheme) {
		bad.add("clickhouse.dsn", "must begin with clickhouse:// (native), http:// or https://")
		return
	}
	// Several hosts are not an address to net/url; the first stands for them.
	at := strings.LastIndexByte(rest, '@')
	hosts, path, _ := strings.Cut(rest[at+1:], "/")
	if hosts == "" {
		bad.add("clickhouse.dsn", "must name a host, and a database after it: clickhouse://user:password@host:9000/pixel")
	}
	_, query, _ := strings.Cut(path, "?")
	if values, err := url.ParseQuery(query); err == nil && (values.Has("password") || values.Has("username")) {
		bad.add("clickhouse.dsn", "must name user and password before the host, where they are not shown: clickhouse://user:password@host:9000/pixel")
	}
}
