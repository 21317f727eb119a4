package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Redis holds queues and state when its URL is set.
type Redis struct {
	URL  string `koanf:"url" secret:"url"`
	Mode string `koanf:"mode"` // single, cluster, sentinel
	// Partitions is into how many parts a queue is cut; 0: as the mode needs.
	Partitions int `koanf:"partitions"`
	// WaitReplicas is how many replicas must have an event before it is answered.
	WaitReplicas int `koanf:"wait_replicas"`
	// Timeout is how long a command may take, its repetitions included.
	Timeout  time.Duration `koanf:"timeout"`
	TLS      TLSFiles      `koanf:"tls"`
	Sentinel RedisSentinel `koanf:"sentinel"`
}

// TLSFiles are who a server must be, and who we are to it.
type TLSFiles struct {
	CA   string `koanf:"ca"`   // empty: the system's
	Cert string `koanf:"cert"` // empty: none is shown
	Key  string `koanf:"key"`
}

func (t TLSFiles) check(bad *Invalid, section string) {
	for key, path := range map[string]string{"ca": t.CA, "cert": t.Cert, "key": t.Key} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			bad.add(section+"."+key, "must name a file that is there: %v", err)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		bad.add(section+".cert", "needs %s.key, and the other way round", section)
	}
}

// RedisSentinel is what the sentinels are asked for, and how.
type RedisSentinel struct {
	Master   string `koanf:"master"`
	Username string `koanf:"username"`
	Password string `koanf:"password" secret:"true"`
}

// clusterPartitions is two for each of the three masters that a cluster has at
// least, and as many as spread over four or six evenly or nearly.
const clusterPartitions = 6

// Parts is Partitions, or what the mode needs.
func (r Redis) Parts() int {
	switch {
	case r.Partitions > 0:
		return r.Partitions
	case r.Mode == "cluster":
		return clusterPartitions
	}
	return 1
}

// RedisAddress is what redis.url says.
type RedisAddress struct {
	Network            string // tcp, or unix with the socket's path as host
	TLS                bool
	Username, Password string
	Hosts              []string // host:port
	DB                 int
}

// Address reads the URL, which may have several hosts with commas between; hosts
// alone, as clusters and sentinels are often written, are redis://.
func (r Redis) Address() (RedisAddress, error) {
	a := RedisAddress{Network: "tcp"}
	scheme, rest, found := strings.Cut(r.URL, "://")
	if !found {
		scheme, rest = "redis", r.URL
	}
	switch scheme {
	case "redis":
	case "rediss":
		a.TLS = true
	case "unix":
		a.Network = "unix"
	default:
		return a, fmt.Errorf("must begin with redis://, rediss:// or unix://")
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		name, password, _ := strings.Cut(rest[:at], ":")
		var err error
		if a.Username, err = url.PathUnescape(name); err == nil {
			a.Password, err = url.PathUnescape(password)
		}
		if err != nil {
			return a, fmt.Errorf("has a user or a password with a %% that must be written %%25")
		}
		rest = rest[at+1:]
	}
	rest, query, _ := strings.Cut(rest, "?")
	db := ""
	for _, pair := range strings.Split(query, "&") {
		switch key, value, _ := strings.Cut(pair, "="); key {
		case "":
		case "db":
			db = value
		default:
			return a, fmt.Errorf("has an option that there is not: %s; timeouts and TLS have settings of their own", key)
		}
	}
	if a.Network == "unix" {
		a.Hosts = []string{rest}
		if !strings.HasPrefix(rest, "/") {
			return a, fmt.Errorf("must name the socket's whole path: unix:///run/redis.sock")
		}
	} else {
		hosts, path, _ := strings.Cut(rest, "/")
		if path != "" {
			db = path
		}
		for _, h := range strings.Split(hosts, ",") {
			host, port, err := net.SplitHostPort(h)
			if err != nil {
				host, port = strings.Trim(h, "[]"), "6379"
			}
			if host == "" {
				host = "localhost"
			}
			if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strings.ContainsAny(host, "/ ") {
				return a, fmt.Errorf("must have host:port, or several with commas between, not %q", h)
			}
			a.Hosts = append(a.Hosts, net.JoinHostPort(host, port))
		}
	}
	if db != "" {
		var err error
		if a.DB, err = strconv.Atoi(db); err != nil || a.DB < 0 {
			return a, fmt.Errorf("must name the database by its number, not %q", db)
		}
	}
	return a, nil
}

// Masked is the URL without its password.
func maskedURL(s string) string {
	scheme, rest, found := strings.Cut(s, "://")
	at := strings.LastIndexByte(rest, '@')
	if !found {
		return mask
	}
	if at < 0 {
		return s
	}
	name, _, secret := strings.Cut(rest[:at], ":")
	if secret {
		name += ":" + mask
	}
	return scheme + "://" + name + rest[at:]
}

func (r Redis) check(bad *Invalid) {
	modes := []string{"single", "cluster", "sentinel"}
	oneOf(bad, "redis.mode", r.Mode, modes...)
	for key, n := range map[string]int{"redis.partitions": r.Partitions, "redis.wait_replicas": r.WaitReplicas} {
		if n < 0 || n > 64 {
			bad.add(key, "must be between 0 and 64")
		}
	}
	if r.Timeout < 100*time.Millisecond || r.Timeout > 30*time.Second {
		bad.add("redis.timeout", "must be between 100ms and 30s")
	}
	r.TLS.check(bad, "redis.tls")
	if r.URL == "" {
		return
	}
	a, err := r.Address()
	if err != nil {
		bad.add("redis.url", "%v", err)
		return
	}
	if !a.TLS && (r.TLS != TLSFiles{}) {
		bad.add("redis.tls", "is for addresses that begin with rediss://")
	}
	switch {
	case r.Mode == "single" && len(a.Hosts) > 1:
		bad.add("redis.url", "names several servers; set redis.mode to cluster or sentinel")
	case r.Mode != "single" && slices.Contains(modes, r.Mode) && a.Network == "unix":
		bad.add("redis.url", "must have host:port for redis.mode %s", r.Mode)
	case r.Mode == "cluster" && a.DB != 0:
		bad.add("redis.url", "must not name a database: a cluster has only number 0")
	case r.Mode == "sentinel" && r.Sentinel.Master == "":
		bad.add("redis.sentinel.master", "is needed for redis.mode sentinel: the name by which the sentinels know the master, often mymaster")
	}
}
