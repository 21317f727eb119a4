package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// collection is where jobs are kept, and keep how many that ended.
const (
	collection = "backfills"
	keep       = 100
)

// ErrNotFound says that there is no such job.
var ErrNotFound = errors.New("no such backfill")

// Jobs are the book of jobs: what the console and the command line see.
type Jobs struct {
	docs  state.Documents
	known func(partner string) bool
	when  *routes.Expressions
	now   func() time.Time
}

// NewJobs returns the book; known tells which partners there are, and when reads
// conditions.
func NewJobs(docs state.Documents, known func(string) bool, when *routes.Expressions, now func() time.Time) *Jobs {
	return &Jobs{docs: docs, known: known, when: when, now: now}
}

// Create enters a job. It covers what was received until now at the latest: the rest
// comes by itself.
func (j *Jobs) Create(ctx context.Context, spec Spec, by string) (Job, error) {
	if err := spec.Check(j.known, j.when.CheckCondition); err != nil {
		return Job{}, err
	}
	now := j.now().UTC().Truncate(time.Millisecond)
	if spec.Until.IsZero() || spec.Until.After(now) {
		spec.Until = now
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Job{}, err
	}
	job := Job{ID: id.String(), Spec: spec, State: Waiting, By: by, CreatedAt: now}
	if err := j.put(ctx, &job); err != nil {
		return job, err
	}
	return job, j.prune(ctx)
}

func (j *Jobs) put(ctx context.Context, job *Job) error {
	body, err := json.Marshal(job, json.Deterministic(true))
	if err != nil {
		return err
	}
	rev, err := j.docs.Put(ctx, collection, state.Document{ID: job.ID, Body: body, Revision: job.revision})
	if err == nil {
		job.revision = rev
	}
	return err
}

// prune forgets the oldest jobs that ended.
func (j *Jobs) prune(ctx context.Context) error {
	list, err := j.List(ctx)
	if err != nil {
		return err
	}
	n := 0
	for _, job := range list {
		if !job.State.Ended() {
			continue
		}
		if n++; n > keep {
			if err := j.docs.Remove(ctx, collection, job.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// List returns all jobs, newest first.
func (j *Jobs) List(ctx context.Context) ([]Job, error) {
	docs, _, err := j.docs.List(ctx, collection)
	if err != nil {
		return nil, err
	}
	list := make([]Job, 0, len(docs))
	for _, d := range docs {
		var job Job
		if err := json.Unmarshal(d.Body, &job); err != nil {
			return nil, fmt.Errorf("backfill %s: %w", d.ID, err)
		}
		job.revision = d.Revision
		list = append(list, job)
	}
	slices.SortFunc(list, func(a, b Job) int { return strings.Compare(b.ID, a.ID) })
	return list, nil
}

// Get finds one job.
func (j *Jobs) Get(ctx context.Context, id string) (Job, error) {
	list, err := j.List(ctx)
	if err != nil {
		return Job{}, err
	}
	for _, job := range list {
		if job.ID == id {
			return job, nil
		}
	}
	return Job{}, ErrNotFound
}

// Cancel ends a job, which has then done a part.
func (j *Jobs) Cancel(ctx context.Context, id string) (Job, error) {
	return j.change(ctx, id, func(job *Job) error {
		if job.State.Ended() {
			return settings.Invalid{{Field: "state", Message: "the backfill has ended already: it is " + string(job.State)}}
		}
		job.State, job.EndedAt = Cancelled, j.now().UTC()
		return nil
	})
}

// Resume has a job that failed or was cancelled go on where it ended.
func (j *Jobs) Resume(ctx context.Context, id string) (Job, error) {
	return j.change(ctx, id, func(job *Job) error {
		if job.State != Failed && job.State != Cancelled {
			return settings.Invalid{{Field: "state", Message: "only a backfill that failed or was cancelled can be resumed; this one is " + string(job.State)}}
		}
		job.State, job.Error, job.EndedAt = Waiting, "", time.Time{}
		return nil
	})
}

// change reads, changes and writes a job, again if another was faster.
func (j *Jobs) change(ctx context.Context, id string, do func(*Job) error) (Job, error) {
	for {
		job, err := j.Get(ctx, id)
		if err != nil {
			return job, err
		}
		if err := do(&job); err != nil {
			return job, err
		}
		if err := j.put(ctx, &job); !errors.Is(err, state.ErrConflict) {
			return job, err
		}
	}
}
