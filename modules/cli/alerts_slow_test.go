package cli_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// ending is a server's certificate that ends after a while.
func ending(t *testing.T, after time.Duration) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(after), IPAddresses: []net.IP{{127, 0, 0, 1}}}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// collect sends events of px_ttd, as they are written, and reports the answer's status.
func (s *stand) collect(consent string, events ...string) int {
	body := fmt.Sprintf(`{"pixel_id":"px_ttd","identity":{"anonymous_id":"slow","email_sha256":"6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd","partner_ids":{"tdid":"11111111-2222-4333-8444-555555555555"}},"consent":{%s},"context":{"locale":"en-US","page":{"url":"https://shop.example.com/thanks"}},"events":[%s]}`,
		consent, strings.Join(events, ","))
	resp, err := http.Post(s.collector+"/collect", "application/json", strings.NewReader(body))
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// views are so many events, each like no other.
func (s *stand) views(n int) []string {
	list := make([]string, n)
	for i := range list {
		s.n++
		list[i] = fmt.Sprintf(`{"id":"view-%d","name":"page_view"}`, s.n)
	}
	return list
}

// during does something over and over until alerts fire.
func (s *stand) during(do func(), names ...string) {
	s.t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				do()
			}
		}
	}()
	defer func() { close(stop); <-done }()
	s.until(true, names...)
}

// TestAlertsOfWhatComesSlowly is as TestAlertsFireAndClear, for what nobody is hurt by yet.
func TestAlertsOfWhatComesSlowly(t *testing.T) {
	var shown atomic.Pointer[tls.Certificate]
	shown.Store(ending(t, 24*time.Hour))
	listen := freeAddr(t)
	s := watched(t, "--collector.public_url=https://"+listen, "--collector.overload.depth=1000")

	t.Log("nobody can read the certificate; then it ends tomorrow; then it is renewed")
	s.until(true, "PixelCertificateUnreadable")
	front := httptest.NewUnstartedServer(http.NotFoundHandler())
	front.Listener.Close()
	var err error
	if front.Listener, err = net.Listen("tcp", listen); err != nil {
		t.Fatal(err)
	}
	front.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*shown.Load()}}, nil
	}}
	front.StartTLS()
	defer front.Close()
	s.until(true, "PixelCertificateEndsNow", "PixelCertificateExpires")
	shown.Store(ending(t, 90*24*time.Hour))
	s.until(false, "PixelCertificateUnreadable", "PixelCertificateEndsNow", "PixelCertificateExpires")

	t.Log("a token of the API ends in three days")
	var made struct{ ID string }
	s.api("POST", "/tokens", map[string]any{"name": "soon", "role": "viewer", "expires_at": time.Now().Add(72 * time.Hour).Format(time.RFC3339)}, &made)
	s.until(true, "PixelApiTokenExpires")
	s.api("DELETE", "/tokens/"+made.ID, nil, nil)
	s.until(false, "PixelApiTokenExpires")

	t.Log("Redis stops to keep a log")
	if err := s.client.ConfigSet(t.Context(), "appendonly", "no").Err(); err != nil {
		t.Fatal(err)
	}
	s.until(true, "PixelRedisMayLose")
	if err := s.client.ConfigSet(t.Context(), "appendonly", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	s.until(false, "PixelRedisMayLose")

	t.Log("a site sends what is wrong")
	s.during(func() {
		s.collect("", `{"name":"purchase","properties":{"value":"much"}}`, `{"name":""}`)
		time.Sleep(200 * time.Millisecond)
	}, "PixelInputRefused")
	s.until(false, "PixelInputRefused")

	t.Log("consent fails, and then nothing comes any more")
	for range 60 {
		s.collect("", s.views(1)...)
		time.Sleep(time.Second)
	}
	s.during(func() {
		s.collect(`"us_privacy":"1YYN","gpc":true,"state":"none"`, s.views(1)...)
		time.Sleep(200 * time.Millisecond)
	}, "PixelConsentDrops")
	s.until(false, "PixelConsentDrops") // with time, since nobody comes
	s.during(func() {
		s.collect("", s.views(1)...)
		time.Sleep(100 * time.Millisecond)
		if now, err := s.firing(); err == nil && !now["PixelNoEvents"] {
			time.Sleep(40 * time.Second) // silence
		}
	}, "PixelNoEvents")
	for range 10 {
		s.collect("", s.views(1)...)
		time.Sleep(time.Second)
	}
	s.until(false, "PixelNoEvents")

	t.Log("the archive's folder is none any more, so that no batch can be done")
	archive := filepath.Join(s.data, "archive")
	if err := os.Rename(archive, archive+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(archive, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.during(func() {
		s.collect("", s.views(50)...)
		time.Sleep(100 * time.Millisecond)
	}, "PixelWorkerStuck", "PixelIngestLate", "PixelEventsTurnedAway", "PixelUnhealthy")
	if err := os.Remove(archive); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(archive+".away", archive); err != nil {
		t.Fatal(err)
	}
	s.until(false, "PixelWorkerStuck", "PixelIngestLate", "PixelEventsTurnedAway", "PixelUnhealthy")

	t.Log("Redis is slow")
	s.during(func() {
		_ = s.client.Do(t.Context(), "CLIENT", "PAUSE", 350, "WRITE").Err()
		for end := time.Now().Add(400 * time.Millisecond); time.Now().Before(end); {
			s.collect("", s.views(1)...)
		}
	}, "PixelLatencyBudgetBurn")
	s.until(false, "PixelLatencyBudgetBurn")

	t.Log("conversions lie among the dead letters until their time is nearly over, and until it is")
	s.status.Store(402)
	dead := func(left time.Duration) {
		s.n++
		at := time.Now().Add(left - 24*time.Hour) // The Trade Desk takes what is no older than a day
		s.collect("", fmt.Sprintf(`{"id":"old-%d","name":"purchase","time":%q,"properties":{"order_id":"old-%[1]d","value":2000,"currency":"USD"}}`, s.n, at.UTC().Format(time.RFC3339)))
	}
	dead(2 * time.Hour)
	s.until(true, "PixelMoneyAboutToExpire")
	dead(40 * time.Second)
	s.until(true, "PixelMoneyLost")
	s.status.Store(0)
	s.api("POST", "/dlq/ttd/replay", map[string]any{"all": true}, nil)
	s.until(false, "PixelMoneyAboutToExpire", "PixelMoneyLost")
}
