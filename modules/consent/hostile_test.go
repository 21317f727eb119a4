package consent

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestACountWithNothingBehindItAllocatesNothing(t *testing.T) {
	core, _, _ := strings.Cut(build(tc{max: 65535, ranges: []span{}}), ".")
	// Up to the vendors' NumEntries, and up to NumPubRestrictions.
	for name, bits := range map[string]int{"range entries": 213 + 17, "restrictions": 213 + 17 + 12 + 17} {
		t.Run(name, func(t *testing.T) {
			var w writer
			for _, c := range core[:bits/6+1] {
				w.put(6, int64(sextets[c]))
			}
			cut := writer{}
			cut.WriteString(w.String()[:bits])
			cut.put(12, 4095)
			s := cut.segment()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 100 {
				_, err := Parse(s)
				require.ErrorIs(t, err, errShort)
			}
			runtime.ReadMemStats(&after)
			assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/100, uint64(4<<10))
		})
	}
}

func TestHostileStringsCostLittle(t *testing.T) {
	type hostile struct {
		ID        string `json:"id"`
		String    string `json:"tc_string"`
		MaxMS     int    `json:"max_ms"`
		MaxAlloc  uint64 `json:"max_alloc_bytes"`
		Disclosed []int  `json:"expected_disclosed_vendors"`
	}
	for _, v := range vectors[hostile](t, "tc_hostile.json") {
		t.Run(v.ID, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			got, err := Parse(v.String)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			assert.Less(t, took, time.Duration(v.MaxMS)*time.Millisecond)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, v.MaxAlloc)
			assert.True(t, got.VendorConsents.Contains(1) && got.VendorConsents.Contains(65535))
			assert.False(t, got.VendorConsents.Contains(0) || got.VendorConsents.Contains(65536))
			assert.Equal(t, v.Disclosed, vendorList(got.Disclosed))
		})
	}
	for name, s := range costly() {
		t.Run(name, func(t *testing.T) {
			require.LessOrEqual(t, len(s), maxString)
			allocs := testing.AllocsPerRun(3, func() { _, _ = Parse(s) })
			assert.Less(t, allocs, 16.0)
		})
	}
}

// costly are strings of 16 KiB that ask for as much work as the form allows.
func costly() map[string]string {
	fill := func(s string) string { return s + strings.Repeat("_", maxString-len(s)) }
	var whole, apart []span
	for i := range 4095 {
		if i < 2900 {
			whole = append(whole, span{1, 65535})
		}
		apart = append(apart, span{uint16(60000 - 10*i), uint16(60000 - 10*i)})
	}
	many := tc{max: 65535}
	for range maxLimits {
		many.restrictions = append(many.restrictions, limit{7, 1, []span{{101, 101}}})
	}
	return map[string]string{
		"ranges over everything":  build(tc{max: 65535, ranges: whole}),
		"unsorted single vendors": build(tc{max: 65535, ranges: apart}),
		"thousands of segments":   build(tc{}) + strings.Repeat(".g", (maxString-200)/2),
		"thousands of limits":     build(many),
		"ones to the end":         fill(build(tc{})[:35]),
		"zeros to the end":        build(tc{}) + strings.Repeat("A", maxString-len(build(tc{}))),
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors[validVector](f, "tc_valid.json") {
		f.Add(v.String)
	}
	for _, v := range append(
		vectors[validVector](f, "tc_malformed.json"),
		vectors[validVector](f, "tc_hostile.json")...) {
		f.Add(v.String)
	}
	own := known()[2]
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		if err != nil {
			if got != nil {
				t.Fatal("an error and a string")
			}
			if len(s) > 40 && strings.Contains(err.Error(), s) {
				t.Fatal("the error quotes the string")
			}
			return
		}
		if len(s) > maxString || s[0] != 'C' {
			t.Fatalf("accepted %d bytes", len(s))
		}
		for p := range 26 {
			// A basis is never there without the purpose's own bit.
			if got.Basis(own, p) && !got.PurposeConsents.Has(p) {
				t.Fatalf("purpose %d is granted without its bit", p)
			}
			if got.Basis(own, p) && !got.VendorConsents.Contains(own.ID) {
				t.Fatalf("purpose %d is granted without the vendor's bit", p)
			}
		}
		for _, id := range []int{-1, 0, 1, 101, 755, 65535, 65536} {
			if got.VendorConsents.Contains(id) && (id < 1 || id > 65535) {
				t.Fatalf("vendor %d", id)
			}
			_ = got.VendorLI.Contains(id)
			_ = got.Disclosed != nil && got.Disclosed.Contains(id)
		}
	})
}

func BenchmarkParseHostile(b *testing.B) {
	for name, s := range costly() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(s)
			}
		})
	}
}
