package ratelimit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/httpserver"
)

// Doors are the limits of what comes in. Nil Doors have none.
type Doors struct {
	pixels    *Limiter[string]
	addresses *Limiter[netip.Addr]
	offences  *Limiter[netip.Addr]
	free      []netip.Prefix
	refused   map[string]prometheus.Counter
}

// Options are what Doors need.
type Options struct {
	Config config.RateLimit
	// Shared are the replicas' buckets; nil: there is only this process.
	Shared Shared
	// Salt hides addresses in the shared store.
	Salt    []byte
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: nothing is counted
}

// NewDoors returns the limits that are set.
func NewDoors(o Options) (*Doors, error) {
	free, err := httpserver.ParseProxies(o.Config.Free)
	if err != nil {
		return nil, fmt.Errorf("collector.rate.free: %w", err)
	}
	d := &Doors{free: free, refused: map[string]prometheus.Counter{}, offences: New(offences, nil, func(netip.Addr) string { return "" }, nil)}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pixel_rate_limited_total", Help: "Requests answered 429, by whose limit they exceeded: that of the pixel, of the address, or of an offender, who sent bodies that no client makes.",
	}, []string{"of"})
	failures := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "pixel_rate_limit_share_failures_total", Help: "Round trips to the buckets that the replicas share that failed; meanwhile each replica holds the limits by itself.",
	})
	for _, of := range []string{"pixel", "address", "offender"} {
		d.refused[of] = refused.WithLabelValues(of)
	}
	var failing atomic.Bool
	failed := func(err error) {
		failures.Inc()
		if !failing.Swap(true) {
			o.Log.Warn("rate limits cannot be shared, so each replica holds them by itself", "error", err)
			time.AfterFunc(time.Minute, func() { failing.Store(false) })
		}
	}
	if o.Config.Pixel > 0 {
		d.pixels = New(limitOf(o.Config.Pixel, o.Config.Burst), o.Shared, func(id string) string { return "rate:p:" + id }, failed)
	}
	if o.Config.Address > 0 {
		d.addresses = New(limitOf(o.Config.Address, o.Config.Burst), o.Shared, func(a netip.Addr) string { return "rate:a:" + hidden(o.Salt, a) }, failed)
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(refused, failures, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pixel_rate_limit_keys", Help: "Pixels and addresses whose rate is known now.",
		}, func() float64 { return float64(d.pixels.keys() + d.addresses.keys() + d.offences.keys()) }))
	}
	return d, nil
}

func (r *Limiter[K]) keys() int {
	if r == nil {
		return 0
	}
	return r.Keys()
}

// hidden is an address that nobody can read back without the key.
func hidden(salt []byte, a netip.Addr) string {
	b := a.As16()
	mac := hmac.New(sha256.New, salt)
	mac.Write(b[:])
	return hex.EncodeToString(mac.Sum(nil)[:12])
}

// Address admits a request of an address, or says when to come again. Of IPv6 the
// network counts, since a visitor has all of it.
func (d *Doors) Address(ip string) (ok bool, wait time.Duration) {
	if d == nil || d.addresses == nil {
		return true, 0
	}
	a, limited := d.key(ip)
	if !limited {
		return true, 0
	}
	if ok, wait = d.addresses.Take(a, 1); !ok {
		d.refused["address"].Inc()
	}
	return ok, wait
}

// key is what an address is known by; false: it has no limit.
func (d *Doors) key(ip string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return a, false
	}
	a = a.Unmap().WithZone("")
	for _, p := range d.free {
		if p.Contains(a) {
			return a, false
		}
	}
	if a.Is6() {
		p, _ := a.Prefix(64)
		a = p.Addr()
	}
	return a, true
}

// offences are how many an address may commit: three, and then one each twenty seconds.
var offences = Limit{Rate: 0.05, Burst: 3}

// Offended notes that an address sent what no client sends by mistake, such as a body that
// unpacks to a thousand times its size.
func (d *Doors) Offended(ip string) {
	if d == nil {
		return
	}
	if a, limited := d.key(ip); limited {
		d.offences.Take(a, 1)
	}
}

// Costly admits a request whose body may be costly to read, or says when to come again: an
// address that offended must wait with those. It is always on, unlike the limits, and known to
// this process alone. What is small is let through whoever sends it, since behind an address
// others may be.
func (d *Doors) Costly(ip string) (ok bool, wait time.Duration) {
	if d == nil {
		return true, 0
	}
	a, limited := d.key(ip)
	if !limited {
		return true, 0
	}
	if ok, wait = d.offences.Has(a, 1); !ok {
		d.refused["offender"].Inc()
	}
	return ok, wait
}

// Pixel admits so many events of a pixel, all or none.
func (d *Doors) Pixel(id string, events int) (ok bool, wait time.Duration) {
	if d == nil || d.pixels == nil {
		return true, 0
	}
	if ok, wait = d.pixels.Take(id, events); !ok {
		d.refused["pixel"].Inc()
	}
	return ok, wait
}

// Start begins to tell the other replicas what is used.
func (d *Doors) Start() { d.pixels.Start(); d.addresses.Start(); d.offences.Start() }

// Stop ends what Start began.
func (d *Doors) Stop() { d.pixels.Stop(); d.addresses.Stop(); d.offences.Stop() }
