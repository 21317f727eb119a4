package erasure

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lease"
)

// What is done to each store, in the order of Runner.run.

// bury keeps late events out.
func (r *Runner) bury(ctx context.Context, jobs []*job) error {
	for _, j := range jobs {
		for _, p := range j.People {
			if err := bury(ctx, r.Keys, p, j.At); err != nil {
				return err
			}
			for v := range p.Visitors {
				c := consent.Change{Visitor: consent.Visitor{PixelID: p.PixelID, ID: v}, Verdict: consent.Revoked(), At: j.At, Source: "erasure", ID: j.ID}
				receipts, err := r.Consent.Decide(ctx, c)
				if err != nil {
					return fmt.Errorf("record the withdrawal: %w", err)
				}
				if err := r.Receipts.WriteReceipts(ctx, receipts...); err != nil {
					return fmt.Errorf("store the withdrawal's receipt: %w", err)
				}
			}
		}
	}
	return nil
}

// of finds the job that an event belongs to.
func of(jobs []*job, e *event.Event) (*job, *Person) {
	for _, j := range jobs {
		for _, p := range j.People {
			if p.Is(e) && !e.ReceivedAt.After(j.At) {
				return j, p
			}
		}
	}
	return nil, nil
}

func (r *Runner) queues(ctx context.Context, jobs []*job) error {
	counts := map[*job]int{}
	seen := map[string]bool{}
	_, err := r.Queues.Take(ctx, func(e *event.Event) bool {
		j, p := of(jobs, e)
		if j == nil {
			return false
		}
		p.Events[e.ID] = struct{}{}
		if key := j.ID + e.PixelID + e.ID; !seen[key] { // it is seen waiting, and then dead
			seen[key] = true
			counts[j]++
		}
		return true
	})
	for j, n := range counts {
		j.count(inQueues, "events", n)
	}
	return err
}

func (r *Runner) forget(ctx context.Context, jobs []*job) error {
	for _, j := range jobs {
		if j.State == Done {
			continue // who came back meanwhile may be known again
		}
		for _, p := range j.People {
			for v := range p.Visitors {
				for what, f := range r.Forget {
					n, err := f.Forget(ctx, p.PixelID, v)
					if err != nil {
						return fmt.Errorf("forget %s: %w", what, err)
					}
					j.count(inState, what, n)
				}
			}
		}
	}
	return nil
}

