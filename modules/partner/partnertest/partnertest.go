// Package partnertest checks that an adapter keeps what package partner
// promises, and compares what it sends and understands with golden files.
//
// Each folder under testdata is a case:
//
//	delivery.json  the batch, as a merge patch (RFC 7396) over testdata/base.json;
//	               each of its deliveries is one over the base's only delivery
//	request.json   what Encode makes of it: golden, null where nothing is sent
//	response.json  the partner's answer: status, headers, body; written by hand
//	receipt.json   what Encode refused, what Decode makes of the answer, and what
//	               comes of sending the case to the adapter's own sandbox: golden
//
// -update rewrites the golden files; read them before committing.
package partnertest

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miq/pixel/modules/partner"
)

var update = flag.Bool("update", false, "rewrite golden files")

// Run checks an adapter against the cases in dir.
func Run(t *testing.T, a partner.Adapter, dir string) {
	t.Helper()
	base := readBase(t, dir)
	t.Run("spec", func(t *testing.T) { checkSpec(t, a.Spec()) })
	t.Run("base is valid by the schemas", func(t *testing.T) { checkBase(t, a, base) })

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		cases++
		t.Run(e.Name(), func(t *testing.T) {
			at(t, base.Now, func(t *testing.T) { runCase(t, a, base, filepath.Join(dir, e.Name())) })
		})
	}
	if cases == 0 {
		t.Fatalf("%s holds no cases", dir)
	}

	for name, check := range map[string]func(*testing.T, partner.Adapter, partner.Batch){
		"order is kept and repeats are the same bytes": checkOrder,
		"hostile events":  checkHostile,
		"hostile answers": checkAnswers,
		"consent that allows nothing sends nothing": checkDenied,
		"the batch it is given stays as it was":     checkUntouched,
	} {
		t.Run(name, func(t *testing.T) {
			at(t, base.Now, func(t *testing.T) { check(t, a, base) })
		})
	}
}

// at runs f when the clock shows now, since sandboxes look at it.
func at(t *testing.T, now time.Time, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		f(t)
	})
}
