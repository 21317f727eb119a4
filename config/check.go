package config

import (
	"context"
	"encoding/base64"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// minLease is three times the longest that any partner is waited for.
const minLease = 45 * time.Second

// Roles are what a process can do; "all" is all of them.
var roles = []string{"collector", "worker", "dispatcher", "admin"}

// Roles returns the roles that Role names, in the order above.
func (c Config) Roles() []string {
	var out []string
	for _, r := range roles {
		for _, w := range strings.Split(c.Role, ",") {
			if w = strings.TrimSpace(w); w == r || w == "all" {
				out = append(out, r)
				break
			}
		}
	}
	return out
}

// Embedded reports whether queues and state live in this process's data folder.
func (c Config) Embedded() bool { return c.Redis.URL == "" }

// checkAddresses wants what this process listens on to be addresses, and each another.
func (c Config) checkAddresses(bad *Invalid) {
	taken := map[string]string{} // the setting of each
	for _, s := range []struct{ key, addr, role string }{
		{"collector.addr", c.Collector.Addr, "collector"}, {"admin.addr", c.Admin.Addr, "admin"}, {"ops.addr", c.Ops.Addr, ""},
	} {
		_, port, err := net.SplitHostPort(s.addr)
		if err == nil && port != "" {
			_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // numbers, and a file of names
		}
		switch {
		case err != nil || port == "":
			bad.add(s.key, "must be host:port or :port, the port at most 65535, not %q", s.addr)
		case port == "0" || s.role != "" && !slices.Contains(c.Roles(), s.role):
		case taken[s.addr] != "":
			bad.add(s.key, "must be another address than %s, which is %q too", taken[s.addr], s.addr)
		default:
			taken[s.addr] = s.key
		}
	}
}

func (c Config) check(bad *Invalid) {
	for _, w := range strings.Split(c.Role, ",") {
		if w = strings.TrimSpace(w); w != "all" && !slices.Contains(roles, w) {
			bad.add("role", "must be all, or some of collector, worker, dispatcher, admin with commas between, not %q", w)
		}
	}
	if c.DataDir == "" {
		bad.add("data_dir", "must name a folder")
	}
	oneOf(bad, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(bad, "log.format", c.Log.Format, "json", "text")
	c.checkAddresses(bad)
	webURL(bad, "collector.public_url", c.Collector.PublicURL)
	webURL(bad, "admin.public_url", c.Admin.PublicURL)
	c.checkOIDC(bad)
	webURL(bad, "otel.endpoint", c.OTel.Endpoint)
	for name, p := range c.Partners {
		webURL(bad, "partners."+name+".endpoint", p.Endpoint)
		webURL(bad, "partners."+name+".token_url", p.TokenURL)
		webURL(bad, "partners."+name+".authorize_url", p.AuthorizeURL)
	}
	for _, network := range c.Collector.TrustedProxies {
		if _, err := netip.ParsePrefix(network); err != nil {
			bad.add("collector.trusted_proxies", "must be networks such as 10.0.0.0/8, not %q", network)
		}
	}
	for _, network := range c.Collector.Rate.Free {
		if _, err := netip.ParsePrefix(network); err != nil {
			bad.add("collector.rate.free", "must be networks such as 10.0.0.0/8, not %q", network)
		}
	}
	for key, n := range map[string]float64{"collector.rate.pixel": c.Collector.Rate.Pixel, "collector.rate.address": c.Collector.Rate.Address} {
		if n < 0 || math.IsNaN(n) || math.IsInf(n, 0) {
			bad.add(key, "must be so many a second, such as 50; 0 is no limit")
		}
	}
	for key, n := range map[string]int64{
		"collector.max_body": c.Collector.MaxBody, "collector.max_events": int64(c.Collector.MaxEvents), "collector.max_waiting": c.Collector.MaxWaiting,
		"worker.concurrency": int64(c.Worker.Concurrency), "worker.batch": int64(c.Worker.Batch),
		"dispatcher.concurrency": int64(c.Dispatcher.Concurrency), "dispatcher.retry.attempts": int64(c.Dispatcher.Retry.Attempts),
		"dispatcher.breaker.failures": int64(c.Dispatcher.Breaker.Failures), "dispatcher.breaker.window": int64(c.Dispatcher.Breaker.Window),
		"queue.max_deliveries": int64(c.Queue.MaxDeliveries), "consent.vendor_id": int64(c.Consent.VendorID),
	} {
		if n < 1 {
			bad.add(key, "must be at least 1")
		}
	}
	for key, d := range map[string]time.Duration{
		"collector.rate.burst": c.Collector.Rate.Burst, "shutdown_timeout": c.ShutdownTimeout, "collector.edge_window": c.Collector.EdgeWindow, "worker.dedupe_ttl": c.Worker.DedupeTTL, "worker.order_ttl": c.Worker.OrderTTL, "queue.lease": c.Queue.Lease, "queue.keep_books": c.Queue.KeepBooks,
		"dispatcher.breaker.delay": c.Dispatcher.Breaker.Delay, "dispatcher.retry.min": c.Dispatcher.Retry.Min, "dispatcher.retry.max": c.Dispatcher.Retry.Max,
	} {
		if d <= 0 {
			bad.add(key, "must be longer than nothing, such as 30s")
		}
	}
	if c.DrainDelay < 0 || c.DrainDelay > c.ShutdownTimeout/2 {
		bad.add("drain_delay", "must be at most half of shutdown_timeout (%s), or what is under way is cut off", shortDuration(c.ShutdownTimeout))
	}
	c.Spill.check(bad)
	c.Currency.check(bad)
	checkFiles(bad, "geo.city_db", c.Geo.CityDB)
	checkFiles(bad, "geo.asn_db", c.Geo.ASNDB)
	checkFiles(bad, "geo.datacenters", c.Geo.Datacenters)
	if c.Queue.MaxBytes < 0 {
		bad.add("queue.max_bytes", "must not be negative; 0 is no bound")
	}
	if c.Collector.Overload.Depth < 0 {
		bad.add("collector.overload.depth", "must not be negative; 0 is no limit")
	}
	if c.Collector.Overload.Age < 0 {
		bad.add("collector.overload.age", "must not be negative; 0 is no limit")
	}
	if c.Collector.Overload.Refusals < 0 {
		bad.add("collector.overload.refusals", "must not be negative; 0 is no limit")
	}
	if m := c.Collector.Overload.Memory; m < 0 || m > 1 {
		bad.add("collector.overload.memory", "must be between 0 and 1; 0 is no limit")
	}
	if c.Queue.Lease > 0 && c.Queue.Lease < minLease {
		bad.add("queue.lease", "must be at least %s, or a message comes back while a slow partner is still being asked", shortDuration(minLease))
	}
	if c.Queue.MaxDeliveries > 255 {
		bad.add("queue.max_deliveries", "must be at most 255")
	}
	if c.Dispatcher.Breaker.Failures > c.Dispatcher.Breaker.Window {
		bad.add("dispatcher.breaker.failures", "must not exceed dispatcher.breaker.window (%d)", c.Dispatcher.Breaker.Window)
	}
	if c.OTel.Sample < 0 || c.OTel.Sample > 1 {
		bad.add("otel.sample", "must be between 0 and 1")
	}
	if c.OTel.Slow < 0 {
		bad.add("otel.slow", "must not be negative; 0 keeps the share alone")
	}
	if c.OTel.Tag < 0 || c.OTel.Tag > 1 {
		bad.add("otel.tag", "must be between 0 and 1")
	}
	if c.OTel.Outside < 0 {
		bad.add("otel.outside", "must not be negative; 0 believes nobody")
	}
	c.checkEdge(bad)
	c.checkStores(bad)
}

func (c Config) checkEdge(bad *Invalid) {
	for part := range strings.SplitSeq(c.Collector.EdgeKeys, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		id, encoded, ok := strings.Cut(part, ":")
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || id == "" || strings.Contains(id, ".") || err != nil || len(key) < 32 {
			bad.add("collector.edge_keys", `must be "id:key" with commas between, each key 32 bytes or more in base64; make one with: echo k1:$(openssl rand -base64 32)`)
		}
	}
}

func (c Config) checkStores(bad *Invalid) {
	if c.SecretKey == "" && !c.Embedded() {
		bad.add("secret_key", "is needed once redis.url is set, the same on every replica; make one with: head -c 32 /dev/urandom | base64")
	}
	if c.SecretKey != "" && !isKey(c.SecretKey) {
		bad.add("secret_key", "must be 32 bytes in base64; make one with: head -c 32 /dev/urandom | base64")
	}
	for old := range strings.SplitSeq(c.SecretKeyOld, ",") {
		if strings.TrimSpace(old) != "" && !isKey(old) {
			bad.add("secret_key_old", "must be keys of 32 bytes in base64, with commas between")
			break
		}
	}
	c.Redis.check(bad)
	c.ClickHouse.check(bad)
	c.Archive.check(bad)
	c.Identity.check(bad)
}

// checkFiles checks that each path of a list can be read.
func checkFiles(bad *Invalid, key, paths string) {
	for path := range strings.SplitSeq(paths, ",") {
		if path = strings.TrimSpace(path); path == "" {
			continue
		}
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			bad.add(key, "must name a file that can be read, or several with commas between; %q is none", path)
		}
	}
}

// isKey reports whether s is 32 bytes in base64, of either alphabet.
func isKey(s string) bool {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(strings.TrimSpace(s), "="))
	key, err := base64.RawStdEncoding.DecodeString(s)
	return err == nil && len(key) == 32
}

func oneOf(bad *Invalid, key, got string, want ...string) {
	if !slices.Contains(want, got) {
		bad.add(key, "must be one of %s, not %q", strings.Join(want, ", "), got)
	}
}

func webURL(bad *Invalid, key, s string) {
	if s == "" {
		return
	}
	if u, err := url.Parse(s); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		bad.add(key, "must be an http(s) address, not %q", s)
	}
}
