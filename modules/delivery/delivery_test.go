package delivery

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// acme is a partner that takes {"ids":[…]}. Events named "never" it cannot take.
type acme struct {
	auth   partner.Auth
	limits partner.Limits
	decode func(partner.Answer, []event.Delivery) partner.Receipt
	encode func(partner.Batch) (*http.Request, []partner.Result, error)
}

func (a acme) Spec() partner.Spec {
	s := partner.Spec{Name: "acme", Title: "Acme", Auth: a.auth, Limits: a.limits}
	if a.auth == partner.RefreshToken {
		s.Credentials = []partner.Credential{{Name: "client_id", Title: "Client id"}, {Name: "client_secret", Title: "Client secret"}, {Name: "refresh_token", Title: "Refresh token"}, {Name: "extra", Title: "Extra", Optional: true}}
	}
	return s
}
func (acme) Group(event.Delivery) string                 { return "" }
func (acme) Sandbox(func(partner.Received)) http.Handler { return nil }
func (a acme) Encode(ctx context.Context, b partner.Batch) (*http.Request, []partner.Result, error) {
	if a.encode != nil {
		return a.encode(b)
	}
	var refused []partner.Result
	var ids []string
	for _, d := range b.Deliveries {
		if d.Event.Name == "never" {
			refused = append(refused, *partner.Refuse(d, event.Rejected, "no_key", "nothing to match by"))
			continue
		}
		ids = append(ids, d.Event.ID)
	}
	if len(ids) == 0 {
		return nil, refused, nil
	}
	body, err := json.Marshal(map[string]any{"ids": ids})
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.Endpoint+"/events?key=sesame-sesame", strings.NewReader(string(body)))
	if err == nil && b.Token != "" {
		req.Header.Set("Authorization", "Bearer "+b.Token)
	}
	return req, refused, err
}

func (a acme) Decode(answer partner.Answer, sent []event.Delivery) partner.Receipt {
	if a.decode != nil {
		return a.decode(answer, sent)
	}
	return partner.Sort(answer, sent)
}

func some(ids ...string) []event.Delivery {
	list := make([]event.Delivery, len(ids))
	for i, id := range ids {
		list[i].Event = event.Event{ID: id, PixelID: "px", Name: "purchase"}
		if strings.HasPrefix(id, "never") {
			list[i].Event.Name = "never"
		}
	}
	return list
}

func sender(t *testing.T, a partner.Adapter) *Sender {
	s := New(a, NewClient(2), nil, time.Now)
	t.Cleanup(s.Close)
	return s
}

