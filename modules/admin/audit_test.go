package admin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/settings"
)

func TestEveryChangeIsRecorded(t *testing.T) {
	b := open(t)
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_1", "name": "Shop"}, 201)
	ask[any](b, patch, base+"/pixels/px_1", map[string]any{"name": "Store"}, 200)
	ask[any](b, put, base+"/pixels/px_1/routes", `[{"partner":"ttd","event":"purchase","enabled":true,"params":{"adv":"a1","tracker_id":"t1"}}]`, 200)
	ask[any](b, patch, base+"/partners/ttd", map[string]any{"mode": "off", "credentials": map[string]any{"data_api_token": "s3cr3t"}}, 200)
	ask[any](b, remove, base+"/pixels/px_1", nil, 204)
	u := ask[userView](b, post, base+"/users", map[string]any{"login": "ada", "role": "viewer"}, 201)
	ask[any](b, patch, base+"/users/"+u.ID, map[string]any{"role": "marketer"}, 200)
	ask[any](b, remove, base+"/users/"+u.ID, nil, 204)
	v := ask[tokenView](b, post, base+"/tokens", map[string]any{"name": "ci", "role": "viewer"}, 201)
	ask[any](b, remove, base+"/tokens/"+v.ID, nil, 204)
	log := ask[page[entry]](b, get, base+"/audit?limit=1000", nil, 200).Items
	var actions []string
	for i := len(log) - 1; i >= 0; i-- {
		actions = append(actions, log[i].Action)
		if log[i].Actor.Name != "admin.token" || log[i].At.IsZero() || log[i].Target == "" {
			t.Errorf("%+v", log[i])
		}
	}
	want := "pixel.create pixel.update pixel.routes partner.update pixel.delete user.create user.role user.delete token.create token.revoke"
	if got := strings.Join(actions, " "); got != want {
		t.Errorf("recorded %s", got)
	}
	update := log[len(log)-2]
	if len(update.Changes) != 1 || update.Changes[0] != (change{"name", "Shop", "Store"}) {
		t.Errorf("the difference is %+v", update.Changes)
	}
	partner := log[len(log)-4]
	if len(partner.Changes) != 2 || partner.Changes[0] != (change{"mode", "on", "off"}) || partner.Changes[1] != (change{"credentials.data_api_token", "", "set"}) {
		t.Errorf("the partner's difference is %+v", partner.Changes)
	}
	first := ask[page[entry]](b, get, base+"/audit?limit=4", nil, 200)
	rest := ask[page[entry]](b, get, base+"/audit?limit=1000&cursor="+first.Next, nil, 200)
	if len(first.Items) != 4 || len(rest.Items) != len(log)-4 || rest.Items[0].ID != log[4].ID {
		t.Errorf("pages of %d and %d", len(first.Items), len(rest.Items))
	}
}

func TestAChangeThatChangesNothingIsNotRecorded(t *testing.T) {
	b := open(t)
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_1", "name": "Shop"}, 201)
	got := ask[settings.Pixel](b, patch, base+"/pixels/px_1", map[string]any{"name": "Shop"}, 200)
	if got.Revision != 1 {
		t.Errorf("revision %d", got.Revision)
	}
	if log := ask[page[entry]](b, get, base+"/audit", nil, 200).Items; len(log) != 1 {
		t.Errorf("%d lines", len(log))
	}
}

func TestTheAuditLogGoesOnWhereTheStateForgets(t *testing.T) {
	b := open(t)
	b.audit.keep = 20
	for range 2*pruneEvery + 1 {
		must(t, b.audit.note(t.Context(), principal{}, "x", "y", ""))
	}
	must(t, b.audit.note(t.Context(), principal{}, "newest", "y", ""))
	list, err := b.audit.list(t.Context())
	must(t, err)
	// It is pruned now and then, so a few more than it keeps may be there.
	if len(list) != 21 || list[0].Action != "newest" {
		t.Errorf("%d left, the newest %s", len(list), list[0].Action)
	}
	var got []entry
	for cursor := ""; ; {
		p := ask[page[entry]](b, get, base+"/audit?limit=15&cursor="+cursor, nil, 200)
		got = append(got, p.Items...)
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if len(got) != 2*pruneEvery+2 || got[0].Action != "newest" || !slices.IsSortedFunc(got, func(x, y entry) int { return strings.Compare(y.ID, x.ID) }) {
		t.Errorf("%d lines are shown, the newest %s", len(got), got[0].Action)
	}
}

// away is an audit history that does not answer.
type away struct{ analytics.AuditHistory }

func (away) WriteAudit(context.Context, ...analytics.AuditEntry) error {
	return errors.New("the store is away")
}

func (away) Audit(context.Context, string, int) ([]analytics.AuditEntry, error) {
	return nil, errors.New("the store is away")
}

func TestNothingOfTheAuditLogIsForgottenWhileTheHistoryIsAway(t *testing.T) {
	b := open(t, func(o *Options) { o.History = away{} })
	b.audit.keep = 20
	for range 2*pruneEvery + 1 {
		must(t, b.audit.note(t.Context(), principal{}, "x", "y", ""))
	}
	if err := b.audit.prune(t.Context()); err == nil {
		t.Error("it was pruned")
	}
	list, err := b.audit.list(t.Context())
	must(t, err)
	if len(list) != 2*pruneEvery+1 {
		t.Errorf("%d lines are left", len(list))
	}
	// What there is is shown, and not as if it were all.
	p := ask[page[entry]](b, get, base+"/audit?limit=1000", nil, 200)
	if len(p.Items) != len(list) || p.Next != list[len(list)-1].ID {
		t.Errorf("%d lines, next %q", len(p.Items), p.Next)
	}
	ask[any](b, get, base+"/audit?limit=1000&cursor="+p.Next, nil, 500)
}
