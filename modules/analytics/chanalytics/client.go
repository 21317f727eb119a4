package chanalytics

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/migrations"
)

// Errors of the server that mean something to us, by their code.
const (
	codeTooSlow      = 159 // the question took longer than max_execution_time
	codeMemory       = 241 // the question or the server has no memory left
	codeTooManyParts = 252 // more is written than is merged
)

func hasCode(err error, codes ...int32) bool {
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}

// options are what the driver is given for a DSN. All processes take the first of
// several hosts that answers, so that all read what all have written.
func options(c config.ClickHouse) (*clickhouse.Options, error) {
	o, err := clickhouse.ParseDSN(secured(c.DSN))
	if err != nil {
		return nil, fmt.Errorf("clickhouse.dsn: %s", withoutSecret(err, c.DSN))
	}
	o.ConnOpenStrategy = clickhouse.ConnOpenInOrder
	if o.DialTimeout == 0 {
		o.DialTimeout = 3 * time.Second
	}
	o.ReadTimeout = max(o.ReadTimeout, c.QueryTimeout+10*time.Second, c.WriteTimeout+10*time.Second)
	o.MaxOpenConns, o.MaxIdleConns = 32, 8
	if o.Compression == nil {
		o.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	o.ClientInfo.Products = append(o.ClientInfo.Products, struct{ Name, Version string }{"pixel", "1"})
	if o.TLS != nil || c.TLS != (config.TLSFiles{}) {
		if o.TLS == nil {
			o.TLS = &tls.Config{}
		}
		if err := tlsFiles(o.TLS, c.TLS); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// secured says of an https address that it is secure, which the driver wants said twice.
func secured(dsn string) string {
	if !strings.HasPrefix(dsn, "https://") || strings.Contains(dsn, "secure=") {
		return dsn
	}
	if strings.Contains(dsn, "?") {
		return dsn + "&secure=true"
	}
	return dsn + "?secure=true"
}

// withoutSecret is an error of the driver that cannot hold the DSN's password.
func withoutSecret(err error, dsn string) string {
	_, rest, _ := strings.Cut(dsn, "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if _, password, ok := strings.Cut(rest[:at], ":"); ok && password != "" {
			return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(err.Error(), secured(dsn), "the address"), dsn, "the address"), password, "********")
		}
	}
	return err.Error()
}

func tlsFiles(t *tls.Config, c config.TLSFiles) error {
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return fmt.Errorf("clickhouse.tls.ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("clickhouse.tls.ca: %s holds no certificate in PEM", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return fmt.Errorf("clickhouse.tls.cert: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// Migrate brings the schema up to date, making the database where there is none,
// and returns the names of the migrations that it applied.
func Migrate(ctx context.Context, c config.ClickHouse) ([]string, error) {
	o, err := options(c)
	if err != nil {
		return nil, err
	}
	// DDL of a cluster waits for every host.
	o.ReadTimeout = 10 * time.Minute
	if err := makeDatabase(ctx, o, c.Cluster); err != nil {
		return nil, fmt.Errorf("make the ClickHouse database: %w", err)
	}
	db := clickhouse.OpenDB(o)
	defer db.Close()
	return migrations.ClickHouse(ctx, db, c.Cluster)
}

// Back lets the version before start on the schema.
func Back(ctx context.Context, c config.ClickHouse) error {
	o, err := options(c)
	if err != nil {
		return err
	}
	db := clickhouse.OpenDB(o)
	defer db.Close()
	return migrations.ClickHouseBack(ctx, db, c.Cluster)
}

func makeDatabase(ctx context.Context, o *clickhouse.Options, cluster string) error {
	name := o.Auth.Database
	if name == "" || name == "default" {
		return nil
	}
	first := *o
	first.Auth.Database = "default"
	db := clickhouse.OpenDB(&first)
	defer db.Close()
	return exec(ctx, db, migrations.MakeDatabase(name, cluster))
}

func exec(ctx context.Context, db *sql.DB, statement string) error {
	_, err := db.ExecContext(ctx, statement)
	return err
}
