package redisclient_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/redisclient"
	"github.com/miq/pixel/modules/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ping(t *testing.T, c config.Redis) error {
	t.Helper()
	if c.Mode == "" {
		c.Mode = "single"
	}
	c.Timeout = 2 * time.Second
	client, err := redisclient.New(c)
	if err != nil {
		return err
	}
	defer client.Close()
	return redisclient.Ping(t.Context(), client)
}

func TestTLSWithAnAuthorityAndACertificateOfOurOwn(t *testing.T) {
	server, files := redistest.StartTLS(t)
	url := "rediss://" + server.Addr
	for _, c := range []struct {
		name string
		tls  config.TLSFiles
		url  string
		says string // empty: it works
	}{
		{"all files", config.TLSFiles{CA: files.CA, Cert: files.Cert, Key: files.Key}, url, ""},
		{"an authority that the system does not know", config.TLSFiles{Cert: files.Cert, Key: files.Key}, url, "redis.tls.ca: the server's certificate is signed by somebody we do not know"},
		{"no certificate", config.TLSFiles{CA: files.CA}, url, "redis.tls: the server ended the handshake, perhaps because it wants a certificate of ours"},
		{"a file that holds no certificate", config.TLSFiles{CA: files.Key}, url, "holds no certificate in PEM"},
		{"no TLS", config.TLSFiles{}, "redis://" + server.Addr, "redis.url: the server does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := ping(t, config.Redis{URL: c.url, TLS: c.tls})
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestAPasswordThatIsWrongIsSaidSo(t *testing.T) {
	server := redistest.StartTCP(t)
	if err := server.Client(t).ConfigSet(t.Context(), "requirepass", "right").Err(); err != nil {
		t.Fatal(err)
	}
	for url, says := range map[string]string{
		"redis://:right@" + server.Addr: "",
		"redis://:wrong@" + server.Addr: "refuses our user or password",
		"redis://" + server.Addr:        "refuses our user or password",
	} {
		err := ping(t, config.Redis{URL: url})
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", url, err, says)
		}
	}
}

func TestRisksAreFoundAndNamed(t *testing.T) {
	for _, c := range []struct {
		name     string
		args     []string
		replicas int
		want     string
	}{
		{"a server that keeps everything", nil, 0, ""},
		{"fsync always", []string{"--appendfsync", "always"}, 0, ""},
		{"no append-only file", []string{"--appendonly", "no"}, 0, "no_aof"},
		{"no fsync", []string{"--appendfsync", "no"}, 0, "no_fsync"},
		{"eviction", []string{"--maxmemory-policy", "allkeys-lru"}, 0, "evicts"},
		{"eviction of what expires", []string{"--maxmemory-policy", "volatile-ttl"}, 0, "evicts"},
		{"too few replicas", nil, 1, "few_replicas"},
		{"several", []string{"--appendonly", "no", "--maxmemory-policy", "allkeys-lfu"}, 0, "no_aof evicts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			risks, err := redisclient.Risks(t.Context(), redistest.Start(t, c.args...).Client(t), c.replicas)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, r := range risks {
				names = append(names, r.Name)
				if r.Message == "" {
					t.Errorf("%s says nothing", r.Name)
				}
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestEveryMasterOfAClusterIsAsked(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	if err := cluster.Masters[2].Client(t).ConfigSet(t.Context(), "appendonly", "no").Err(); err != nil {
		t.Fatal(err)
	}
	client, err := redisclient.New(config.Redis{URL: "redis://" + strings.Join(cluster.Addrs(), ","), Mode: "cluster", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	risks, err := redisclient.Risks(t.Context(), client, 0)
	if err != nil || len(risks) != 1 || risks[0].Name != redisclient.NoAOF || risks[0].Server != cluster.Masters[2].Addr {
		t.Errorf("%+v, %v", risks, err)
	}
}
