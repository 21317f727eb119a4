package dispatcher

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/amazon"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/sandbox"
)

// hasty is an adapter whose partner is given up sooner, so that a test need not wait
// for its real time.
type hasty struct {
	partner.Timed
	timeout time.Duration
}

func (h hasty) Spec() partner.Spec {
	s := h.Timed.Spec()
	s.Limits.Timeout = h.timeout
	return s
}

// front stands before the sandbox, over real TCP and TLS, and can be broken.
type front struct {
	*httptest.Server
	down atomic.Bool // connections are refused as soon as they are made
	foul atomic.Bool // the certificate is another host's
}

// authority signs the certificates of the fronts, and the clients trust it.
var authority = func() func() (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	if ca, err = x509.ParseCertificate(raw); err != nil {
		panic(err)
	}
	return func() (*x509.Certificate, *ecdsa.PrivateKey) { return ca, key }
}()

func certificate(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	ca, signer := authority()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// refusing closes connections while the front is down.
type refusing struct {
	net.Listener
	front *front
}

func (l refusing) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || !l.front.down.Load() {
			return c, err
		}
		c.Close()
	}
}

func newFront(t *testing.T, base string) *front {
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	// What is cut behind it is cut before it, and not answered with a 502.
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.down.Load() {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Connection", "close") // each request meets the front as it is now
		proxy.ServeHTTP(w, r)
	}))
	good, other := certificate(t, "127.0.0.1"), certificate(t, "somebody.example")
	f.Listener = refusing{f.Listener, f}
	f.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := good
		if f.foul.Load() {
			c = other
		}
		return &tls.Config{Certificates: []tls.Certificate{c}}, nil
	}}
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

// row is a line of the table.
type row struct {
	fault, at, other        string
	taken, repeats, dead    int
	opened                  bool
	open, recovery          time.Duration
	othersBefore, othersNow time.Duration
}