func serve(t *testing.T, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// outcomes are "id=outcome/code", in order.
func outcomes(x Exchange) string {
	var list []string
	for _, r := range x.Receipt.Results {
		s := r.EventID + "=" + string(r.Outcome)
		if r.Code != "" {
			s += "/" + r.Code
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestWhatAnAnswerBecomes(t *testing.T) {
	for _, c := range []struct {
		name     string
		handler  http.HandlerFunc
		adapter  acme
		ids      []string
		outcomes string
		pause    string
		halve    bool
		fails    string // part of the error that a breaker counts
	}{
		{
			name: "taken", ids: []string{"1", "2"}, outcomes: "1=accepted 2=accepted",
			handler: func(w http.ResponseWriter, r *http.Request) {},
		},
		{
			name: "what the adapter leaves out is not sent and has its result", ids: []string{"1", "never", "2"},
			outcomes: "1=accepted 2=accepted never=rejected/no_key",
			handler: func(w http.ResponseWriter, r *http.Request) {
				if b, _ := io.ReadAll(r.Body); strings.Contains(string(b), "never") {
					w.WriteHeader(400)
				}
			},
		},
		{
			name: "nothing left to send is no request", ids: []string{"never"}, outcomes: "never=rejected/no_key",
			handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		},
		{
			name: "a fault of the server", ids: []string{"1"}, outcomes: "1=retry/http_503", fails: "HTTP 503",
			handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) },
		},
		{
			name: "too many requests is no fault of the server", ids: []string{"1"}, outcomes: "1=retry/http_429",
			handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(429) },
		},
		{
			name: "no answer in time", ids: []string{"1"}, outcomes: "1=retry/timeout", fails: "timeout",
			adapter: acme{limits: partner.Limits{Timeout: 50 * time.Millisecond}},
			handler: func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			},
		},
		{
			name: "a body that never ends", ids: []string{"1"}, outcomes: "1=retry/timeout", fails: "timeout",
			adapter: acme{limits: partner.Limits{Timeout: 50 * time.Millisecond}},
			handler: func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.WriteHeader(200)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			},
		},
		{
			name: "an answer that breaks off", ids: []string{"1"}, outcomes: "1=retry/unreachable", fails: "broke off",
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "100")
				w.Write([]byte(`{"suc`))
			},
		},
		{
			name: "a connection that is cut", ids: []string{"1"}, outcomes: "1=retry/unreachable", fails: "unreachable",
			handler: func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		},
		{
			name: "a redirect to another host is not followed", ids: []string{"1"}, outcomes: "1=retry/redirected", pause: "redirects elsewhere",
			handler: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusPermanentRedirect)
			},
		},
		{
			name: "a redirect that would make it a GET is not followed", ids: []string{"1"}, outcomes: "1=retry/redirected", pause: "redirects elsewhere",
			handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) },
		},
		{
			name: "one that keeps host and method is", ids: []string{"1"}, outcomes: "1=accepted",
			handler: func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/events" {
					http.Redirect(w, r, "/v2", http.StatusTemporaryRedirect)
				} else if b, _ := io.ReadAll(r.Body); r.Method != "POST" || string(b) != `{"ids":["1"]}` {
					w.WriteHeader(400)
				}
			},
		},
		{
			name: "an answer that mentions only some", ids: []string{"1", "2"}, outcomes: "1=accepted 2=retry/unnamed",
			handler: func(w http.ResponseWriter, r *http.Request) {},
			adapter: acme{decode: func(_ partner.Answer, sent []event.Delivery) partner.Receipt {
				return partner.Receipt{Results: append(partner.All(sent[:1], event.Accepted, "", ""), partner.Result{EventID: "made up"})}
			}},
		},
		{
			name: "an adapter that panics", ids: []string{"1"}, outcomes: "1=retry/adapter_panic", fails: "panicked",
			handler: func(w http.ResponseWriter, r *http.Request) {},
			adapter: acme{decode: func(partner.Answer, []event.Delivery) partner.Receipt { panic("personal data") }},
		},
		{
			name: "an adapter that cannot make a request", ids: []string{"1"}, outcomes: "1=rejected/encode_failed",
			adapter: acme{encode: func(partner.Batch) (*http.Request, []partner.Result, error) { return nil, nil, errors.New("no") }},
		},
		{
			name: "too large to send, several", ids: []string{"1", "2"}, outcomes: "1=rejected/too_large 2=rejected/too_large", halve: true,
			adapter: acme{limits: partner.Limits{Bytes: 10}},
		},
		{
			name: "too large to send, alone", ids: []string{"1"}, outcomes: "1=rejected/too_large",
			adapter: acme{limits: partner.Limits{Bytes: 10}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := ""
			if c.handler != nil {
				url = serve(t, c.handler)
			}
			x, err := sender(t, c.adapter).Send(t.Context(), Account{Endpoint: url}, some(c.ids...), nil)
			if got := outcomes(x); got != c.outcomes {
				t.Errorf("outcomes %s, want %s", got, c.outcomes)
			}
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if x.Receipt.Halve != c.halve || (x.Receipt.Pause != "") != (c.pause != "") || !strings.Contains(x.Receipt.Pause, c.pause) {
				t.Errorf("receipt %+v", x.Receipt)
			}
			if err != nil && strings.Contains(err.Error(), "personal") || strings.Contains(outcomes(x), "personal") {
				t.Errorf("a panic's value was told: %v", err)
			}
		})
	}
}

func TestTooLargeIsNotSent(t *testing.T) {
	var asked atomic.Int32
	url := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	x, _ := sender(t, acme{limits: partner.Limits{Bytes: 10}}).Send(t.Context(), Account{Endpoint: url}, some("1", "2"), nil)
	if asked.Load() != 0 || x.Sent() {
		t.Errorf("%d requests, Sent() = %v", asked.Load(), x.Sent())
	}
}

func TestAnAnswerIsReadToAMebibyte(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 3<<20))
	})
	x, err := sender(t, acme{}).Send(t.Context(), Account{Endpoint: url}, some("1"), nil)
	if err != nil || len(x.Answer) != maxAnswer {
		t.Errorf("%d bytes, %v", len(x.Answer), err)
	}
}

// oauth is a token server and a partner behind it.
type oauth struct {
	mu     sync.Mutex
	issued int
	good   map[string]bool
	refuse bool // every token, however fresh
	grant  func(w http.ResponseWriter) bool
	life   string
	events int
}

