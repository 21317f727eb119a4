package admin

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/web"
)

// views are the templates and the static files. Every page is the layout with
// its own file inside; files that begin with _ are shared parts.
type views struct {
	pages  map[string]*template.Template
	assets map[string]asset
	now    func() time.Time
	handle func(kind, value string) string // see find.go
}

// asset is a static file; its version stands in its address, so that browsers
// may keep it for ever.
type asset struct {
	body    []byte
	kind    string
	version string
}

func newViews(now func() time.Time, handle func(kind, value string) string) (*views, error) {
	v := &views{handle: handle, pages: map[string]*template.Template{}, assets: map[string]asset{}, now: now}
	static := web.Static()
	err := fs.WalkDir(static, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(static, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		v.assets[name] = asset{body, cmp.Or(mime.TypeByExtension(path.Ext(name)), "application/octet-stream"), hex.EncodeToString(sum[:6])}
		return nil
	})
	if err != nil {
		return nil, err
	}
	files := web.Templates()
	shared, err := template.New("").Funcs(v.funcs()).Option("missingkey=zero").ParseFS(files, "_*.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "_") {
			continue
		}
		t, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if v.pages[strings.TrimSuffix(name, ".html")], err = t.ParseFS(files, name); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// view is what the layout needs beside a page's own Data.
type view struct {
	Title  string
	Nav    string // which entry of the navigation is the current one
	Who    principal
	Theme  string // light, dark, or auto
	Path   string // for forms that come back here
	Notice string
	Data   any
}

// show renders a page.
func (a *Admin) show(c *echo.Context, status int, name string, v view) error {
	v.Who, v.Path, v.Theme = me(c), c.Request().URL.RequestURI(), themeOf(c)
	if v.Notice == "" {
		v.Notice = a.takeNotice(c)
	}
	var b bytes.Buffer
	if err := a.views.pages[name].ExecuteTemplate(&b, "layout", v); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	return c.HTMLBlob(status, b.Bytes())
}

// errorPage shows a problem to people.
func (a *Admin) errorPage(c *echo.Context, p *httpserver.Problem) error {
	title := cmp.Or(p.Title, http.StatusText(p.Status))
	return a.show(c, p.Status, "error", view{Title: title, Data: struct {
		*httpserver.Problem
		WayOut wayOut
	}{p, wayOutOf(p)}})
}

func themeOf(c *echo.Context) string {
	if cookie, err := c.Cookie("pixel_theme"); err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		return cookie.Value
	}
	return "auto"
}

// theme remembers a choice for a year.
func (a *Admin) theme(c *echo.Context) error {
	value := c.FormValue("theme")
	if value != "light" && value != "dark" {
		value = "auto"
	}
	c.SetCookie(&http.Cookie{Name: "pixel_theme", Value: value, Path: "/", MaxAge: 365 * 24 * 3600, SameSite: http.SameSiteLaxMode, Secure: a.sessions.Cookie.Secure})
	return c.Redirect(http.StatusSeeOther, local(c.FormValue("back")))
}

// local is an address of this console, or its front page: what came in a form
// must not send anybody elsewhere.
func local(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(address, "/") || strings.HasPrefix(address, "//") || strings.ContainsAny(address, "\\\r\n\t") {
		return "/"
	}
	return address
}

const noticeCookie = "pixel_notice"

// notice leaves a sentence for the next page that is shown.
func (a *Admin) notice(c *echo.Context, text string) {
	c.SetCookie(&http.Cookie{Name: noticeCookie, Value: url.QueryEscape(text), Path: "/", MaxAge: 60, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: a.sessions.Cookie.Secure})
}

