package collector

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// The doors for clients of the Segment HTTP API, as Event.Source: a browser's, and a
// server's that speaks of visitors elsewhere.
const (
	segment = "segment"
	server  = "server"
)

// maxSegmentBatch is more messages than the 500 KB that Segment's clients fill hold.
const maxSegmentBatch = 2500

// segmentKinds are the doors: Segment's own names, and the one letter that its browser
// client takes of them. An empty kind is for a message that says so itself.
var segmentKinds = map[string]string{
	"/v1/batch": "", "/v1/b": "", "/v1/import": "",
	"/v1/track": "track", "/v1/t": "track",
	"/v1/page": "page", "/v1/p": "page",
	"/v1/screen": "screen", "/v1/s": "screen",
	"/v1/identify": "identify", "/v1/i": "identify",
	"/v1/group": "group", "/v1/g": "group",
	"/v1/alias": "alias", "/v1/a": "alias",
}

func (c *Collector) segmentRoutes(e *echo.Echo) {
	for path, kind := range segmentKinds {
		e.POST(path, c.behindEdge(c.paced(c.segment(kind))))
		e.OPTIONS(path, segmentPreflight)
	}
	e.GET("/v1/projects/:key/settings", c.segmentSettings)
	e.OPTIONS("/v1/projects/:key/settings", preflightPublic)
	e.POST("/v1/m", segmentMetrics)
	e.OPTIONS("/v1/m", segmentPreflight)
}

func segmentPreflight(ec *echo.Context) error {
	err := preflight("POST")(ec)
	ec.Response().Header().Set("Access-Control-Allow-Headers", "Content-Type, Content-Encoding, Authorization, X-Retry-Count")
	return err
}

// segmentMetrics takes what the browser client counts about itself, and keeps nothing.
func segmentMetrics(ec *echo.Context) error {
	cors(ec)
	return ec.NoContent(http.StatusNoContent)
}

// segment answers a door of the Segment HTTP API: one message, or a batch of them.
func (c *Collector) segment(kind string) echo.HandlerFunc {
	return func(ec *echo.Context) error {
		cors(ec)
		source := segment
		if ec.Request().Header.Get("Origin") == "" {
			source = server
		}
		b, err := c.readBody(ec, c.cfg.MaxBody)
		defer c.release(&b)
		if p, f := c.beyond(ec, err); p != nil {
			c.metrics.rejected(source, f.Code)
			return p
		}
		if err != nil {
			return err
		}
		messages, key, sent, err := decodeSegment(b.bytes, kind)
		if err != nil {
			p, f := explain(err)
			c.metrics.rejected(source, f.Code)
			return p
		}
		if user, _, ok := ec.Request().BasicAuth(); ok {
			key = user
		}
		p, err := c.pixelFor(key)
		if err != nil {
			return err
		}
		if host, ok := c.allowed(ec, &p); !ok {
			deny(ec)
			f := event.Fault{Code: "origin_not_allowed", Message: "came from a site that is not among the pixel's domains: " + clip(host, 100)}
			c.refuse(ec, p.ID, source, f)
			return httpserver.NewProblem(http.StatusForbidden, f.Code, "this pixel may not be used on that site")
		}
		if err := c.pace(&p, len(messages)); err != nil {
			return err
		}
		return c.acceptSegment(ec, &p, messages, sent, kind, source)
	}
}

