package collector

import (
	"bytes"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/labstack/echo/v5"
)

// Tag is the browser's side, as package sdk has it.
type Tag struct {
	Version string
	Script  []byte            // the classic script
	Module  []byte            // the ES module
	Types   []byte            // its TypeScript types
	Parts   map[string][]byte // what the script loads where a page needs it, by name
}

const (
	// forever is for addresses that name a version: what they serve never changes.
	forever = "public, max-age=31536000, immutable"
	// fresh is for those that do not: pages get a new version within minutes.
	fresh = "public, max-age=300, stale-while-revalidate=86400"
)

// asset is one file, compressed once.
type asset struct {
	contentType  string
	plain, small []byte
	tag          string
	cacheControl string
}

type assets struct{ byPath map[string]asset }

func newAssets(t Tag) *assets {
	const js, ts = "text/javascript; charset=utf-8", "text/plain; charset=utf-8"
	all := &assets{byPath: map[string]asset{}}
	add := func(path, contentType string, body []byte, cacheControl string) {
		if len(body) > 0 {
			all.byPath[path] = asset{contentType, body, compressed(body), etag(body), cacheControl}
		}
	}
	versioned := "/sdk/" + t.Version
	add("/sdk.js", js, t.Script, fresh)
	add(versioned+".js", js, t.Script, forever)
	for name, part := range t.Parts {
		add(versioned+"/"+name+".js", js, part, forever)
	}
	add("/sdk.mjs", js, t.Module, fresh)
	add(versioned+".mjs", js, t.Module, forever)
	add("/sdk.d.ts", ts, t.Types, fresh)
	add(versioned+".d.ts", ts, t.Types, forever)
	return all
}

func (a *assets) handlers() map[string]echo.HandlerFunc {
	m := make(map[string]echo.HandlerFunc, len(a.byPath))
	for path, file := range a.byPath {
		m[path] = file.serve
	}
	return m
}

func (a asset) serve(ec *echo.Context) error {
	public(ec)
	h := ec.Response().Header()
	h.Set("Cache-Control", a.cacheControl)
	h.Add("Vary", "Accept-Encoding")
	if len(a.small) > 0 && acceptsGzip(ec.Request().Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		// Another encoding is another representation, which has a tag of its own.
		return tagged(ec, a.contentType, a.small, strings.TrimSuffix(a.tag, `"`)+`-gz"`)
	}
	return tagged(ec, a.contentType, a.plain, a.tag)
}

func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q = strings.ReplaceAll(q, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.000") && q != "q=0.0" && q != "q=0.00"
		}
	}
	return false
}

func compressed(body []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := z.Write(body); err != nil || z.Close() != nil {
		return nil
	}
	return b.Bytes()
}
