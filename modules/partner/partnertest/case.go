package partnertest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// batchFile is a partner.Batch as delivery.json writes it.
type batchFile struct {
	Now         time.Time         `json:"now"`
	Endpoint    string            `json:"endpoint"`
	Settings    jsontext.Value    `json:"settings"`
	Credentials map[string]string `json:"credentials"`
	Token       string            `json:"token"`
	Deliveries  []event.Delivery  `json:"deliveries"`
	Test        bool              `json:"test"`
}

type requestFile struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    jsontext.Value    `json:"body,omitempty"`
}

type responseFile struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	// Body is sent as it is, a JSON string as its text.
	Body jsontext.Value `json:"body"`
}

type result struct {
	EventID string        `json:"event_id"`
	Outcome event.Outcome `json:"outcome"`
	Code    string        `json:"code,omitempty"`
	Message string        `json:"message,omitempty"`
	Answer  string        `json:"answer,omitempty"`
	After   string        `json:"after,omitempty"`
}

type receiptFile struct {
	Refused []result     `json:"refused,omitempty"`
	Receipt *receiptPart `json:"receipt,omitempty"`
	Heard   *receiptPart `json:"heard,omitempty"`
	Sandbox *sandboxPart `json:"sandbox,omitempty"`
}

type receiptPart struct {
	Results    []result `json:"results"`
	RetryAfter string   `json:"retry_after,omitempty"`
	Halve      bool     `json:"halve,omitzero"`
	Alone      bool     `json:"alone,omitzero"`
	NewToken   bool     `json:"new_token,omitzero"`
	Pause      string   `json:"pause,omitempty"`
	RequestID  string   `json:"request_id,omitempty"`
	AskAfter   string   `json:"ask_after,omitempty"`
}

type sandboxPart struct {
	Status  int      `json:"status"`
	Results []result `json:"results"`
	// Told is what a Deferred partner's sandbox said when it was asked later.
	Told *receiptPart `json:"told,omitempty"`
}

func readBase(t *testing.T, dir string) partner.Batch {
	t.Helper()
	b := decodeBatch(t, read(t, filepath.Join(dir, "base.json")))
	if len(b.Deliveries) != 1 {
		t.Fatalf("base.json holds %d deliveries: it must hold one", len(b.Deliveries))
	}
	return b
}

func decodeBatch(t *testing.T, raw []byte) partner.Batch {
	t.Helper()
	var f batchFile
	if err := json.Unmarshal(raw, &f, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("read the batch: %v", err)
	}
	return partner.Batch{Endpoint: f.Endpoint, Settings: f.Settings, Credentials: f.Credentials, Token: f.Token, Now: f.Now, Deliveries: f.Deliveries, Test: f.Test}
}

// readCase patches the base with the case's delivery.json.
func readCase(t *testing.T, dir string) partner.Batch {
	t.Helper()
	var base, patch map[string]any
	for path, into := range map[string]*map[string]any{filepath.Join(filepath.Dir(dir), "base.json"): &base, filepath.Join(dir, "delivery.json"): &patch} {
		if err := json.Unmarshal(read(t, path), into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	one := base["deliveries"].([]any)[0]
	merged := merge(base, patch).(map[string]any)
	if list, ok := patch["deliveries"].([]any); ok {
		all := make([]any, len(list))
		for i, p := range list {
			all[i] = merge(one, p)
		}
		merged["deliveries"] = all
	}
	raw, err := json.Marshal(merged)
	if err != nil {
		t.Fatal(err)
	}
	return decodeBatch(t, raw)
}

// merge is RFC 7396; it never writes into target.
func merge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out := map[string]any{}
	if m, ok := target.(map[string]any); ok {
		for k, v := range m {
			out[k] = v
		}
	}
	for k, v := range p {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = merge(out[k], v)
		}
	}
	return out
}

func runCase(t *testing.T, a partner.Adapter, base partner.Batch, dir string) {
	b := readCase(t, dir)
	req, refused, err := a.Encode(context.Background(), b)
	if err != nil {
		t.Fatalf("Encode: %v", err)
	}
	golden(t, filepath.Join(dir, "request.json"), requestOf(t, req))
	sent := remaining(t, b.Deliveries, refused)
	checkMatch(t, a, b, sent, refused)
	if (req == nil) != (len(sent) == 0) {
		t.Fatalf("%d deliveries are left, and the request is %v", len(sent), req)
	}

	got := receiptFile{Refused: results(refused)}
	response := filepath.Join(dir, "response.json")
	switch raw, err := os.ReadFile(response); {
	case err == nil:
		answer := answerOf(t, raw, b)
		r := a.Decode(answer, sent)
		complete(t, sent, r.Results)
		got.Receipt = part(r)
		got.Heard = hear(t, a, b, sent, r, dir)
	case req != nil:
		t.Errorf("%s is missing", response)
	}
	if req != nil {
		status, r, told := throughSandbox(t, a, b)
		got.Sandbox = &sandboxPart{status, results(r.Results), told}
	}
	golden(t, filepath.Join(dir, "receipt.json"), got)
}

