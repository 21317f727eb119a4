package contracttest

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// Handler is next, with everything that passes held against the document.
func (c *Contract) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/") {
			next.ServeHTTP(w, r)
			return
		}
		sent := whole(&r.Body)
		asked := r.Clone(r.Context())
		k := &keeper{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(k, r)
		c.check(exchange{asked, sent, k.status, w.Header(), k.body.Bytes(), r.Context().Err() != nil})
	})
}

// keeper keeps a copy of an answer.
type keeper struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (k *keeper) WriteHeader(status int) {
	k.status = status
	k.ResponseWriter.WriteHeader(status)
}

func (k *keeper) Write(b []byte) (int, error) {
	k.body.Write(b)
	return k.ResponseWriter.Write(b)
}

// Unwrap lets streams flush.
func (k *keeper) Unwrap() http.ResponseWriter { return k.ResponseWriter }

// Flush is for those who ask for it by its type.
func (k *keeper) Flush() {
	if f, ok := k.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Transport is base, with everything that passes held against the document. Of a
// stream only the head is looked at.
func (c *Contract) Transport(base http.RoundTripper) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		sent := whole(&r.Body)
		resp, err := base.RoundTrip(r)
		if err != nil {
			return resp, err
		}
		x := exchange{r: r, sent: sent, status: resp.StatusCode, header: resp.Header}
		if x.partial = strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream"); !x.partial {
			x.answer = whole(&resp.Body)
		}
		c.check(x)
		return resp, nil
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// whole reads a body and puts it back.
func whole(body *io.ReadCloser) []byte {
	if *body == nil || *body == http.NoBody {
		return nil
	}
	b, err := io.ReadAll(*body)
	rest := *body
	*body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(b), failing{err}), rest}
	return b
}

// failing ends a body as it ended.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}
