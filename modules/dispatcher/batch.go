package dispatcher

import (
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
)

// job is a message and what it asks for.
type job struct {
	message  queue.Message
	delivery event.Delivery
	record   record // what is known of earlier attempts

	// result is what became of it; its Outcome is empty while nothing did.
	result partner.Result
	// exchange is the last request that it was in, nil if it was in none.
	exchange *delivery.Exchange
}

// decide settles a job without a request.
func (j *job) decide(o event.Outcome, code, message string) {
	j.result = partner.Result{EventID: j.delivery.Event.ID, Outcome: o, Code: code, Message: message}
}

// key is the event's name among all pixels'.
func (j *job) key() string { return j.delivery.Event.PixelID + ":" + j.delivery.Event.ID }

// batch is what may share a request.
type batch struct {
	jobs   []*job
	pulled time.Time // when the queue began to count the lease, or before
}

func messageIDs(jobs []*job) []string {
	out := make([]string, len(jobs))
	for i, j := range jobs {
		out[i] = j.message.ID
	}
	return out
}

func deliveries(jobs []*job) []event.Delivery {
	out := make([]event.Delivery, len(jobs))
	for i, j := range jobs {
		out[i] = j.delivery
	}
	return out
}

// sort reads messages and parts them into batches: by what the adapter keeps
// apart, by its limit, and so that no event id is twice in one, since answers go
// by it. One that cannot be read is buried alone.
func (l *lane) sort(messages []queue.Message) []*batch {
	account, p, err := l.account()
	if err != nil {
		l.pause("the credentials cannot be decrypted: set them again in the console", p.Revision, time.Now())
		all := make([]*job, len(messages))
		for i, m := range messages {
			all[i] = &job{message: m}
		}
		l.release(&batch{jobs: all})
		return nil
	}
	template := account.Batch(time.Now())
	limit := partner.LimitsIn(l.adapter, template).Items
	if limit <= 0 {
		limit = maxPull
	}
	type place struct {
		group string
		n     int
	}
	var batches []*batch
	filling := map[place]*batch{}
	seen := map[*batch]map[string]bool{}
	for _, m := range messages {
		j := &job{message: m}
		if err := json.Unmarshal(m.Body, &j.delivery); err != nil || j.delivery.Event.ID == "" || j.delivery.Event.PixelID == "" {
			l.bury("the message cannot be decoded", m.ID)
			continue
		}
		group := l.group(template, j.delivery)
		for n := 0; ; n++ {
			b := filling[place{group, n}]
			if b == nil {
				b = &batch{}
				filling[place{group, n}] = b
				seen[b] = map[string]bool{}
				batches = append(batches, b)
			}
			if len(b.jobs) < limit && !seen[b][j.delivery.Event.ID] {
				b.jobs = append(b.jobs, j)
				seen[b][j.delivery.Event.ID] = true
				break
			}
		}
	}
	return batches
}

// group asks the adapter, whose bug must not stop the lane: then each event is
// alone.
func (l *lane) group(template partner.Batch, d event.Delivery) (group string) {
	defer func() {
		if recover() != nil {
			group = "panic/" + d.Event.PixelID + "/" + d.Event.ID
		}
	}()
	return partner.GroupIn(l.adapter, template, d)
}

func (l *lane) bury(reason string, ids ...string) {
	ctx, cancel := l.settling()
	defer cancel()
	if err := l.queue.Bury(ctx, queue.Partner(l.name), reason, ids...); err != nil {
		l.log.Warn("deliveries could not be buried", "events", len(ids), "error", err)
	}
}
