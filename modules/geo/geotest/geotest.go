// Package geotest writes MMDB files for tests.
package geotest

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Rows are what a file says, by network.
type Rows map[string]mmdbtype.Map

// Write writes a file, in one step as a careful updater does.
func Write(t testing.TB, path string, version int, rows Rows) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", IPVersion: version, RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for network, row := range rows {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, row); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "mmdb")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		t.Fatal(err)
	}
}

// City is a place in MaxMind's shape.
func City(country, region, city, postal, zone string) mmdbtype.Map {
	return mmdbtype.Map{
		"country":      mmdbtype.Map{"iso_code": mmdbtype.String(country)},
		"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(region)}},
		"city":         mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(city), "de": mmdbtype.String("x")}},
		"postal":       mmdbtype.Map{"code": mmdbtype.String(postal)},
		"location":     mmdbtype.Map{"time_zone": mmdbtype.String(zone), "latitude": mmdbtype.Float64(1)},
	}
}

// Flat is one in the shape of DB-IP's files as npm has them.
func Flat(country, region, city string) mmdbtype.Map {
	return mmdbtype.Map{"country_code": mmdbtype.String(country), "state1": mmdbtype.String(region), "city": mmdbtype.String(city), "latitude": mmdbtype.Float32(1)}
}

// Network is a row of a file of networks.
func Network(asn uint32, name string) mmdbtype.Map {
	return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(asn), "autonomous_system_organization": mmdbtype.String(name)}
}
