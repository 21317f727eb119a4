package sandbox

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// codes are what the authorise page handed out, each good once and for ten minutes.
type codes struct {
	mu    sync.Mutex
	given map[string]code
}

type code struct {
	client, redirect, challenge string
	until                       time.Time
}

func (c *codes) give(of code) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.given == nil || len(c.given) > 1000 {
		c.given = map[string]code{}
	}
	id := rand.Text()
	c.given[id] = of
	return id
}

func (c *codes) take(id string) (code, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of, ok := c.given[id]
	delete(c.given, id)
	return of, ok && time.Now().Before(of.until)
}

var authorizePage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>Connect an account</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css"></head>
<body><main><section><article class="card narrow">
<h1>{{.Title}}</h1>
{{if .Wrong}}<p>This request is not as it must be: <strong>{{.Wrong}}</strong></p>
{{else}}<p class="about">An imitation of the page on which an administrator grants access. No account is behind it.</p>
<p>The application <code>{{.Client}}</code> asks for <code>{{.Scope}}</code>, and will be told at <code>{{.Redirect}}</code>.</p>
<p class="actions"><a class="button primary" id="allow" href="{{.Allow}}">Allow</a> <a class="button" id="refuse" href="{{.Refuse}}">Refuse</a></p>{{end}}
</article></section></main></body></html>`))

// authorize imitates the page on which a person grants access.
func (i *imitation) authorize(w http.ResponseWriter, r *http.Request) {
	q, g := r.URL.Query(), i.spec.Connect
	back, err := url.Parse(q.Get("redirect_uri"))
	page := struct{ Title, Wrong, Client, Scope, Redirect, Allow, Refuse string }{
		Title: i.spec.Title, Client: q.Get("client_id"), Scope: q.Get("scope"), Redirect: q.Get("redirect_uri"),
	}
	switch {
	case q.Get("response_type") != "code":
		page.Wrong = "response_type must be code"
	case page.Client == "":
		page.Wrong = "client_id is missing"
	case err != nil || back.Scheme != "https" && back.Scheme != "http" || back.Host == "":
		page.Wrong = "redirect_uri must be an address"
	case page.Scope == "":
		page.Wrong = "scope is missing"
	case q.Get("state") == "":
		page.Wrong = "state is missing"
	case lacks(q, g.Params) != "":
		page.Wrong = lacks(q, g.Params)
	case g.PKCE && (q.Get("code_challenge") == "" || q.Get("code_challenge_method") != "S256"):
		page.Wrong = "code_challenge with S256 is missing"
	}
	status := http.StatusOK
	if page.Wrong != "" {
		status = http.StatusBadRequest
	} else {
		to := func(name, value string) string {
			u := *back
			v := u.Query()
			v.Set(name, value)
			v.Set("state", q.Get("state"))
			u.RawQuery = v.Encode()
			return u.String()
		}
		page.Allow = to("code", i.codes.give(code{page.Client, page.Redirect, q.Get("code_challenge"), time.Now().Add(10 * time.Minute)}))
		page.Refuse = to("error", "access_denied")
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_ = authorizePage.Execute(w, page)
}

// lacks names a parameter that the partner needs and did not get, such as the one
// without which it gives no refresh token.
func lacks(q url.Values, params map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if q.Get(name) != params[name] {
			return name + " must be " + params[name]
		}
	}
	return ""
}

// exchangeCode answers a call for the first tokens of an account, if it is one.
func (i *imitation) exchangeCode(w http.ResponseWriter, r *http.Request) bool {
	var form url.Values
	form, r.Body = readForm(r.Body)
	if form.Get("grant_type") != "authorization_code" {
		return false
	}
	of, ok := i.codes.take(form.Get("code"))
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	fail := ""
	switch {
	case form.Get("client_id") == "" || form.Get("client_secret") == "":
		fail = "invalid_client"
	case !ok, of.client != form.Get("client_id"), of.redirect != form.Get("redirect_uri"),
		of.challenge != "" && of.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		fail = "invalid_grant"
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if fail != "" {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.MarshalWrite(w, map[string]string{"error": fail})
		return true
	}
	_ = json.MarshalWrite(w, map[string]any{"access_token": "sandbox-" + rand.Text(), "refresh_token": "Atzr|sandbox-" + rand.Text(), "token_type": "bearer", "expires_in": 3600})
	return true
}

// readForm reads a form, and gives back a body that can be read again.
func readForm(body io.ReadCloser) (url.Values, io.ReadCloser) {
	raw, _ := io.ReadAll(body)
	form, _ := url.ParseQuery(string(raw))
	return form, io.NopCloser(bytes.NewReader(raw))
}
