package dispatcher

import (
	"math"
	"testing"
	"time"

	"github.com/miq/pixel/modules/partner"
)

// load asks for requests as fast as it may for a while, at a partner that answers 429
// beyond so many a second, and returns how many were taken and refused.
func load(p *pace, from time.Time, d time.Duration, limit int) (taken, refused int) {
	second, n := int64(0), 0
	for now := from; now.Before(from.Add(d)); now = now.Add(5 * time.Millisecond) {
		if p.take(now) > 0 {
			continue
		}
		if s := now.Unix(); s != second {
			second, n = s, 0
		}
		if n++; n > limit {
			refused++
			p.refused(now, 0)
			continue
		}
		taken++
	}
	return taken, refused
}

func TestThePaceFindsWhatThePartnerTakes(t *testing.T) {
	p := newPace(partner.Limits{})
	start := time.Unix(1_800_000_000, 0)
	load(p, start, 30*time.Second, 20) // learns
	taken, refused := load(p, start.Add(30*time.Second), 5*time.Minute, 20)
	t.Logf("in 5 minutes of 20 a second: %d taken, %d refused", taken, refused)
	if taken < 300*20/2 || refused > taken/10 {
		t.Errorf("%d taken of %d, %d refused", taken, 300*20, refused)
	}
	// Ten minutes without a 429, and nothing is held back.
	if r := p.total(start.Add(20 * time.Minute)); !math.IsInf(r, 1) {
		t.Errorf("still %v a second", r)
	}
}

func TestAPartnersWishIsKeptAndStatedRatesToo(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := newPace(partner.Limits{PerSecond: 10, BytesPerSecond: 1000})
	if w := p.take(now); w != 0 {
		t.Fatalf("the first waits %s", w)
	}
	p.refused(now, 7*time.Second)
	if w := p.wait(now.Add(time.Second)); w != 6*time.Second {
		t.Errorf("waits %s, the partner wants 6s more", w)
	}
	now = now.Add(time.Hour)
	n := 0
	for i := range 1000 {
		if p.take(now.Add(time.Duration(i)*10*time.Millisecond)) == 0 {
			n++
		}
	}
	if n < 95 || n > 105 {
		t.Errorf("%d in 10 s at 10 a second", n)
	}
	now = now.Add(time.Hour)
	p.take(now)
	p.sent(now, 5000)
	if w := p.wait(now.Add(100 * time.Millisecond)); w < 3*time.Second || w > 5*time.Second {
		t.Errorf("after 5000 bytes of 1000 a second it waits %s", w)
	}
}

func TestReplicasShareWhatTheyLearn(t *testing.T) {
	w := setup(t)
	now := time.Now()
	a, b := newPace(partner.Limits{}), newPace(partner.Limits{})
	share := func() {
		for _, p := range []*pace{a, b, a} {
			if err := p.share(t.Context(), w.keys, "pace:acme:", 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	share()
	for range 40 {
		a.take(now)
	}
	a.refused(now, 3*time.Second)
	share()
	ra, ua := a.now(now)
	rb, ub := b.now(now)
	if ra != 40 || rb != ra || !ua.Equal(ub) || ub.Sub(now) < 2*time.Second {
		t.Errorf("a: %v until %s, b: %v until %s", ra, ua, rb, ub)
	}
	// Each takes its half.
	later := now.Add(4 * time.Second)
	n := 0
	for i := range 100 {
		if b.take(later.Add(time.Duration(i)*10*time.Millisecond)) == 0 {
			n++
		}
	}
	if n < 15 || n > 35 {
		t.Errorf("b made %d requests in a second, of about 48 for both", n)
	}
}