// done goes to a page that says what was done.
func (a *Admin) done(c *echo.Context, to, notice string) error {
	a.notice(c, notice)
	if c.Request().Header.Get("HX-Request") != "" {
		// A script would follow the redirect itself, and put the page into the page.
		c.Response().Header().Set("HX-Redirect", to)
		return c.NoContent(http.StatusOK)
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// takeNotice is what done left, once. A part of a page that refreshes itself
// must not take it away.
func (a *Admin) takeNotice(c *echo.Context) string {
	cookie, err := c.Cookie(noticeCookie)
	if err != nil || cookie.Value == "" || c.Request().Header.Get("HX-Request") != "" {
		return ""
	}
	c.SetCookie(&http.Cookie{Name: noticeCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: a.sessions.Cookie.Secure})
	text, err := url.QueryUnescape(cookie.Value)
	if err != nil {
		return ""
	}
	return short(text, 400)
}

func (a *Admin) static(c *echo.Context) error {
	f, ok := a.views.assets[c.Param("*")]
	if !ok {
		return echo.ErrNotFound
	}
	h := c.Response().Header()
	h.Set("ETag", `"`+f.version+`"`)
	if c.QueryParam("v") == f.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if slices.Contains(c.Request().Header.Values("If-None-Match"), `"`+f.version+`"`) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, f.kind, f.body)
}

func (a *Admin) favicon(c *echo.Context) error {
	f := a.views.assets["icon.svg"]
	return c.Blob(http.StatusOK, f.kind, f.body)
}

func (v *views) funcs() template.FuncMap {
	return template.FuncMap{
		"asset": func(name string) (string, error) {
			f, ok := v.assets[name]
			if !ok {
				return "", errors.New("no static file " + name)
			}
			return "/static/" + name + "?v=" + f.version, nil
		},
		"seg":      url.PathEscape,
		"find":     v.handle,
		"ago":      func(t time.Time) string { return ago(v.now(), t) },
		"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"day":      func(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04") },
		"num":      number,
		"pct":      percent,
		"age":      age,
		"ms":       milliseconds,
		"money":    money,
		"count":    count,
		"count64":  func(n int64, noun string) string { return count(int(n), noun) },
		"sum":      func(a, b int64) int64 { return a + b },
		"pagePath": pagePath,
		"short":    short,
		"list":     list,
		"join":     strings.Join,
		"json":     indented,
		"dict":     dict,
		"has":      func(list any, v string) bool { l, _ := list.([]string); return slices.Contains(l, v) },
		"add":      func(a, b int) int { return a + b },
		"device":   device,
		"soft":     soft,
		"tie":      tie,
		"said":     func(field, wrong string) complaint { return complaint{"e-" + field, wrong} },
		"wrongIn":  wrongIn,
		"explain":  explain,
		// times is the width of a share, or of two together, of 100.
		"times": func(a, b float64) string { return strconv.FormatFloat((a+b)*100, 'f', 2, 64) },
		"share": func(n, of float64) string { return strconv.FormatFloat(100*n/max(of, 1), 'f', 2, 64) },
		// words is a dimension's name for people.
		"words": dimensionWords,
		"ratio": func(n, of int64) string { return percent(float64(n) / float64(max(of, 1))) },
		"bar64": func(n, of int64) string {
			return strconv.FormatFloat(100*float64(n)/float64(max(of, 1)), 'f', 2, 64)
		},
		"bar": func(n, of int) string {
			return strconv.FormatFloat(100*float64(n)/float64(max(of, 1)), 'f', 2, 64)
		},
		"checkIcon": func(status string) string {
			return map[string]string{good: "check", careful: "info", wrong: "alert", pending: "wait"}[status]
		},
		"checkWord": func(status string) string {
			return map[string]string{good: "fine", careful: "worth a look", wrong: "wrong", pending: "waiting"}[status]
		},
		"spans": func() [][2]string {
			return [][2]string{{"1h", "Last hour"}, {"24h", "Last 24 hours"}, {"7d", "Last 7 days"}, {"30d", "Last 30 days"}}
		},
	}
}

// dict makes a map for a shared part that needs more than one value.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict needs pairs")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, errors.New("dict needs names")
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// complaint is what is wrong with a field, and the id that it stands under.
type complaint struct{ ID, Text string }

// tie makes the attributes that tie a field to its help and to what is wrong with it, as
// the template "err" shows that. The first wrong field of a page has the focus.
func tie(field, wrong string, help ...string) template.HTMLAttr {
	ids := slices.DeleteFunc(slices.Clone(help), func(id string) bool { return id == "" })
	attrs := ""
	if wrong != "" {
		attrs, ids = `aria-invalid="true" autofocus `, append(ids, "e-"+field)
	}
	if len(ids) == 0 {
		return ""
	}
	return template.HTMLAttr(attrs + `aria-describedby="` + template.HTMLEscapeString(strings.Join(ids, " ")) + `"`) //nolint:gosec // the ids are escaped
}

// wrongIn reports whether something is wrong with any of these fields.
func wrongIn(bad map[string]string, fields ...string) bool {
	return slices.ContainsFunc(fields, func(f string) bool { return bad[f] != "" })
}

func dimensionWords(d string) string {
	known := map[string]string{
		"pixel_id": "pixel", "name": "event", "os": "system", "referrer_kind": "kind of referrer", "referrer_host": "referrer", "utm_source": "campaign source",
		"utm_medium": "campaign medium", "utm_campaign": "campaign", "page_path": "page", "source": "way in",
	}
	return cmp.Or(known[d], d)
}
