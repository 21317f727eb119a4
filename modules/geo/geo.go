// Package geo says where an address is and by whose network it comes, from MMDB
// files of MaxMind's or DB-IP's shape, and whether that is a data centre's, from kept
// lists of networks.
//
// A file is read again once it changed, without a restart. A new one that cannot be
// read changes nothing: the old one stays in force, and a log line and a metric say
// so. Files are held in memory and not mapped, since whoever copies a new file over a
// mapped one ends the process; a look-up that runs keeps the file that it began with.
package geo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
)

// every is how often files are looked at.
const every = 10 * time.Second

// Files looks addresses up. The zero value, and nil, know nothing.
type Files struct {
	cities, networks []*file[database]
	lists            []*file[list]
	all              []refresher
	log              *slog.Logger
	reloads          *prometheus.CounterVec

	stop context.CancelFunc
	done chan struct{}
}

// refresher is a file that is looked after.
type refresher interface {
	name() string
	refresh() (changed bool, err error)
}

// file is one file, and what was read of it last.
type file[T any] struct {
	path  string
	state stamp
	open  func(path string) (*T, error)
	read  atomic.Pointer[T]
}

// database is what was read.
type database struct {
	*maxminddb.Reader

	flat bool // DB-IP's shape, as npm packages have it
}

// stamp tells a file from what it was before.
type stamp struct {
	size int64
	time time.Time
}

// Open reads what is configured; that it cannot is an error here. Each setting is a
// path, or several with commas between, such as one for each version of IP. Metrics
// may be nil.
func Open(c config.Geo, log *slog.Logger, metrics prometheus.Registerer) (*Files, error) {
	f := &Files{log: log, reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pixel_geo_reloads_total", Help: "Times a file of places or networks changed and was read again, by what came of it; failed: the old one stays in force.",
	}, []string{"file", "outcome"})}
	var bad []error
	f.cities = opened(f, &bad, "geo.city_db", c.CityDB, open)
	f.networks = opened(f, &bad, "geo.asn_db", c.ASNDB, open)
	f.lists = opened(f, &bad, "geo.datacenters", c.Datacenters, readList)
	if err := errors.Join(bad...); err != nil {
		return nil, err
	}
	if metrics != nil {
		if err := metrics.Register(f.reloads); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// opened reads the files of a setting for the first time.
func opened[T any](f *Files, bad *[]error, key, paths string, open func(string) (*T, error)) (all []*file[T]) {
	for path := range strings.SplitSeq(paths, ",") {
		if path = strings.TrimSpace(path); path == "" {
			continue
		}
		one := &file[T]{path: path, open: open}
		if _, err := one.refresh(); err != nil {
			*bad = append(*bad, fmt.Errorf("%s: %w", key, err))
		}
		all, f.all = append(all, one), append(f.all, one)
		for _, outcome := range [...]string{"ok", "failed"} {
			f.reloads.WithLabelValues(path, outcome)
		}
	}
	return all
}

// Start looks after the files until Stop.
func (f *Files) Start() {
	if f == nil || len(f.all) == 0 || f.stop != nil {
		return
	}
	run, stop := context.WithCancel(context.Background())
	f.stop, f.done = stop, make(chan struct{})
	go func() {
		defer close(f.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-run.Done():
				return
			case <-tick.C:
				f.Refresh()
			}
		}
	}()
}

// Stop ends what Start began.
func (f *Files) Stop() {
	if f != nil && f.stop != nil {
		f.stop()
		<-f.done
		f.stop = nil
	}
}

// Refresh reads again what changed.
func (f *Files) Refresh() {
	for _, one := range f.all {
		changed, err := one.refresh()
		switch {
		case err != nil:
			f.reloads.WithLabelValues(one.name(), "failed").Inc()
			f.log.Error("a file of places or networks cannot be read; the old one stays in force", "file", one.name(), "error", err)
		case changed:
			f.reloads.WithLabelValues(one.name(), "ok").Inc()
			f.log.Info("a file of places or networks was read again", "file", one.name())
		}
	}
}

