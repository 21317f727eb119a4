package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

var (
	errPixelTaken = errors.New("there is a pixel of that id already")
	errNoRoute    = errors.New("this pixel has no such route")
)

// Whatever the console and the API change goes through here, so that both check
// the same and every change is recorded.

func (a *Admin) pixel(ctx context.Context, id string) (settings.Pixel, error) {
	p, ok := a.seen(ctx, id)
	if !ok {
		return p, settings.ErrNotFound
	}
	p.Domains, p.Routes = slices.Clone(p.Domains), slices.Clone(p.Routes)
	return p, nil
}

// addPixel makes a pixel, with an id if it has none.
func (a *Admin) addPixel(ctx context.Context, who principal, p settings.Pixel) (settings.Pixel, error) {
	if p.ID == "" {
		p.ID = "px_" + strings.ToLower(rand.Text()[:10])
	}
	if p.ConsentMode == "" {
		p.ConsentMode = settings.CMP
	}
	p.Revision = 0
	p.Fields.Hold = p.Fields.Hold || a.o.Config.HoldNewFields
	normalize(&p)
	if err := errors.Join(a.checkPixel(p), advertised(who, p)); err != nil {
		return p, err
	}
	saved, err := a.o.Settings.SavePixel(ctx, p)
	if errors.Is(err, state.ErrConflict) {
		err = errPixelTaken
	}
	if err != nil {
		return p, err
	}
	return saved, a.audit.note(ctx, who, "pixel.create", p.ID, "", differences(nil, saved)...)
}

// changePixel writes a pixel over the revision it was read at.
func (a *Admin) changePixel(ctx context.Context, who principal, action string, p settings.Pixel) (settings.Pixel, error) {
	before, err := a.pixel(ctx, p.ID)
	if err != nil {
		return p, err
	}
	normalize(&p)
	if err := errors.Join(a.checkPixel(p), advertised(who, p)); err != nil {
		return p, err
	}
	p.CreatedAt = before.CreatedAt
	wanted := p
	held := a.secondPerson(before) && !reflect.DeepEqual(rulesOf(before), rulesOf(p))
	if held {
		rulesOf(before).put(&p)
	}
	changes := differences(before, p)
	if len(changes) == 0 && p.Revision == before.Revision {
		if held {
			return before, a.propose(ctx, who, before, wanted)
		}
		return before, nil
	}
	saved, err := a.o.Settings.SavePixel(ctx, p)
	if err != nil {
		return p, err
	}
	entry, err := a.audit.record(ctx, who, action, p.ID, "", changes...)
	if err != nil {
		return saved, err
	}
	if err := a.remember(ctx, entry, former{Pixel: &before, Revision: saved.Revision}); err != nil {
		return saved, err
	}
	if held {
		return saved, a.propose(ctx, who, before, wanted)
	}
	return saved, nil
}

func (a *Admin) removePixel(ctx context.Context, who principal, id string) error {
	before, err := a.pixel(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case a.secondPerson(before):
		return a.proposeDeletion(ctx, who, before)
	case (before.Fields.Hold || len(before.Fields.Refused) > 0) && !who.Role.Allows(Administrator):
		// Made again under its id, it would let everything go.
		return httpserver.NewProblem(http.StatusForbidden, "fields_held", "an admin decides which fields partners are told of this pixel, so an admin must delete it")
	}
	return a.deletePixelNow(ctx, who, before, "")
}

func (a *Admin) deletePixelNow(ctx context.Context, who principal, before settings.Pixel, note string) error {
	if err := a.o.Settings.RemovePixel(ctx, before.ID); err != nil {
		return err
	}
	entry, err := a.audit.record(ctx, who, "pixel.delete", before.ID, note, differences(before, nil)...)
	if err != nil {
		return err
	}
	return a.remember(ctx, entry, former{Pixel: &before})
}