// acceptSegment brings each message through the room behind every door, as an envelope
// of its own, since each is of its own visitor; and all of them into the queues at
// once.
func (c *Collector) acceptSegment(ec *echo.Context, p *settings.Pixel, messages []jsontext.Value, sent, kind, source string) error {
	var all answer
	var items []queue.Item
	start := time.Now()
	said := false
	b := c.newBatch()
	defer c.reuse(b)
	for i, raw := range messages {
		env, one, ignored := fromSegment(raw, kind, sent, p)
		if ignored {
			all.results = append(all.results, result{safeID(one.ID), "ignored", event.Fault{}})
			continue
		}
		got, err := c.prepare(ec, b, p, &env, []event.Incoming{one}, source, start)
		if err != nil && got.turned == 0 {
			return err
		}
		r := got.results[0]
		if f := &r.fault; f.Code != "" && kind == "" && r.status == rejected {
			*f = f.In("/batch/" + strconv.Itoa(i))
		}
		all.results = append(all.results, r)
		all.turned += got.turned
		all.accepted, all.rejected, all.suppressed = all.accepted+got.accepted, all.rejected+got.rejected, all.suppressed+got.suppressed
		for rank, n := range got.priorities {
			all.priorities[rank] += n
		}
		items = append(items, b.items...)
		b.next()
		all.verdict = got.verdict
		said = said || consent.Stated(got.verdict, env.Consent)
	}
	if all.turned > 0 && all.accepted == 0 {
		return c.turnAway() // as prepare would: it all comes again
	}
	if all.turned > 0 {
		ec.Response().Header().Set("Retry-After", seconds(c.pressure.RetryAfter()))
	}
	if err := c.push(ec.Request().Context(), items, all.accepted > 0); err != nil {
		return err
	}
	c.metrics.answered(&all, time.Since(start))
	if source == segment && said && !all.verdict.State.Allows(event.Partial) {
		dropCookie(ec)
	}
	if all.rejected > 0 && all.rejected == len(messages) {
		return ec.Blob(http.StatusBadRequest, "application/problem+json", all.appendJSON(nil, true))
	}
	// Segment's clients take 200 for success, and look for nothing else.
	body := append([]byte(`{"success":true,`), all.appendJSON(nil, false)[1:]...)
	return ec.Blob(http.StatusOK, "application/json", body)
}

// decodeSegment splits a body into its messages, each unread, and says the write key
// and the time of sending that it holds.
func decodeSegment(body []byte, kind string) (messages []jsontext.Value, key, sent string, err error) {
	var in struct {
		WriteKey string           `json:"writeKey"`
		SentAt   string           `json:"sentAt"`
		Batch    []jsontext.Value `json:"batch"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, "", "", err
	}
	if kind != "" {
		return []jsontext.Value{body}, in.WriteKey, in.SentAt, nil
	}
	switch {
	case len(in.Batch) == 0:
		return nil, "", "", event.Fault{Pointer: "/batch", Code: "required", Message: "must hold at least one message"}
	case len(in.Batch) > maxSegmentBatch:
		return nil, "", "", event.Fault{Pointer: "/batch", Code: "too_many_events", Message: fmt.Sprintf("must hold at most %d messages", maxSegmentBatch)}
	}
	if in.WriteKey == "" {
		var first struct {
			WriteKey string `json:"writeKey"`
		}
		if json.Unmarshal(in.Batch[0], &first) == nil {
			in.WriteKey = first.WriteKey
		}
	}
	return in.Batch, in.WriteKey, in.SentAt, nil
}

// segmentSettings is what the browser client fetches before anything else: that its
// one destination is this collector.
func (c *Collector) segmentSettings(ec *echo.Context) error {
	public(ec)
	p, err := c.pixelFor(ec.Param("key"))
	if err != nil {
		return err
	}
	r := ec.Request()
	scheme := ec.Scheme()
	var out struct {
		Integrations map[string]map[string]any `json:"integrations"`
		Plan         map[string]any            `json:"plan"`
		Middleware   map[string]any            `json:"enabledMiddleware"`
		Metrics      map[string]any            `json:"metrics"`
		Edge         map[string]any            `json:"edgeFunction"`
		Remote       []any                     `json:"remotePlugins"`
	}
	out.Integrations = map[string]map[string]any{"Segment.io": {
		"apiKey": p.ID, "apiHost": r.Host + "/v1", "protocol": scheme, "unbundledIntegrations": []string{}, "addBundledMetadata": true,
	}}
	out.Plan = map[string]any{
		"track":    map[string]any{"__default": map[string]any{"enabled": true, "integrations": map[string]any{}}},
		"identify": map[string]any{"__default": map[string]any{"enabled": true}},
		"group":    map[string]any{"__default": map[string]any{"enabled": true}},
	}
	out.Middleware, out.Edge, out.Remote = map[string]any{}, map[string]any{}, []any{}
	out.Metrics = map[string]any{"sampleRate": 0, "host": strings.TrimSuffix(r.Host, "/") + "/v1"}
	body, err := json.Marshal(out, json.Deterministic(true))
	if err != nil {
		return err
	}
	ec.Response().Header().Set("Cache-Control", "public, max-age=60, stale-while-revalidate=86400")
	return tagged(ec, "application/json", body, etag(body))
}
