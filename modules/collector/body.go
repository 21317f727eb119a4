package collector

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
)

const (
	// politeBody is the most that is read off a connection for one request, be it
	// only to throw it away.
	politeBody = 16 << 20
	// firstRead is what a body's buffer starts with, and keptRead the largest
	// buffer that is used again.
	firstRead, keptRead = 4 << 10, 64 << 10
)

var errTooLarge = errors.New("too large")

// body is a request's body, decompressed. Release it once nothing points at it.
type body struct {
	bytes    []byte
	reserved int64
	buffer   *[]byte
}

// readBody reads a body of at most limit bytes. Where it is larger it returns
// what fits along with errTooLarge, so that the refusal can name the pixel.
func (c *Collector) readBody(ec *echo.Context, limit int64) (body, error) {
	r := ec.Request()
	if err := contentType(r.Header.Get("Content-Type")); err != nil {
		return body{}, err
	}
	var from io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return body{}, badGzip(err)
		}
		defer z.Close()
		from = z
	default:
		return body{}, httpserver.NewProblem(http.StatusUnsupportedMediaType, "unsupported_encoding", "the body must be plain or gzip")
	}
	return c.fill(from, limit)
}

func (c *Collector) fill(from io.Reader, limit int64) (body, error) {
	buffer, _ := c.bodies.Get().(*[]byte)
	if buffer == nil {
		fresh := make([]byte, 0, firstRead)
		buffer = &fresh
	}
	b := body{bytes: (*buffer)[:0], buffer: buffer}
	if !b.reserve(&c.room, int64(cap(b.bytes))) {
		c.release(&b)
		return body{}, busy()
	}
	for {
		if len(b.bytes) == cap(b.bytes) {
			// Doubling as the bytes come, so that nobody reserves with a header
			// what was never sent.
			if !b.reserve(&c.room, int64(cap(b.bytes))) {
				c.release(&b)
				return body{}, busy()
			}
			grown := make([]byte, len(b.bytes), 2*cap(b.bytes))
			copy(grown, b.bytes)
			b.bytes = grown
			*b.buffer = grown
		}
		n, err := from.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if int64(len(b.bytes)) > limit {
			b.bytes = b.bytes[:limit]
			return b, errTooLarge
		}
		switch {
		case err == io.EOF:
			return b, nil
		case err != nil:
			c.release(&b)
			return body{}, readError(err)
		}
	}
}

func (b *body) reserve(r *room, n int64) bool {
	if !r.take(n) {
		return false
	}
	b.reserved += n
	return true
}

func (c *Collector) release(b *body) {
	c.room.give(b.reserved)
	if b.buffer != nil && cap(*b.buffer) <= keptRead {
		c.bodies.Put(b.buffer)
	}
	*b = body{}
}

// readError tells a bad body from a connection that broke.
func readError(err error) error {
	for _, bad := range []error{gzip.ErrHeader, gzip.ErrChecksum, io.ErrUnexpectedEOF} {
		if errors.Is(err, bad) {
			return badGzip(err)
		}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if strings.HasPrefix(err.Error(), "flate: ") {
		return badGzip(err)
	}
	return httpserver.NewProblem(http.StatusBadRequest, "incomplete", "the body did not arrive whole")
}

func badGzip(error) error {
	return httpserver.NewProblem(http.StatusBadRequest, "malformed_body", "the body is not what its length and encoding say")
}

func busy() error {
	return &httpserver.Problem{
		Status: http.StatusServiceUnavailable, Code: "busy", RetryAfter: retryAfter,
		Detail: "too much waits to be stored; send it again later",
	}
}

// contentType takes JSON under its own name and under that of plain text, which
// is how sendBeacon sends a string; and under none, as some clients do.
func contentType(header string) error {
	switch header {
	case "", "application/json", "text/plain", "text/plain;charset=UTF-8", "application/json; charset=utf-8":
		return nil // without the parser: nearly all are one of these
	}
	kind, params, err := mime.ParseMediaType(header)
	if err == nil && (kind == "application/json" || kind == "text/plain") {
		switch strings.ToLower(params["charset"]) {
		case "", "utf-8", "utf8", "us-ascii":
			return nil
		}
	}
	return httpserver.NewProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body must be application/json or text/plain, in UTF-8")
}
