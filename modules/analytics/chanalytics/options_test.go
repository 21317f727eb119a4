package chanalytics

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/miq/pixel/config"
)

// What of an address reaches the driver, by either protocol.
func TestAnAddressBecomesWhatTheDriverIsGiven(t *testing.T) {
	for _, c := range []struct {
		dsn  string
		want func(o *clickhouse.Options) bool
	}{
		{"clickhouse://ch.example:9000/pixel", func(o *clickhouse.Options) bool {
			return o.Protocol == clickhouse.Native && slices.Equal(o.Addr, []string{"ch.example:9000"}) && o.Auth.Database == "pixel" && o.TLS == nil &&
				o.Compression.Method == clickhouse.CompressionLZ4 && o.DialTimeout == 3*time.Second
		}},
		{"clickhouse://ada:s%40crt%2F@a.example:9000,b.example:9000,c.example:9001/pixel", func(o *clickhouse.Options) bool {
			return slices.Equal(o.Addr, []string{"a.example:9000", "b.example:9000", "c.example:9001"}) && o.ConnOpenStrategy == clickhouse.ConnOpenInOrder &&
				o.Auth.Username == "ada" && o.Auth.Password == "s@crt/"
		}},
		{"http://ch.example:8123/pixel", func(o *clickhouse.Options) bool {
			return o.Protocol == clickhouse.HTTP && o.TLS == nil && o.Compression.Method == clickhouse.CompressionLZ4
		}},
		{"https://ch.example:8443/pixel", func(o *clickhouse.Options) bool {
			return o.Protocol == clickhouse.HTTP && o.TLS != nil && !o.TLS.InsecureSkipVerify
		}},
		{"https://ch.example:8443/pixel?compress=zstd", func(o *clickhouse.Options) bool {
			return o.TLS != nil && o.Compression.Method == clickhouse.CompressionZSTD
		}},
		{"clickhouse://ch.example:9440/pixel?secure=true", func(o *clickhouse.Options) bool {
			return o.Protocol == clickhouse.Native && o.TLS != nil && !o.TLS.InsecureSkipVerify
		}},
		{"clickhouse://ch.example:9440/pixel?secure=true&skip_verify=true", func(o *clickhouse.Options) bool { return o.TLS != nil && o.TLS.InsecureSkipVerify }},
		{"clickhouse://ch.example:9000/pixel?compress=zstd", func(o *clickhouse.Options) bool { return o.Compression.Method == clickhouse.CompressionZSTD }},
		{"clickhouse://ch.example:9000/pixel?compress=none", func(o *clickhouse.Options) bool { return o.Compression.Method == clickhouse.CompressionNone }},
		{"http://ch.example:8123/pixel?compress=gzip", func(o *clickhouse.Options) bool { return o.Compression.Method == clickhouse.CompressionGZIP }},
		{"clickhouse://ch.example:9000/pixel?dial_timeout=20s&read_timeout=10m", func(o *clickhouse.Options) bool {
			return o.DialTimeout == 20*time.Second && o.ReadTimeout == 10*time.Minute
		}},
		{"clickhouse://ch.example:9000/pixel?dial_timeout=200ms&read_timeout=1s", func(o *clickhouse.Options) bool {
			// Whatever we wait for on purpose is not cut off by the connection.
			return o.DialTimeout == 200*time.Millisecond && o.ReadTimeout >= 40*time.Second
		}},
		{"clickhouse://ch.example:9000/pixel?max_insert_threads=2", func(o *clickhouse.Options) bool { return o.Settings["max_insert_threads"] != nil }},
	} {
		o, err := options(config.ClickHouse{DSN: c.dsn, QueryTimeout: 30 * time.Second, WriteTimeout: 20 * time.Second})
		if err != nil {
			t.Errorf("%s: %v", c.dsn, err)
		} else if !c.want(o) {
			t.Errorf("%s becomes %+v, with TLS %+v and compression %+v", c.dsn, o, o.TLS, o.Compression)
		}
	}
	for dsn, says := range map[string]string{
		"clickhouse://ada:s3cret@ch.example:9000/pixel?dial_timeout=soon": "clickhouse.dsn: ",
		"clickhouse://ada:s3cret@ch.example:9000/pixel?secure=maybe":      "clickhouse.dsn: ",
		"clickhouse://ada:s3cret@ch.example:x%zz/pixel":                   "clickhouse.dsn: ",
	} {
		if _, err := options(config.ClickHouse{DSN: dsn}); err == nil || !strings.HasPrefix(err.Error(), says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestCertificatesOfFilesAreGivenToTheDriver(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Files make TLS of an address that does not ask for it.
	o, err := options(config.ClickHouse{DSN: "clickhouse://ch.example:9440/pixel", TLS: config.TLSFiles{CA: cert, Cert: cert, Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	if o.TLS == nil || o.TLS.RootCAs == nil || len(o.TLS.Certificates) != 1 || o.TLS.InsecureSkipVerify {
		t.Errorf("TLS is %+v", o.TLS)
	}
	for says, files := range map[string]config.TLSFiles{
		"clickhouse.tls.ca: ":                   {CA: filepath.Join(dir, "none")},
		"holds no certificate in PEM":           {CA: key},
		"clickhouse.tls.cert: ":                 {Cert: cert, Key: cert},
		"clickhouse.tls.cert: open " + dir + "": {Cert: filepath.Join(dir, "none"), Key: key},
	} {
		if _, err := options(config.ClickHouse{DSN: "clickhouse://ch.example:9440/pixel", TLS: files}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", files, err)
		}
	}
}
