package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/deadletters"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

var errNoLiveQueue = errors.New("no such queue; GET /queues lists them")

// maxDrain bounds how many messages one request takes out of a queue.
const maxDrain = 10_000

// waitingView is a message that is not done, as far as it may be shown.
type waitingView struct {
	ID         string         `json:"id"`
	State      queue.State    `json:"state"`
	Until      time.Time      `json:"until,omitzero"` // its lease ends, or it is due
	PushedAt   time.Time      `json:"pushed_at"`
	Deliveries int            `json:"deliveries"`
	EventID    string         `json:"event_id,omitempty"`
	Event      string         `json:"event,omitempty"`
	PixelID    string         `json:"pixel_id,omitempty"`
	Body       jsontext.Value `json:"body,omitempty"`
}

// liveQueue finds a queue that is not of dead letters.
func (a *Admin) liveQueue(ctx context.Context, name string) error {
	if queue.IsDead(name) {
		return errNoLiveQueue
	}
	list, err := a.queueViews(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(q queueView) bool { return q.Queue == name }) {
		return errNoLiveQueue
	}
	return nil
}

func (a *Admin) peekQueue(c *echo.Context) error {
	q := a.query(c)
	cursor, limit := q.text("cursor"), q.number("limit", 1, 1000, 50)
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	name := param(c, "queue")
	if err := a.liveQueue(ctx, name); err != nil {
		return err
	}
	list, next, err := a.o.Queues.Peek(ctx, name, cursor, limit)
	if err != nil {
		return err
	}
	out := make([]waitingView, len(list))
	for i, w := range list {
		about := deadletters.About(w.Body)
		v := waitingView{
			ID: w.ID, State: w.State, Until: w.Until, PushedAt: w.PushedAt, Deliveries: w.Deliveries,
			EventID: about.ID, Event: about.Event, PixelID: about.PixelID,
		}
		if v.PixelID == "" {
			v.PixelID = w.Account.Pixel
		}
		// The body as the dead letters' page shows one.
		if body := jsontext.Value(deadletters.Masked(w.Body)); body.IsValid() {
			v.Body = body
		}
		out[i] = v
	}
	return c.JSON(http.StatusOK, items(out, next))
}

// aside is a request to take messages out of a queue.
type aside struct {
	IDs    []string `json:"ids,omitzero"`
	Reason string   `json:"reason"`
	// Delete drops for good what is drained, instead of burying it.
	Delete bool `json:"delete,omitzero"`
	Max    int  `json:"max,omitzero"`
	DryRun bool `json:"dry_run,omitzero"`
}

// taken is what became of it.
type taken struct {
	Moved   int    `json:"moved"`
	More    bool   `json:"more"`
	Message string `json:"message"`
}

func (a *Admin) skipMessages(c *echo.Context) error {
	var in aside
	if err := decode(c, &in); err != nil {
		return err
	}
	var bad settings.Invalid
	if len(in.IDs) == 0 || len(in.IDs) > 1000 {
		bad = append(bad, settings.Problem{Field: "ids", Message: "give 1 to 1,000 message ids"})
	}
	if strings.TrimSpace(in.Reason) == "" {
		bad = append(bad, settings.Problem{Field: "reason", Message: "say why; it is kept with the dead letter"})
	}
	if len(bad) > 0 {
		return bad
	}
	return a.takeOut(c, "queue.skip", in, func(ctx context.Context, name string) (int, error) {
		return a.o.Queues.Skip(ctx, name, "skipped by "+me(c).Name+": "+short(in.Reason, 200), in.IDs...)
	})
}

func (a *Admin) drainQueue(c *echo.Context) error {
	var in aside
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.Max == 0 {
		in.Max = maxDrain
	}
	var bad settings.Invalid
	if in.Max < 1 || in.Max > maxDrain {
		bad = append(bad, settings.Problem{Field: "max", Message: "must be from 1 to " + thousands(maxDrain)})
	}
	if strings.TrimSpace(in.Reason) == "" {
		bad = append(bad, settings.Problem{Field: "reason", Message: "say why; it is kept with the dead letters, or in the audit log"})
	}
	if len(bad) > 0 {
		return bad
	}
	return a.takeOut(c, "queue.drain", in, func(ctx context.Context, name string) (int, error) {
		reason := ""
		if !in.Delete {
			reason = "drained by " + me(c).Name + ": " + short(in.Reason, 200)
		}
		return a.o.Queues.Drain(ctx, name, reason, in.Max)
	})
}

// takeOut does it, or says what it would do, and keeps who did.
func (a *Admin) takeOut(c *echo.Context, action string, in aside, do func(context.Context, string) (int, error)) error {
	ctx := c.Request().Context()
	name := param(c, "queue")
	if err := a.liveQueue(ctx, name); err != nil {
		return err
	}
	list, err := a.queueViews(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(q queueView) bool { return q.Queue == name })
	waiting := list[i].Ready + list[i].Delayed
	if in.DryRun {
		n := min(waiting, in.Max)
		if len(in.IDs) > 0 {
			n = min(waiting, len(in.IDs))
		}
		return c.JSON(http.StatusOK, taken{Message: "Up to " + count(n, "message") + " would be taken out. Nothing was moved."})
	}
	n, err := do(ctx, name)
	t := taken{Moved: n, More: len(in.IDs) == 0 && n >= in.Max, Message: "Moved to the dead letters: " + count(n, "message") + "."}
	if in.Delete {
		t.Message = "Deleted for good: " + count(n, "message") + "."
	}
	if t.More {
		t.Message += " There may be more; repeat to go on."
	}
	if n > 0 {
		err = errors.Join(err, a.audit.note(ctx, me(c), action, name, t.Message+" Reason: "+short(in.Reason, 200)))
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, t)
}