func requestOf(t *testing.T, req *http.Request) any {
	t.Helper()
	if req == nil {
		return nil
	}
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			t.Fatal(err)
		}
	}
	f := requestFile{Method: req.Method, URL: req.URL.String(), Headers: map[string]string{}, Body: body}
	if len(body) > 0 && !f.Body.IsValid() {
		f.Body, _ = jsontext.AppendQuote(nil, body) // a form
	}
	for k := range req.Header {
		f.Headers[k] = req.Header.Get(k)
	}
	return f
}

func answerOf(t *testing.T, raw []byte, b partner.Batch) partner.Answer {
	t.Helper()
	var f responseFile
	if err := json.Unmarshal(raw, &f, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("read response.json: %v", err)
	}
	body := []byte(f.Body)
	if f.Body.Kind() == '"' {
		body, _ = jsontext.AppendUnquote(nil, f.Body)
	}
	h := http.Header{}
	for k, v := range f.Headers {
		h.Set(k, v)
	}
	return partner.Answer{Status: f.Status, Header: h, Body: body, Now: b.Now, Settings: b.Settings}
}

func part(r partner.Receipt) *receiptPart {
	p := &receiptPart{Results: results(r.Results), Halve: r.Halve, Alone: r.Alone, NewToken: r.NewToken, Pause: r.Pause, RequestID: r.RequestID}
	if r.RetryAfter != 0 {
		p.RetryAfter = r.RetryAfter.String()
	}
	if r.AskAfter != 0 {
		p.AskAfter = r.AskAfter.String()
	}
	return p
}

// checkMatch holds a partner's keys against what Encode makes of them: what is sent
// has one, and what is not sent for want of one has none.
func checkMatch(t *testing.T, a partner.Adapter, b partner.Batch, sent []event.Delivery, refused []partner.Result) {
	t.Helper()
	spec := a.Spec()
	known := map[string]bool{}
	for _, k := range spec.Keys {
		known[k.Name] = true
	}
	for _, d := range b.Deliveries {
		for _, name := range spec.Carries(b.Settings, d) {
			if !known[name] {
				t.Errorf("%s carries %q, which is no key", d.Event.ID, name)
			}
		}
	}
	for _, d := range sent {
		if m := partner.Match(spec, b.Settings, d); m.Grade == event.NoMatch {
			t.Errorf("%s is sent, but carries no key: %+v", d.Event.ID, m)
		}
	}
	keyless := map[string]bool{}
	for _, r := range refused {
		keyless[r.EventID] = keyless[r.EventID] || r.Code == "no_key" || r.Code == "no_identifier"
	}
	for _, d := range b.Deliveries {
		if m := partner.Match(spec, b.Settings, d); keyless[d.Event.ID] && (m.Grade == event.MediumMatch || m.Grade == event.HighMatch) {
			t.Errorf("%s is not sent for want of a key, but is graded %+v", d.Event.ID, m)
		}
	}
}

// hear asks a Deferred adapter what it makes of status.json, the partner's later
// answer, and compares how it asks with ask.json; nil where there is neither.
func hear(t *testing.T, a partner.Adapter, b partner.Batch, sent []event.Delivery, r partner.Receipt, dir string) *receiptPart {
	t.Helper()
	d, deferred := a.(partner.Deferred)
	raw, err := os.ReadFile(filepath.Join(dir, "status.json"))
	if err != nil {
		return nil
	}
	if !deferred || r.AskAfter == 0 || r.RequestID == "" {
		t.Fatalf("there is a status.json, but nothing to ask for: %+v", r)
	}
	req, err := d.Ask(context.Background(), b, r.RequestID)
	if err != nil {
		t.Fatalf("Ask: %v", err)
	}
	golden(t, filepath.Join(dir, "ask.json"), requestOf(t, req))
	told := d.Hear(answerOf(t, raw, b), sent)
	complete(t, sent, told.Results)
	return part(told)
}

