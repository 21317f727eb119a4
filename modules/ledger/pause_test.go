package ledger

import (
	"testing"
	"time"
)

func TestALookThatIsDearIsTakenLessOften(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: every, 100 * time.Millisecond: every, 3 * time.Second: time.Minute, time.Hour: seldom,
	} {
		if got := pause(took); got != want {
			t.Errorf("after one of %s the next is in %s, want %s", took, got, want)
		}
	}
}