func (f *file[T]) name() string { return f.path }

// refresh reads the file if it is not the one that was looked at last. One that is
// broken is looked at again only once it changed again.
func (f *file[T]) refresh() (changed bool, err error) {
	info, err := os.Stat(f.path)
	if err != nil {
		if f.state == (stamp{}) && f.read.Load() != nil {
			return false, nil // said before
		}
		f.state = stamp{}
		return false, err
	}
	now := stamp{info.Size(), info.ModTime()}
	if now == f.state {
		return false, nil
	}
	f.state = now
	read, err := f.open(f.path)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.path, err)
	}
	f.read.Store(read)
	return true, nil
}

// open reads an MMDB file and tries it.
func open(path string) (*database, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	reader, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, err
	}
	db := &database{Reader: reader}
	n := 0
	for result := range db.Networks() {
		var v map[string]any
		if err := result.Decode(&v); err != nil {
			return nil, fmt.Errorf("it is damaged: %w", err)
		}
		if _, ok := v["country_code"]; ok {
			db.flat = true
		}
		if n++; n == 100 {
			break
		}
	}
	if n == 0 {
		return nil, errors.New("there is nothing in it")
	}
	return db, nil
}

// city is what a file of cities says, in MaxMind's shape; flat is the other.
type city struct {
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Registered struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"registered_country"`
	Subdivisions []struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"subdivisions"`
	City struct {
		Names struct {
			English string `maxminddb:"en"`
		} `maxminddb:"names"`
	} `maxminddb:"city"`
	Postal struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"postal"`
	Location struct {
		Timezone string `maxminddb:"time_zone"`
	} `maxminddb:"location"`
}

type flat struct {
	Country  string `maxminddb:"country_code"`
	Region   string `maxminddb:"state1"`
	City     string `maxminddb:"city"`
	Postcode string `maxminddb:"postcode"`
	Timezone string `maxminddb:"timezone"`
}

type network struct {
	ASN  uint   `maxminddb:"autonomous_system_number"`
	Name string `maxminddb:"autonomous_system_organization"`
}

// Place is where an address is; the zero value where nobody knows. Region is a code
// in files of MaxMind's shape and a name in flat ones, as that is what they hold.
func (f *Files) Place(a netip.Addr) (p event.Place) {
	if f == nil {
		return p
	}
	for _, one := range f.cities {
		db := one.read.Load()
		if db == nil || a.Is6() && db.Metadata.IPVersion == 4 {
			continue
		}
		r := db.Lookup(a)
		if !r.Found() {
			continue
		}
		if db.flat {
			var y flat
			if r.Decode(&y) == nil && y.Country != "" {
				return event.Place{Country: y.Country, Region: y.Region, City: y.City, PostalCode: y.Postcode, Timezone: y.Timezone}
			}
			continue
		}
		var x city
		if r.Decode(&x) != nil {
			continue
		}
		p.Country, p.City, p.PostalCode, p.Timezone = x.Country.Code, x.City.Names.English, x.Postal.Code, x.Location.Timezone
		if p.Country == "" {
			p.Country = x.Registered.Code
		}
		if len(x.Subdivisions) > 0 {
			p.Region = x.Subdivisions[0].Code
		}
		if p != (event.Place{}) {
			return p
		}
	}
	return p
}

// Network is the number of an address's network, and who runs it.
func (f *Files) Network(a netip.Addr) (asn int, organisation string) {
	if f == nil {
		return 0, ""
	}
	for _, one := range f.networks {
		db := one.read.Load()
		if db == nil || a.Is6() && db.Metadata.IPVersion == 4 {
			continue
		}
		var n network
		if r := db.Lookup(a); r.Found() && r.Decode(&n) == nil && n.ASN != 0 {
			return int(n.ASN), n.Name
		}
	}
	return 0, ""
}
