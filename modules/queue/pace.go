package queue

import "time"

const (
	// memory is how long a Group remembers how much was pushed.
	memory = 10 * time.Millisecond
	// fewPushers is what it is not worth to wait for. With enoughPushers a commit
	// is so cheap for each that more are better left to the next: where clients wait
	// for their answers, somebody has work to do while it is under way.
	fewPushers, enoughPushers = 3, 32
)

// pace is how much was pushed lately.
type pace struct {
	since time.Time // when this stretch began, which is about as long as memory
	came  int       // pushers in it
	most  int       // the most of them in one commit
	at    time.Time // the last commit

	// Of the stretch before:
	rate   float64 // pushers a second
	before int     // as most
}

// note takes down a commit of n pushers.
func (p *pace) note(n int, now time.Time) {
	if now.Sub(p.at) > memory {
		*p = pace{since: now}
	}
	p.came, p.most, p.at = p.came+n, max(p.most, n), now
	if d := now.Sub(p.since); d >= memory {
		*p = pace{since: now, at: now, rate: float64(p.came) / d.Seconds(), before: p.most}
	}
}

// lately returns the most pushers of a commit, and how many came a second.
func (p *pace) lately(now time.Time) (most int, rate float64) {
	if now.Sub(p.at) > memory {
		return 0, 0
	}
	return max(p.most, p.before), p.rate
}
