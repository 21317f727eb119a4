package admin

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
)

// readRules reads a route's condition, sample, mapping and dedupe key from its form.
func readRules(posted url.Values, r *settings.Route) error {
	var bad settings.Invalid
	r.When, r.Dedupe = strings.TrimSpace(posted.Get("when")), posted.Get("dedupe")
	if v := strings.TrimSuffix(strings.TrimSpace(posted.Get("sample")), "%"); v != "" {
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			bad = append(bad, settings.Problem{Field: "sample", Message: "must be a number of percent, such as 10"})
		}
		if r.Sample = n; n == 100 {
			r.Sample = 0
		}
	}
lines:
	for i, line := range strings.Split(posted.Get("map"), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, expression, ok := strings.Cut(line, "=")
		name, expression = strings.TrimSpace(name), strings.TrimSpace(expression)
		to := map[string]*string{"name": &r.Map.Name, "value": &r.Map.Value, "currency": &r.Map.Currency, "order_id": &r.Map.OrderID}[name]
		group, key, dotted := strings.Cut(name, ".")
		switch {
		case ok && expression != "" && to != nil:
			*to = expression
		case ok && expression != "" && dotted && key != "" && group == "params":
			if r.Map.Params == nil {
				r.Map.Params = map[string]string{}
			}
			r.Map.Params[key] = expression
		case ok && expression != "" && dotted && key != "" && group == "properties":
			if r.Map.Properties == nil {
				r.Map.Properties = map[string]string{}
			}
			r.Map.Properties[key] = expression
		default:
			bad = append(bad, settings.Problem{Field: "map", Message: fmt.Sprintf("must be lines such as value = value * 0.5; line %d is not: on the left stands name, value, currency, order_id, params.… or properties.…", i+1)})
			break lines // one of them says enough
		}
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// writeMap is a mapping as readRules reads it.
func writeMap(m *settings.Mapping) string {
	var b strings.Builder
	m.Each(func(at, expression string) {
		fmt.Fprintf(&b, "%s = %s\n", at, strings.Join(strings.Fields(expression), " "))
	})
	return b.String()
}

// tried is what a route would make of a recent event.
type tried struct {
	Event string
	At    time.Time
	Sent  bool
	Text  string
	Told  string // as the partner is told of it, where that differs
	// Request is the one that would be made.
	Request *testMessage
}

// try asks a route about the newest event that it is for. What consent and switches say
// is left out: they are asked for each event anew.
func (a *Admin) try(ctx context.Context, p settings.Pixel, r settings.Route) (tried, error) {
	f := analytics.EventFilter{PixelID: p.ID, Name: r.Event, Limit: 1}
	if r.Event == "*" {
		f.Name = ""
	}
	page, err := a.o.Events.Events(ctx, f)
	if err != nil {
		return tried{}, err
	}
	if len(page.Events) == 0 {
		return tried{Text: "No event of that name is stored yet, so there is nothing to try it on."}, nil
	}
	e := page.Events[0]
	out := tried{Event: e.ID, At: e.ReceivedAt}
	d, ok := a.decided(&e, p, r)
	if !ok {
		out.Text = "The route does not take it."
		return out, nil
	}
	if out.Sent = d.Send; !d.Send {
		out.Text = d.Message
		return out, nil
	}
	out.Text = "The route takes it."
	made := a.made(ctx, &e, p.Country, d)
	if out.Request = made.Request; made.Request == nil {
		out.Sent, out.Text = false, sentence("The route takes it, but "+a.partners.title(r.Partner)+" could not be told of it: "+made.Message)
	}
	if d.Mapped != nil {
		body, err := json.Marshal(map[string]any{"name": d.Mapped.Name, "order": d.Mapped.Order, "properties": d.Mapped.Properties, "params": d.Params}, json.Deterministic(true))
		if err != nil {
			return out, err
		}
		out.Told = indented(body)
	}
	return out, nil
}

// gatherMap puts the errors of single mappings beside the one field that they are
// entered in.
func gatherMap(bad map[string]string) {
	for _, key := range sortedKeys(bad) {
		if rest, ok := strings.CutPrefix(key, "map/"); ok {
			bad["map"] = strings.ReplaceAll(rest, "/", ".") + ": " + bad[key]
		}
	}
}

// askable are the names that expressions may use, for the form's help.
func askable() []routes.Variable {
	return slices.Clone(routes.Variables())
}