// throughSandbox sends a batch to the adapter's own sandbox, and asks it later
// where the receipt says so.
func throughSandbox(t *testing.T, a partner.Adapter, b partner.Batch) (int, partner.Receipt, *receiptPart) {
	t.Helper()
	var received []partner.Received
	h := a.Sandbox(func(r partner.Received) { received = append(received, r) })
	spec := a.Spec()
	endpoint, err := url.Parse(spec.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	b.Endpoint = "http://sandbox" + endpoint.Path
	if partner.NeedsToken(a, b) {
		b.Token = fetchToken(t, h, a, b)
	}
	req, refused, err := a.Encode(context.Background(), b)
	if err != nil {
		t.Fatalf("Encode for the sandbox: %v", err)
	}
	if req.URL.Host != "sandbox" {
		t.Fatalf("a redirected adapter sends to %s", req.URL.Host)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if len(received) != 1 || received[0].Status != w.Code || received[0].Partner != spec.Name || received[0].Path != req.URL.Path {
		t.Errorf("the sandbox answered %d and recorded %+v", w.Code, received)
	}
	sent := remaining(t, b.Deliveries, refused)
	answer := func(w *httptest.ResponseRecorder) partner.Answer {
		return partner.Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes(), Now: b.Now, Settings: b.Settings}
	}
	r := a.Decode(answer(w), sent)
	complete(t, sent, r.Results)
	d, deferred := a.(partner.Deferred)
	if !deferred || r.AskAfter == 0 {
		return w.Code, r, nil
	}
	time.Sleep(r.AskAfter) // by the clock of synctest
	ask, err := d.Ask(context.Background(), b, r.RequestID)
	if err != nil {
		t.Fatalf("Ask the sandbox: %v", err)
	}
	if ask.Body == nil {
		ask.Body = http.NoBody
	}
	later := httptest.NewRecorder()
	h.ServeHTTP(later, ask)
	told := d.Hear(answer(later), sent)
	complete(t, sent, told.Results)
	return w.Code, r, part(told)
}

func fetchToken(t *testing.T, h http.Handler, a partner.Adapter, b partner.Batch) string {
	t.Helper()
	at, err := url.Parse(a.Spec().TokenURL)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, "http://sandbox"+at.Path, strings.NewReader(tokenForm(t, a, b).Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	var answer struct {
		AccessToken string         `json:"access_token"`
		ExpiresIn   jsontext.Value `json:"expires_in"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.AccessToken == "" || len(answer.ExpiresIn) == 0 {
		t.Fatalf("the sandbox gave no token: %d %s", w.Code, w.Body)
	}
	return answer.AccessToken
}

// remaining are the deliveries that Encode did not refuse, in their order.
func remaining(t *testing.T, all []event.Delivery, refused []partner.Result) []event.Delivery {
	t.Helper()
	left := map[string]int{}
	for _, r := range refused {
		left[r.EventID]++
		early := r.Outcome == event.Retry && r.After > 0
		if r.Outcome != event.Rejected && r.Outcome != event.NotSent && !early {
			t.Errorf("Encode refuses %s with outcome %q", r.EventID, r.Outcome)
		}
		if r.Code == "" || r.Message == "" {
			t.Errorf("Encode refuses %s without a code and a message", r.EventID)
		}
	}
	var out []event.Delivery
	for _, d := range all {
		if left[d.Event.ID] > 0 {
			left[d.Event.ID]--
			continue
		}
		out = append(out, d)
	}
	for id, n := range left {
		if n > 0 {
			t.Errorf("Encode refuses %q, which was not in the batch", id)
		}
	}
	return out
}

// complete checks that each delivery has exactly one result.
func complete(t *testing.T, sent []event.Delivery, rs []partner.Result) {
	t.Helper()
	count := map[string]int{}
	for _, d := range sent {
		count[d.Event.ID]++
	}
	for _, r := range rs {
		count[r.EventID]--
		switch r.Outcome {
		case event.Accepted, event.Retry, event.Rejected, event.NotSent:
		default:
			t.Errorf("%q has the outcome %q", r.EventID, r.Outcome)
		}
	}
	for id, n := range count {
		if n != 0 {
			t.Errorf("%q lacks %d results", id, n)
		}
	}
}

func results(in []partner.Result) []result {
	var out []result
	for _, r := range in {
		f := result{EventID: r.EventID, Outcome: r.Outcome, Code: r.Code, Message: r.Message, Answer: r.Answer}
		if r.After != 0 {
			f.After = r.After.String()
		}
		out = append(out, f)
	}
	return out
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// golden compares v as indented JSON with a file, or writes the file.
func golden(t *testing.T, path string, v any) {
	t.Helper()
	got, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := read(t, path); !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update rewrites it)\n--- want\n%s--- got\n%s", path, want, got)
	}
}
