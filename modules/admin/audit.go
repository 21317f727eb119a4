package admin

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/state"
)

// auditKept is how many changes the shared state holds; the oldest go first, once the
// history has them. Writing one reads nothing, so that the log costs changes little.
const (
	auditKept  = 5000
	pruneEvery = 100
)

// entry is one line of the audit log.
type entry struct {
	ID     string    `json:"id"` // UUIDv7: in the order of time
	At     time.Time `json:"at"`
	Actor  actor     `json:"actor"`
	Action string    `json:"action"` // "pixel.update"
	Target string    `json:"target"` // what was changed, by its id
	// Changes are the fields that differ; secrets show only that they changed.
	Changes []change `json:"changes,omitempty"`
	Note    string   `json:"note,omitempty"`
}

type actor struct {
	Kind string `json:"kind"` // user, token, system
	ID   string `json:"id"`
	Name string `json:"name"`
}

type change struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// audit records who changed what.
type audit struct {
	log     *collection[entry]
	history *auditHistory
	now     func() time.Time
	slog    *slog.Logger
	written *atomic.Int64
	keep    int
}

func newAudit(docs state.Documents, history analytics.AuditHistory, now func() time.Time, log *slog.Logger) audit {
	return audit{newCollection[entry](docs, "audit"), &auditHistory{store: history, version: -1}, now, log, new(atomic.Int64), auditKept}
}

// record writes a line and returns its id. The change is made by then, so a failure is reported
// as what it is: made, but not recorded.
func (a audit) record(ctx context.Context, who principal, action, target, note string, changes ...change) (id string, err error) {
	made, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	e := entry{
		ID: made.String(), At: a.now().UTC().Truncate(time.Millisecond),
		Actor:  actor{who.Kind, who.ID, who.Name},
		Action: action, Target: target, Note: note, Changes: changes,
	}
	// Whoever made the change may have gone by now; it is recorded all the same.
	ctx = context.WithoutCancel(ctx)
	if err := a.log.put(ctx, e.ID, 0, e); err != nil {
		return "", fmt.Errorf("the change was made but could not be recorded in the audit log: %w", err)
	}
	if a.written.Add(1)%pruneEvery == 1 {
		if err := a.prune(ctx); err != nil {
			a.slog.Warn("audit log could not be pruned", "error", err)
		}
	}
	return e.ID, nil
}

// note is record for who needs no id.
func (a audit) note(ctx context.Context, who principal, action, target, text string, changes ...change) error {
	_, err := a.record(ctx, who, action, target, text, changes...)
	return err
}

// prune removes the oldest that the history has.
func (a audit) prune(ctx context.Context) error {
	list, err := a.list(ctx)
	if err != nil || len(list) <= a.keep {
		return err
	}
	if err := a.file(ctx); err != nil {
		return err
	}
	for _, e := range list[a.keep:] {
		if err := a.log.remove(ctx, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// list returns what the shared state has of the log, newest first.
func (a audit) list(ctx context.Context) ([]entry, error) {
	all, err := a.log.all(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(all))
	for _, s := range all {
		out = append(out, s.value)
	}
	slices.SortFunc(out, func(x, y entry) int { return strings.Compare(y.ID, x.ID) })
	return out, nil
}

// unrecorded are fields whose changes say nothing.
var unrecorded = []string{"revision", "updated_at", "created_at"}

// differences compares two values field by field, as their JSON shows them.
func differences(before, after any) []change {
	b, a := map[string]string{}, map[string]string{}
	flatten("", before, b)
	flatten("", after, a)
	var out []change
	for field, was := range b {
		if is := a[field]; is != was {
			out = append(out, change{field, was, is})
		}
	}
	for field, is := range a {
		if _, there := b[field]; !there {
			out = append(out, change{field, "", is})
		}
	}
	out = slices.DeleteFunc(out, func(c change) bool {
		return slices.Contains(unrecorded, c.Field) || c.Before == c.After
	})
	slices.SortFunc(out, func(x, y change) int { return strings.Compare(x.Field, y.Field) })
	return out
}

func flatten(prefix string, v any, into map[string]string) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		into[prefix] = "?"
		return
	}
	walk(prefix, jsontext.NewDecoder(bytes.NewReader(body)), into)
}

func walk(at string, d *jsontext.Decoder, into map[string]string) {
	join := func(name string) string {
		if at == "" {
			return name
		}
		return at + "." + name
	}
	switch d.PeekKind() {
	case '{':
		d.ReadToken()
		for d.PeekKind() == '"' {
			name, _ := d.ReadToken()
			walk(join(name.String()), d, into)
		}
		d.ReadToken()
	case '[':
		d.ReadToken()
		i := 0
		for d.PeekKind() != ']' && d.PeekKind() > 0 {
			walk(at+"["+strconv.Itoa(i)+"]", d, into)
			i++
		}
		d.ReadToken()
	default:
		t, err := d.ReadToken()
		if err != nil || t.Kind() == 'n' {
			return
		}
		into[at] = short(t.String(), 200)
	}
}

func short(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