// TestTheFaultTable runs each fault for a while over real TCP and TLS against the
// partners' own sandboxes. After each every conversion was taken, once by its dedupe
// key or, where the partner has none, at most once and else dead with the reason; and the
// other partner's events were as fast as without. With PIXEL_TEST_LONG=1 the partner that is
// down is so for ten real minutes, and the others are broken for half a minute.
// What happens to a dispatcher that is killed between the partner's taking and the ack is in
// modules/cli, where there is a process to kill.
func TestTheFaultTable(t *testing.T) {
	if testing.Short() {
		t.Skip("the fault table takes a minute")
	}
	short, long := 2500*time.Millisecond, 2500*time.Millisecond
	if os.Getenv("PIXEL_TEST_LONG") != "" {
		short, long = 30*time.Second, 10*time.Minute
	}
	type fault struct {
		at    string
		name  string
		lasts time.Duration
		set   func(box *sandbox.Server, f *front, begin bool)
	}
	told := func(at, name string, f sandbox.Faults) fault {
		return fault{at, name, short, func(box *sandbox.Server, _ *front, begin bool) {
			if begin {
				box.Set(at, f)
			} else {
				box.Set(at, sandbox.Faults{})
			}
		}}
	}
	down := func(_ *sandbox.Server, f *front, begin bool) { f.down.Store(begin) }
	foul := func(_ *sandbox.Server, f *front, begin bool) { f.foul.Store(begin) }
	var rows []row
	for _, c := range []fault{
		{"amazon", "down", long, down},
		told("amazon", "answers after 30 s", sandbox.Faults{SlowMS: 30_000}),
		told("amazon", "storm of 429", sandbox.Faults{Limit: 1, RetryAfter: 1}),
		told("amazon", "20% are 500", sandbox.Faults{Fail: 0.2}),
		{"amazon", "wrong TLS", short, foul},
		told("amazon", "half of the JSON", sandbox.Faults{Truncate: 0.5}),
		told("amazon", "taken, then cut", sandbox.Faults{DropAfter: 0.5}),
		{"amazon", "token revoked", time.Second, func(box *sandbox.Server, _ *front, begin bool) {
			if begin {
				box.Revoke("amazon")
			}
		}},
		{"ttd", "down", short, down},
		told("ttd", "answers after 30 s", sandbox.Faults{SlowMS: 30_000}),
		told("ttd", "20% are 500", sandbox.Faults{Fail: 0.2}),
		told("ttd", "half of the JSON", sandbox.Faults{Truncate: 0.5}),
		told("ttd", "taken, then cut", sandbox.Faults{DropAfter: 0.3}),
	} {
		t.Run(c.at+" "+c.name, func(t *testing.T) {
			rows = append(rows, faulty(t, c.at, c.name, c.lasts, c.set))
		})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-7s %-19s %6s %8s %5s %14s %10s  %s\n", "at", "fault", "taken", "repeats", "dead", "breaker opened", "recovery", "other's p99: before, with, ratio")
	for _, r := range rows {
		opened := "-"
		if r.opened {
			opened = "after " + r.open.Round(10*time.Millisecond).String()
		}
		fmt.Fprintf(&b, "%-7s %-19s %6d %8d %5d %14s %10s  %s %s %s %.2f\n", r.at, r.fault, r.taken, r.repeats, r.dead, opened,
			r.recovery.Round(10*time.Millisecond), r.other, r.othersBefore.Round(time.Millisecond), r.othersNow.Round(time.Millisecond),
			float64(r.othersNow)/float64(max(r.othersBefore, 1)))
	}
	t.Log(b.String())
}

func faulty(t *testing.T, at, name string, lasts time.Duration, set func(*sandbox.Server, *front, bool)) row {
	adapters := []partner.Adapter{ttd.New(), hasty{amazon.New(), 400 * time.Millisecond}}
	other := "ttd"
	if at == "ttd" {
		other, adapters = "amazon", []partner.Adapter{hasty{ttd.New(), 400 * time.Millisecond}, amazon.New()}
	}
	box := sandbox.New(adapters)
	box.Remember(1 << 20)
	w := setup(t)
	base := w.serve(box)
	f := newFront(t, base)
	w.deps.Adapters, w.deps.Settings = adapters, connected{w.site}
	w.deps.Partners = map[string]config.Partner{}
	for name, a := range sandbox.Endpoints(base, adapters) {
		w.deps.Partners[name] = config.Partner{Endpoint: a.Endpoint, TokenURL: a.TokenURL}
	}
	broken := sandbox.Endpoints(f.URL, adapters)[at]
	w.deps.Partners[at] = config.Partner{Endpoint: broken.Endpoint, TokenURL: broken.TokenURL}
	pool := x509.NewCertPool()
	ca, _ := authority()
	pool.AddCert(ca)
	w.deps.Client = func(connections int) *http.Client {
		c := delivery.NewClient(connections)
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
		return c
	}
	w.deps.Config.Concurrency = 4
	w.deps.Config.Retry = config.Retry{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond, Attempts: 10_000}
	w.deps.Config.Breaker = config.Breaker{Failures: 5, Window: 10, Delay: 300 * time.Millisecond}
	w.start()

	n, pushed := 0, map[string]time.Time{}
	feed := func(d time.Duration) (first, last int) {
		first = n
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(d); time.Now().Before(end); n++ {
			id := fmt.Sprint(n)
			pushed[id] = time.Now()
			w.push(conversion(t, "ttd", id), conversion(t, "amazon", id))
			<-tick.C
		}
		return first, n
	}
	p99 := func(first, last int) time.Duration {
		var waits []time.Duration
		for _, e := range box.Received(other) {
			ids := e.EventIDs
			if other == "ttd" {
				ids = e.OrderIDs // it has no ids of events
			}
			for _, id := range ids {
				id = strings.TrimPrefix(id, "o-")
				var k int
				if fmt.Sscan(id, &k); k >= first && k < last && e.Status < 300 {
					waits = append(waits, e.At.Sub(pushed[id]))
				}
			}
		}
		if len(waits) == 0 {
			return 0
		}
		slices.Sort(waits)
		return waits[len(waits)*99/100]
	}

	r := row{fault: name, at: at, other: other}
	a0, a1 := feed(time.Second)
	w.drained(other)
	r.othersBefore = p99(a0, a1)
	set(box, f, true)
	begun := time.Now()
	watch := make(chan struct{})
	var openedAt atomic.Int64
	go func() {
		defer close(watch)
		for time.Since(begun) < lasts+time.Minute {
			if m, _ := lanestatus.Merge(w.x.Status(), at); m.Breaker == lanestatus.Open {
				openedAt.Store(int64(time.Since(begun)))
				return
			}
			select {
			case <-t.Context().Done():
				return
			case <-time.After(5 * time.Millisecond):
			}
			if n := w.stats()["s2s:"+at]; time.Since(begun) > lasts && n.Ready+n.InFlight+n.Delayed == 0 {
				return
			}
		}
	}()
	b0, b1 := feed(min(lasts, 30*time.Second))
	if rest := lasts - time.Since(begun); rest > 0 {
		<-time.After(rest)
	}
	w.drained(other)
	r.othersNow = p99(b0, b1)
	set(box, f, false)
	ended := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			s := w.syncs.story("0")
			t.Log(s[:min(len(s), 300)], w.syncs.of("0"))
		}
	})
	w.until(at+" has everything", func() bool {
		s := w.stats()["s2s:"+at]
		return s.Ready+s.InFlight+s.Delayed == 0
	})
	r.recovery = time.Since(ended)
	<-watch
	if at := openedAt.Load(); at > 0 {
		r.opened, r.open = true, time.Duration(at)
	}
	for _, e := range box.Received(at) {
		r.repeats += len(e.Duplicates)
	}
	dead, _, err := w.queue.Dead(t.Context(), "dlq:"+at, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	r.dead = len(dead)
	for _, l := range dead {
		if !strings.HasPrefix(l.Reason, codeUnknown+": ") || at != "ttd" {
			t.Errorf("dead at %s: %s", at, l.Reason)
		}
	}
	got, others, unknown := taken(box, at), taken(box, other), 0
	for i := range n {
		id := fmt.Sprint(i)
		lost := slices.ContainsFunc(w.syncs.of(id), func(s event.Sync) bool { return s.Partner == at && s.Code == codeUnknown })
		switch {
		case got[id] == 1 && !lost:
			r.taken++
		case lost && got[id] <= 1:
			unknown++
			r.taken += got[id]
		default:
			t.Errorf("%s took %s %d times: %s", at, id, got[id], w.syncs.story(id))
		}
		if others[id] != 1 {
			t.Errorf("%s took %s %d times", other, id, others[id])
		}
	}
	if unknown != r.dead {
		t.Errorf("%d of unknown outcome, %d dead", unknown, r.dead)
	}
	// Not a figure to be proud of, but one that says that nothing waited for the
	// other partner, on the slowest machine.
	if limit := max(5*r.othersBefore, time.Second); r.othersNow > limit {
		t.Errorf("the other's p99 is %s with the fault, %s without", r.othersNow, r.othersBefore)
	}
	for _, s := range w.x.Status() {
		if s.Breaker != lanestatus.Closed {
			t.Errorf("%s: the breaker is still %s", s.Partner, s.Breaker)
		}
	}
	return r
}
