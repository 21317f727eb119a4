package dispatcher

import (
	"math"
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
	stood    []byte // the record as it stands while the attempt is under way

	// result is what became of it; its Outcome is empty while nothing did.
	result partner.Result
	// exchange is the last request that it was in, nil if it was in none.
	exchange *delivery.Exchange
	alone    bool     // the exchange was about this event and no other
	asked    bool     // the exchange asked what became of an earlier one
	marked   bool     // its record says that it is being sent
	lost     bool     // its last request was another process's, which died in it
	built    string   // the body that would be sent; only in a dry run
	waits    []string // the fields that it is parked for
	cleared  cleared
}

// decide settles a job without a request.
func (j *job) decide(o event.Outcome, code, message string) {
	j.result = partner.Result{EventID: j.delivery.Event.ID, Outcome: o, Code: code, Message: message}
}

// batch is what may share a request.
type batch struct {
	seat   *seat
	jobs   []*job
	pulled time.Time // when the queue began to count the lease, or before
	// discard is set where it was pulled from a partner on hold because too much
	// waits there.
	discard bool
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

// template is what the adapter needs to group a seat's deliveries, and how many
// fit into a request.
type template struct {
	batch partner.Batch
	items int
	err   error
}

func (l *lane) template(s *seat, now time.Time) template {
	account, p, err := s.credentials()
	if err != nil {
		s.pause("the credentials cannot be decrypted: set them again in the console", p.Revision, now)
		return template{err: err}
	}
	t := template{batch: account.Batch(now)}
	if t.items = partner.LimitsIn(l.adapter, t.batch).Items; t.items <= 0 {
		t.items = 500
	}
	return t
}

// sort reads messages and parts them into batches: by the account that sends them,
// by what the adapter keeps apart, by its limit, and so that no event id is twice in
// one, since answers go by it. One that cannot be read is buried alone.
func (l *lane) sort(messages []queue.Message, pulled time.Time) []*batch {
	type place struct {
		seat  *seat
		group string
		n     int
	}
	var batches []*batch
	var back []*job
	templates := map[*seat]template{}
	filling := map[place]*batch{}
	seen := map[*batch]map[string]bool{}
	groups := 0
	for _, m := range messages {
		j := &job{message: m}
		if err := json.Unmarshal(m.Body, &j.delivery); err != nil || j.delivery.Event.ID == "" || j.delivery.Event.PixelID == "" {
			l.bury("the message cannot be decoded", m.ID)
			continue
		}
		s := l.seat(j.delivery.Account)
		t, ok := templates[s]
		if !ok {
			t = l.template(s, pulled)
			templates[s] = t
		}
		if t.err != nil {
			back = append(back, j)
			continue
		}
		group := l.group(t.batch, j.delivery)
		for n := 0; ; n++ {
			b := filling[place{s, group, n}]
			if b == nil {
				if n == 0 {
					groups++
				}
				b = &batch{seat: s, pulled: pulled}
				filling[place{s, group, n}] = b
				seen[b] = map[string]bool{}
				batches = append(batches, b)
			}
			if len(b.jobs) < t.items && !seen[b][j.delivery.Event.ID] {
				b.jobs = append(b.jobs, j)
				seen[b][j.delivery.Event.ID] = true
				break
			}
		}
	}
	if len(back) > 0 {
		l.putOff(&batch{jobs: back, pulled: pulled}, time.Now().Add(probe/4))
	}
	if groups > 0 {
		l.groups = math.Max(1, l.groups*0.8+float64(groups)*0.2)
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