func (o *oauth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.URL.Path == "/token" {
		if r.Header.Get("Authorization") != "" {
			w.WriteHeader(400)
			return
		}
		r.ParseForm()
		if r.PostForm.Get("grant_type") != "refresh_token" || r.PostForm.Get("refresh_token") != "refresh-secret" ||
			r.PostForm.Get("client_id") != "client-identifier" || r.PostForm.Get("client_secret") != "client-secret" {
			w.WriteHeader(401)
			w.Write([]byte(`{"error":"invalid_client"}`))
			return
		}
		if o.grant != nil && !o.grant(w) {
			return
		}
		o.issued++
		token := "access-token-" + string(rune('a'+o.issued-1))
		o.good = map[string]bool{token: true}
		w.Write([]byte(`{"access_token":"` + token + `","token_type":"bearer","expires_in":` + o.life + `}`))
		return
	}
	o.events++
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !o.good[token] || o.refuse {
		w.WriteHeader(401)
		w.Write([]byte("bad " + token))
	}
}

func (o *oauth) count() (issued, events int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.issued, o.events
}

func connected(url string) Account {
	return Account{Endpoint: url, TokenURL: url + "/token", Credentials: map[string]string{
		"client_id": "client-identifier", "client_secret": "client-secret", "refresh_token": "refresh-secret",
	}}
}

func TestTokens(t *testing.T) {
	for _, c := range []struct {
		name     string
		server   *oauth
		change   func(*Account)
		between  func(*oauth) // after the first of two sends
		outcomes string       // of the second
		pause    string
		issued   int
		events   int
		fails    bool
	}{
		{name: "one serves many requests", server: &oauth{life: "3600"}, outcomes: "1=accepted", issued: 1, events: 2},
		{name: "a lifetime may be a string", server: &oauth{life: `"3600"`}, outcomes: "1=accepted", issued: 1, events: 2},
		{
			name: "a refused one is replaced at once", server: &oauth{life: "3600"}, outcomes: "1=accepted", issued: 2, events: 3,
			between: func(o *oauth) { o.good = nil },
		},
		{
			name: "a fresh one that is refused pauses", server: &oauth{life: "3600"}, outcomes: "1=retry/unauthorized", issued: 2, events: 3,
			between: func(o *oauth) { o.refuse = true }, pause: "refused a fresh access token",
		},
		{
			name: "a revoked grant pauses and says so", server: &oauth{life: "3600"}, outcomes: "1=retry/disconnected", issued: 1, events: 2,
			between: func(o *oauth) {
				o.good = nil
				o.grant = func(w http.ResponseWriter) bool {
					w.WriteHeader(400)
					w.Write([]byte(`{"error":"invalid_grant","error_description":"refresh-secret is gone"}`))
					return false
				}
			}, pause: "invalid_grant",
		},
		{
			name: "a token server that is down is an outage", server: &oauth{life: "3600"}, outcomes: "1=retry/no_token", issued: 1, events: 2, fails: true,
			between: func(o *oauth) {
				o.good = nil
				o.grant = func(w http.ResponseWriter) bool { w.WriteHeader(503); return false }
			},
		},
		{
			name: "wrong credentials pause", server: &oauth{life: "3600"}, change: func(a *Account) { a.Credentials["client_secret"] = "another-secret" },
			outcomes: "1=retry/disconnected", pause: "invalid_client",
		},
		{
			name: "missing credentials pause", server: &oauth{life: "3600"}, change: func(a *Account) { delete(a.Credentials, "refresh_token") },
			outcomes: "1=retry/credentials_missing", pause: "Refresh token",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(c.server)
			defer srv.Close()
			a := connected(srv.URL)
			if c.change != nil {
				c.change(&a)
			}
			s := sender(t, acme{auth: partner.RefreshToken})
			s.Send(t.Context(), a, some("1"), nil)
			if c.between != nil {
				c.server.mu.Lock()
				c.between(c.server)
				c.server.mu.Unlock()
			}
			x, err := s.Send(t.Context(), a, some("1"), nil)
			if got := outcomes(x); got != c.outcomes {
				t.Errorf("outcomes %s, want %s", got, c.outcomes)
			}
			if (x.Receipt.Pause != "") != (c.pause != "") || !strings.Contains(x.Receipt.Pause, c.pause) {
				t.Errorf("pause %q, want %q", x.Receipt.Pause, c.pause)
			}
			if (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
			if issued, events := c.server.count(); issued != c.issued || events != c.events {
				t.Errorf("%d tokens and %d requests, want %d and %d", issued, events, c.issued, c.events)
			}
			for _, secret := range []string{"access-token", "refresh-secret", "client-secret"} {
				if strings.Contains(x.Receipt.Pause+string(x.Answer)+outcomes(x), secret) {
					t.Errorf("%s shows in the exchange", secret)
				}
			}
		})
	}
}

