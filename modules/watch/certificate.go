package watch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"time"
)

// InFile is when the first certificate of a PEM file to end does.
func InFile(path string) func(context.Context) (time.Time, error) {
	return func(context.Context) (time.Time, error) {
		body, err := os.ReadFile(path)
		if err != nil {
			return time.Time{}, err
		}
		var list []*x509.Certificate
		for block, rest := pem.Decode(body); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return time.Time{}, fmt.Errorf("%s: %w", path, err)
			}
			list = append(list, c)
		}
		if len(list) == 0 {
			return time.Time{}, fmt.Errorf("%s holds no certificate in PEM", path)
		}
		return first(list), nil
	}
}

// Served is when what servers show ends: their own certificates and those between
// them and the root. Whom they are signed by is not asked: that is for those who
// use them.
func Served(addresses ...string) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (time.Time, error) {
		var list []*x509.Certificate
		for _, address := range addresses {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return time.Time{}, err
			}
			shown, err := handshake(ctx, address, host)
			if err != nil {
				return time.Time{}, fmt.Errorf("%s: %w", address, err)
			}
			list = append(list, shown...)
		}
		return first(list), nil
	}
}

func handshake(ctx context.Context, address, host string) ([]*x509.Certificate, error) {
	var shown []*x509.Certificate
	d := tls.Dialer{Config: &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // nothing is sent or believed; only dates are read
		VerifyConnection: func(s tls.ConnectionState) error {
			shown = s.PeerCertificates
			return nil
		},
	}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		err = conn.Close()
	}
	if len(shown) > 0 {
		// A server that wants a certificate of ours has shown its own before.
		return shown, nil
	}
	return nil, err
}

func first(list []*x509.Certificate) time.Time {
	var t time.Time
	for _, c := range list {
		if t.IsZero() || c.NotAfter.Before(t) {
			t = c.NotAfter
		}
	}
	return t
}
