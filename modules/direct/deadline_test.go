package direct

import (
	"errors"
	"testing"
	"time"
)

func TestADeadlineIsSetAnewWhereItWouldRingTooLate(t *testing.T) {
	var rings []time.Time
	d := lazy{set: func(at time.Time) error { rings = append(rings, at); return nil }}
	now := time.Now()
	soon, late := now.Add(time.Hour), now.Add(2*time.Hour)
	for _, at := range []time.Time{{}, late, {}, soon, late, soon.Add(1)} {
		if err := d.until(at); err != nil {
			t.Fatal(err)
		}
	}
	if len(rings) != 2 || rings[0] != late || rings[1] != soon {
		t.Fatalf("set to %v", rings)
	}
	if d.passed() || rings[len(rings)-1] != soon.Add(1) {
		t.Errorf("rung too early, it is set to %v", rings)
	}
	_ = d.until(time.Time{})
	if d.passed() || !rings[len(rings)-1].IsZero() {
		t.Errorf("without an end it is set to %v", rings)
	}
	_ = d.until(now)
	if !d.passed() {
		t.Error("over, and nobody is told")
	}
	broken := lazy{set: func(time.Time) error { return errors.New("closed") }}
	if !broken.passed() {
		t.Error("on a connection that is closed it waits for ever")
	}
}