func (r *Runner) archive(ctx context.Context, jobs []*job) error {
	return lease.New(r.Keys, lease.Archive).Await(ctx, time.Second, func(ctx context.Context) error {
		for _, pixel := range pixels(jobs) {
			counts := map[*job]map[string]bool{}
			_, err := r.Archive.Rewrite(ctx, archive.Filter{PixelID: pixel, Until: newest(jobs)}, func(e *event.Event) bool {
				j, p := of(jobs, e)
				if j == nil {
					return false
				}
				// The analytics store cannot be asked for every name.
				p.Events[e.ID] = struct{}{}
				if counts[j] == nil {
					counts[j] = map[string]bool{}
				}
				counts[j][e.ID] = true
				return true
			})
			for j, ids := range counts {
				j.count(inArchive, "events", len(ids))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// lines deletes what the archive's log says of the events that were found anywhere.
func (r *Runner) lines(ctx context.Context, jobs []*job) error {
	told, err := r.eraseLines(ctx, jobs)
	for j, n := range told {
		j.count(inArchive, "log_events", n)
	}
	return err
}

// eraseLines counts of how many events of each job there were lines.
func (r *Runner) eraseLines(ctx context.Context, jobs []*job) (map[*job]int, error) {
	told := map[*job]int{}
	if r.Log == nil {
		return told, nil
	}
	err := lease.New(r.Keys, lease.Archive).Await(ctx, time.Second, func(ctx context.Context) error {
		for _, pixel := range pixels(jobs) {
			ids := map[string]*job{}
			_, err := r.Log.Erase(ctx, pixel, func(id string) bool {
				for _, j := range jobs {
					for _, p := range j.People {
						if p.PixelID == pixel && has(p.Events, id) {
							ids[id] = j
							return true
						}
					}
				}
				return false
			})
			for _, j := range ids {
				told[j]++
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return told, err
}

func (r *Runner) analytics(ctx context.Context, jobs []*job) error {
	for _, j := range jobs {
		if j.SentTo == nil {
			if err := r.sent(ctx, j); err != nil {
				return fmt.Errorf("count what was sent: %w", err)
			}
		}
		for _, p := range j.People {
			e, err := r.Erase.Erase(ctx, p.erasure(j.At))
			j.count(inAnalytics, "events", e.Events)
			j.count(inAnalytics, "syncs", e.Syncs)
			j.count(inAnalytics, "matches", e.Matches)
			j.count(inAnalytics, "credits", e.Credits)
			j.count(inAnalytics, "identities", e.Identities)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// sent counts what partners accepted, while the sync log still says so, and keeps it.
func (r *Runner) sent(ctx context.Context, j *job) error {
	counts := map[string]int{}
	for _, p := range j.People {
		for v := range p.Visitors {
			f := analytics.EventFilter{PixelID: p.PixelID, VisitorID: v, Until: j.At.Add(time.Microsecond), Limit: analytics.MaxLimit}
			for {
				page, err := r.Finder.Events.Events(ctx, f)
				if err != nil {
					return err
				}
				for i := range page.Events {
					syncs, err := r.Finder.Events.Syncs(ctx, analytics.SyncFilter{PixelID: p.PixelID, EventID: page.Events[i].ID, Outcome: event.Accepted, Limit: analytics.MaxLimit})
					if err != nil {
						return err
					}
					for _, s := range syncs.Syncs {
						counts[s.Partner]++
					}
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					break
				}
			}
		}
	}
	j.SentTo = counts
	return r.save(ctx, j.Request)
}

func (r *Runner) scrub(ctx context.Context, _ []*job) error {
	for _, s := range append([]Scrubber{r.Queues}, r.Scrub...) {
		if err := s.Scrub(ctx); err != nil {
			return err
		}
	}
	return nil
}

// left counts for each job, by store, what is still there.
func (r *Runner) left(ctx context.Context, jobs []*job) ([]map[string]int, error) {
	out := make([]map[string]int, len(jobs))
	at := map[*job]map[string]int{}
	for i, j := range jobs {
		out[i] = map[string]int{inQueues: 0, inState: 0, inArchive: 0, inAnalytics: 0}
		at[j] = out[i]
	}
	_, err := r.Queues.Held(ctx, func(e *event.Event) bool {
		j, _ := of(jobs, e)
		if j != nil {
			at[j][inQueues]++
		}
		return j != nil
	})
	if err != nil {
		return nil, err
	}
	err = lease.New(r.Keys, lease.Archive).Await(ctx, time.Second, func(ctx context.Context) error {
		for _, pixel := range pixels(jobs) {
			// What a worker was just writing is found, and deleted, by this second reading.
			_, err := r.Archive.Rewrite(ctx, archive.Filter{PixelID: pixel, Until: newest(jobs)}, func(e *event.Event) bool {
				j, p := of(jobs, e)
				if j != nil {
					p.Events[e.ID] = struct{}{}
					at[j][inArchive]++
				}
				return j != nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	told, err := r.eraseLines(ctx, jobs)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		at[j][inArchive] += told[j]
		for _, p := range j.People {
			kept, err := r.Erase.Kept(ctx, p.erasure(j.At))
			if err != nil {
				return nil, err
			}
			at[j][inAnalytics] += kept.Total()
			if j.State == Done {
				continue
			}
			for v := range p.Visitors {
				for _, f := range r.Forget {
					n, err := f.Forget(ctx, p.PixelID, v)
					if err != nil {
						return nil, err
					}
					at[j][inState] += n
				}
			}
		}
	}
	return out, nil
}

// certify ends a request, or its later look.
func (r *Runner) certify(ctx context.Context, all []Request, j *job, left map[string]int) error {
	now := r.now().UTC().Truncate(time.Microsecond)
	c := &Certificate{
		Request: j.ID, PixelID: j.PixelID, By: j.By, Asked: j.At, Finished: now, Named: j.Named, Found: j.Found,
		Erased: j.Erased, Interrupted: j.Tries, Left: left, SentTo: j.SentTo,
	}
	again := j.State == Done
	if again {
		c.Of = j.Certificate.Hash
	}
	if err := r.sign(c, last(all)); err != nil {
		return err
	}
	j.Stage, j.Error = "", ""
	if again {
		j.State, j.LookedAgain, j.sealed = Proven, c, nil
	} else {
		j.State, j.Certificate = Done, c
		if err := r.seal(j.Request, j.whom); err != nil {
			return err
		}
	}
	r.log.Info("a person was erased", "erasure", j.ID, "again", again)
	return r.save(ctx, j.Request)
}

func (j *job) count(store, what string, n int) {
	if j.Erased == nil {
		j.Erased = map[string]map[string]int{}
	}
	if j.Erased[store] == nil {
		j.Erased[store] = map[string]int{}
	}
	j.Erased[store][what] += n
}

func pixels(jobs []*job) []string {
	set := map[string]bool{}
	for _, j := range jobs {
		for _, p := range j.People {
			set[p.PixelID] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// newest is after all that the jobs are about.
func newest(jobs []*job) (t time.Time) {
	for _, j := range jobs {
		if at := j.At.Add(time.Microsecond); at.After(t) {
			t = at
		}
	}
	return t
}

func total(counts map[string]int) (n int) {
	for _, v := range counts {
		n += v
	}
	return n
}

// all is everything stored of the person.
func (p *Person) all() analytics.Erasure {
	return analytics.Erasure{PixelID: p.PixelID, Visitors: slices.Sorted(maps.Keys(p.Visitors)), Events: slices.Sorted(maps.Keys(p.Events))}
}

// erasure is what was received up to the request.
func (p *Person) erasure(at time.Time) analytics.Erasure {
	e := p.all()
	e.Until = at.Add(time.Microsecond)
	return e
}
