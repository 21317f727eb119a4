package main

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestTheHighestRateThatHoldsIsFoundInFewTries(t *testing.T) {
	for _, bears := range []float64{90, 700, 1999, 2001, 2600, 25_000} {
		tries := 0
		got, err := search(2000, func(rate float64) (bool, error) { tries++; return rate <= bears, nil })
		if err != nil || got > bears || got < bears*0.93 {
			t.Errorf("of %.0f it finds %.0f (%v)", bears, got, err)
		}
		if math.Abs(math.Log(bears/2000)) < 0.5 && tries > 6 {
			t.Errorf("%.0f took %d tries", bears, tries)
		}
	}
	if _, err := search(2000, func(float64) (bool, error) { return false, nil }); err == nil {
		t.Error("nothing holds, and it says nothing")
	}
	broken := errors.New("broken")
	if _, err := search(2000, func(float64) (bool, error) { return true, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestWhatOneMoreCostsIsToldFromWhatAProcessCosts(t *testing.T) {
	// Two processes that take a tenth of a core each, and 200 µs an event.
	each, base := apiece(0.2+200*200e-6, 200, 0.2+800*200e-6, 800, 2)
	if math.Abs(each-200) > 1e-6 || math.Abs(base-0.1) > 1e-9 {
		t.Errorf("got %.3f µs and %.4f cores", each, base)
	}
	// One that got cheaper by itself is not said to give something back.
	if each, base = apiece(0.3, 200, 0.2, 800, 1); each != 0 || base != 0.3 {
		t.Errorf("got %.3f µs and %.4f cores", each, base)
	}
}

func TestABacklogThatGrowsIsSeenThroughItsSteps(t *testing.T) {
	var x, steady, grows []float64
	for i := range 20 {
		x = append(x, float64(i))
		steady = append(steady, float64(300+200*(i%5)))
		grows = append(grows, float64(300+200*(i%5)+100*i))
	}
	if g := slope(x, steady); math.Abs(g) > 15 {
		t.Errorf("steady: %.1f", g)
	}
	if g := slope(x, grows); g < 85 || g > 115 {
		t.Errorf("a hundred a second: %.1f", g)
	}
	if !math.IsInf(slope(nil, nil), 1) {
		t.Error("nobody looked, and it says that it holds")
	}
}

func TestWhatGrowsIsNotFlat(t *testing.T) {
	judged := func(change func(i int, r *row)) (string, []error) {
		tab := &table{list: []*process{{name: "worker"}, {name: "redis", path: "redis-server"}}}
		for i := range lines {
			r := row{p50: 5, p99: 50, waits: 1000, memory: []float64{200, 300}}
			if i < 3 {
				r.memory = []float64{50, 100}
			}
			r.memory[1] += 20 * float64(i)
			change(i, &r)
			tab.rows = append(tab.rows, r)
		}
		var out bytes.Buffer
		wrong, _, err := tab.judge(&out, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return out.String(), wrong
	}
	for name, tt := range map[string]struct {
		change func(int, *row)
		want   string
	}{
		"all is flat":             {func(int, *row) {}, ""},
		"a peak":                  {func(i int, r *row) { r.memory[0] += 900 * float64(1-min(1, i%7)) }, ""},
		"memory that leaks":       {func(i int, r *row) { r.memory[0] += 10 * float64(i) }, "worker MiB"},
		"a backlog":               {func(i int, r *row) { r.waits += 500 * float64(i) }, "waiting"},
		"answers that get slower": {func(i int, r *row) { r.p50 += float64(i) / 2 }, "p50 ms"},
		"a tail that gets longer": {func(i int, r *row) { r.p99 += 10 * float64(i) }, "p99 ms"},
		"requests that failed":    {func(i int, r *row) { r.failed = i / 19 }, "1 requests"},
	} {
		t.Run(name, func(t *testing.T) {
			out, wrong := judged(tt.change)
			if err := errors.Join(wrong...); (err == nil) != (tt.want == "") || err != nil && (len(wrong) != 1 || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v; want %q\n%s", err, tt.want, out)
			}
			if !strings.Contains(out, "█") || strings.Contains(out, "NOT FLAT") != (tt.want != "" && !strings.Contains(tt.want, "requests")) {
				t.Errorf("it prints\n%s", out)
			}
		})
	}
	if _, _, err := (&table{rows: make([]row, 5)}).judge(&bytes.Buffer{}, 1); err == nil {
		t.Error("five rows are enough to judge")
	}
}