// normalize forgives what people paste: addresses where host names belong,
// capitals, spaces, repeats.
func normalize(p *settings.Pixel) {
	p.Name, p.Advertiser = strings.TrimSpace(p.Name), strings.TrimSpace(p.Advertiser)
	domains := make([]string, 0, len(p.Domains))
	for _, d := range p.Domains {
		d = strings.ToLower(strings.TrimSpace(d))
		d = strings.TrimPrefix(strings.TrimPrefix(d, "https://"), "http://")
		d, _, _ = strings.Cut(d, "/")
		d = strings.TrimPrefix(d, "*.")
		if d != "" && !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	p.Domains = domains
	if p.Routes == nil {
		p.Routes = []settings.Route{}
	}
	for i, r := range p.Routes {
		switch {
		case r.Mode == settings.On, r.Mode == settings.Off && !r.Enabled:
			p.Routes[i].Set(r.Mode)
		case r.Mode == settings.Off:
			p.Routes[i].Mode = settings.Hold // contradicts enabled, as Validate says
		}
	}
}

// checkPixel is what Validate checks, and the routes by their partners' schemas.
func (a *Admin) checkPixel(p settings.Pixel) error {
	var v settings.Invalid
	if err := p.Validate(); err != nil && !errors.As(err, &v) {
		return err
	}
	for i, r := range p.Routes {
		at := fmt.Sprintf("routes[%d]", i)
		if r.Partner == "" {
			continue // Validate said so
		}
		form, ok := a.forms.params[r.Partner]
		if !ok {
			v = append(v, settings.Problem{Field: at + ".partner", Message: "is not a partner"})
			continue
		}
		v = append(v, form.check(r.Params, at+".params")...)
		for _, bad := range a.expressions.Check(r) {
			v = append(v, settings.Problem{Field: at + "." + bad.Field, Message: bad.Message})
		}
		if _, ok := a.o.Settings.Partner(r.Partner).Accounts[r.Account]; r.Account != "" && !ok {
			v = append(v, settings.Problem{Field: at + ".account", Message: "is not an account of " + a.partners.title(r.Partner)})
		}
	}
	if len(v) > 0 {
		return v
	}
	return nil
}

// partnerChange is what can be changed of a partner.
type partnerChange struct {
	Mode     *settings.Mode `json:"mode"`
	Enabled  *bool          `json:"enabled"`
	Settings jsontext.Value `json:"settings"`
	// Credentials are merged by name; null forgets one.
	Credentials map[string]*string `json:"credentials"`
	// Accounts are further sets of credentials by name; null removes one.
	Accounts map[string]map[string]*string `json:"accounts"`
	// Dry has requests made and shown, and not sent.
	Dry      *bool  `json:"dry"`
	Revision *int64 `json:"revision"`
}

func (a *Admin) changePartner(ctx context.Context, who principal, name string, in partnerChange) error {
	spec, ok := a.partners.specs[name]
	if !ok {
		return errNoPartner
	}
	before := a.o.Settings.Partner(name)
	was, p := before, before
	if in.Revision != nil {
		p.Revision = *in.Revision
	}
	var v settings.Invalid
	if in.Enabled != nil {
		p.Mode = settings.Off
		if *in.Enabled {
			p.Mode = settings.On
		}
	}
	if in.Mode != nil {
		if in.Enabled != nil && *in.Enabled != (*in.Mode == settings.On) {
			v = append(v, settings.Problem{Field: "enabled", Message: "contradicts mode"})
		}
		p.Mode = *in.Mode
	}
	if in.Settings.Kind() == 'n' {
		in.Settings, before.Settings = jsontext.Value("{}"), nil
	}
	if in.Settings != nil {
		merged, err := mergePatch(before.Settings, in.Settings)
		if err != nil {
			return err
		}
		v = append(v, a.forms.settings[name].check(merged, "settings")...)
		p.Settings = merged
	}
	if in.Dry != nil {
		p.Dry = *in.Dry
	}
	var notes []change
	sets := map[string]map[string]*string{}
	for name, set := range in.Accounts {
		switch {
		case name == "":
			v = append(v, settings.Problem{Field: "accounts", Message: "need names; the partner's own credentials are in credentials"})
		case set == nil:
			if user := a.routedBy(before.Name, name); user != "" {
				v = append(v, settings.Problem{Field: "accounts." + name, Message: "is used by a route of the pixel " + user})
				continue
			}
			_ = a.o.Settings.SealCredentials(&p, name, nil)
			notes = append(notes, change{"accounts." + name, "set", "removed"})
		default:
			sets[name] = set
		}
	}
	if len(in.Credentials) > 0 {
		sets[""] = in.Credentials
	}
	for account, posted := range sets {
		prefix := "credentials."
		if account != "" {
			prefix = "accounts." + account + "."
		}
		set, err := a.o.Settings.Credentials(before, account)
		if err != nil {
			// Sealed with another key: what is there is lost, what comes is not.
			set = map[string]string{}
		}
		for key, value := range posted {
			known := slices.ContainsFunc(spec.Credentials, func(c partner.Credential) bool { return c.Name == key })
			switch {
			case !known:
				v = append(v, settings.Problem{Field: prefix + key, Message: "is not known to this partner"})
			case value == nil:
				delete(set, key)
				notes = append(notes, change{prefix + key, "set", "forgotten"})
			default:
				set[key] = strings.TrimSpace(*value)
				notes = append(notes, change{prefix + key, "", "set"})
			}
		}
		if len(v) == 0 {
			if err := a.o.Settings.SealCredentials(&p, account, set); err != nil {
				return err
			}
		}
	}
	if len(v) > 0 {
		return v
	}
	changes := differences(partnerRecord(was), partnerRecord(p))
	if len(changes)+len(notes) == 0 {
		return nil
	}
	saved, err := a.o.Settings.SavePartner(ctx, p)
	if err != nil {
		return err
	}
	entry, err := a.audit.record(ctx, who, "partner.update", name, "", append(changes, notes...)...)
	if err != nil || len(changes) == 0 {
		return err // credentials are not brought back
	}
	return a.remember(ctx, entry, former{Partner: &partnerFormer{was.Mode, was.Settings, was.Dry}, Revision: saved.Revision})
}

// partnerRecord is a partner without its secrets.
func partnerRecord(p settings.Partner) any {
	p.Sealed, p.Accounts = nil, nil
	return p
}

// routedBy is a pixel that has a route by an account of a partner, "" if none has.
func (a *Admin) routedBy(partner, account string) string {
	for _, p := range a.o.Settings.Pixels() {
		for _, r := range p.Routes {
			if r.Partner == partner && r.Account == account {
				return p.ID
			}
		}
	}
	return ""
}

// mergePatch applies a JSON merge patch (RFC 7396).
func mergePatch(target, patch jsontext.Value) (jsontext.Value, error) {
	if patch.Kind() != '{' {
		return patch, nil
	}
	into := map[string]jsontext.Value{}
	if target.Kind() == '{' {
		if err := json.Unmarshal(target, &into); err != nil {
			return nil, err
		}
	}
	err := members(patch, func(name string, v jsontext.Value) error {
		if v.Kind() == 'n' {
			delete(into, name)
			return nil
		}
		merged, err := mergePatch(into[name], v)
		into[name] = merged
		return err
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(into, json.Deterministic(true))
}

// nulled makes of an object of settings the patch that leaves exactly it.
func nulled(before, after jsontext.Value) (jsontext.Value, error) {
	patch := map[string]jsontext.Value{}
	if err := members(before, func(name string, _ jsontext.Value) error {
		patch[name] = jsontext.Value("null")
		return nil
	}); err != nil {
		return nil, err
	}
	if err := members(after, func(name string, v jsontext.Value) error {
		patch[name] = v
		return nil
	}); err != nil {
		return nil, err
	}
	return json.Marshal(patch, json.Deterministic(true))
}