func TestATokenIsRenewedEarlyAndByOne(t *testing.T) {
	server := &oauth{life: "3600"}
	srv := httptest.NewServer(server)
	defer srv.Close()
	var clock atomic.Int64
	start := time.Now()
	s := New(acme{auth: partner.RefreshToken}, NewClient(20), nil, func() time.Time { return start.Add(time.Duration(clock.Load())) })
	defer s.Close()
	send := func() {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if x, err := s.Send(t.Context(), connected(srv.URL), some("1"), nil); err != nil || outcomes(x) != "1=accepted" {
					t.Errorf("%s, %v", outcomes(x), err)
				}
			})
		}
		all.Wait()
	}
	for _, c := range []struct {
		at     time.Duration
		issued int
	}{{0, 1}, {50 * time.Minute, 1}, {56 * time.Minute, 2}, {3 * time.Hour, 3}} {
		clock.Store(int64(c.at))
		send()
		if issued, _ := server.count(); issued != c.issued {
			t.Errorf("after %s: %d tokens, want %d", c.at, issued, c.issued)
		}
	}
	// While the token server is down, one that has a few minutes left still serves.
	clock.Store(int64(3*time.Hour + 56*time.Minute))
	server.mu.Lock()
	server.grant = func(w http.ResponseWriter) bool { w.WriteHeader(500); return false }
	server.mu.Unlock()
	send()
}

func TestChangedCredentialsGetATokenOfTheirOwn(t *testing.T) {
	server := &oauth{life: "3600"}
	srv := httptest.NewServer(server)
	defer srv.Close()
	s := sender(t, acme{auth: partner.RefreshToken})
	a := connected(srv.URL)
	s.Send(t.Context(), a, some("1"), nil)
	a.Credentials["client_secret"] = "wrong-secret"
	if x, _ := s.Send(t.Context(), a, some("1"), nil); x.Receipt.Pause == "" {
		t.Errorf("the old token was used for new credentials: %s", outcomes(x))
	}
}

// Amazon may refuse the token for some items and take the others.
func TestAfterANewTokenOnlyTheOpenOnesAreSentAgain(t *testing.T) {
	server := &oauth{life: "3600"}
	srv := httptest.NewServer(server)
	defer srv.Close()
	calls := 0
	s := sender(t, acme{auth: partner.RefreshToken, decode: func(_ partner.Answer, sent []event.Delivery) partner.Receipt {
		calls++
		if calls == 1 {
			return partner.Receipt{NewToken: true, Results: append(partner.All(sent[:1], event.Accepted, "", ""), partner.All(sent[1:], event.Retry, "UNAUTHORIZED", "")...)}
		}
		if len(sent) != 1 || sent[0].Event.ID != "2" {
			t.Errorf("sent again: %+v", sent)
		}
		return partner.Receipt{Results: partner.All(sent, event.Accepted, "second", "")}
	}})
	x, err := s.Send(t.Context(), connected(srv.URL), some("1", "2"), nil)
	if err != nil || outcomes(x) != "1=accepted 2=accepted/second" {
		t.Errorf("%s, %v", outcomes(x), err)
	}
}

func TestAnExchangeShowsNoSecret(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Set-Cookie", "session=abcdefgh")
		w.Write([]byte("you said " + r.Header.Get("Authorization") + r.URL.RawQuery + string(b)))
	})
	a := connected(url)
	a.Credentials["extra"] = "sesame-sesame"
	a.TokenURL = serve(t, (&oauth{life: "60"}).ServeHTTP) + "/token"
	x, err := sender(t, acme{auth: partner.RefreshToken}).Send(t.Context(), a, some("1"), nil)
	if err != nil || outcomes(x) != "1=accepted" {
		t.Fatalf("%s, %v", outcomes(x), err)
	}
	shown, err := json.Marshal([]any{x.URL, x.RequestHeader, string(x.RequestBody), x.AnswerHeader, string(x.Answer)})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"access-token", "sesame", "abcdefgh"} {
		if strings.Contains(string(shown), secret) {
			t.Errorf("%q shows in %s", secret, shown)
		}
	}
	if len(x.Payload) != 64 || x.RequestHeader.Get("Authorization") != "Bearer "+dots || x.Status != 200 || x.Method != "POST" {
		t.Errorf("%+v", x)
	}
}

func TestAccountOf(t *testing.T) {
	spec := partner.Spec{TokenURL: "https://partner.example/token"}
	a := AccountOf(spec, config.Partner{Endpoint: "http://sandbox"}, settings.Partner{Settings: []byte(`{"a":1}`)}, map[string]string{"k": "v"})
	if a.Endpoint != "http://sandbox" || a.TokenURL != spec.TokenURL || string(a.Settings) != `{"a":1}` || a.Credentials["k"] != "v" {
		t.Errorf("%+v", a)
	}
	if a = AccountOf(spec, config.Partner{TokenURL: "http://sandbox/token"}, settings.Partner{}, nil); a.TokenURL != "http://sandbox/token" {
		t.Errorf("%+v", a)
	}
}
