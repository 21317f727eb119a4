package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// response holds the answer back until it is long enough, so that most errors
// still get a status of their own, and then streams it.
type response struct {
	w          http.ResponseWriter
	ctl        *http.ResponseController
	tag        string
	held       bytes.Buffer
	limit      int
	begun      bool
	sink       io.Writer // where the bytes of the result go
	frames     *frameWriter
	encoder    io.WriteCloser
	encoding   string
	frameKind  string
	compressed bool
	ended      bool
}

func (o *response) init(w http.ResponseWriter, r *http.Request, params url.Values) {
	o.w, o.ctl = w, http.NewResponseController(w)
	o.limit = bufferedAtFirst
	if n, err := strconv.Atoi(params.Get("buffer_size")); err == nil && n > o.limit {
		o.limit = n
	}
	if truthy(params.Get("wait_end_of_query")) {
		o.limit = 1 << 62
	}
	o.compressed = truthy(params.Get("compress"))
	o.frameKind = strings.ToUpper(params.Get("network_compression_method"))
	if v := params.Get("enable_http_compression"); v == "" || truthy(v) {
		accept := r.Header.Get("Accept-Encoding")
		for _, enc := range []string{"br", "zstd", "gzip", "deflate", "lz4"} {
			if slices.ContainsFunc(strings.Split(accept, ","), func(s string) bool {
				name, _, _ := strings.Cut(s, ";")
				return strings.TrimSpace(name) == enc
			}) {
				o.encoding = enc
				break
			}
		}
	}
	var tag [8]byte
	rand.Read(tag[:])
	o.tag = hex.EncodeToString(tag[:])
	h := w.Header()
	h["X-ClickHouse-Exception-Tag"] = one(o.tag)
	h.Set("Content-Type", "text/plain; charset=UTF-8")
}

func (o *response) format(name string) {
	h := o.w.Header()
	h["X-ClickHouse-Format"] = one(name)
	kind := "text/plain; charset=UTF-8"
	switch l := strings.ToLower(name); {
	case strings.HasPrefix(l, "tsv"), strings.HasPrefix(l, "tabseparated"):
		kind = "text/tab-separated-values; charset=UTF-8"
	case strings.HasPrefix(l, "csv"):
		kind = "text/csv; charset=UTF-8; header=absent"
		if strings.Contains(l, "withnames") {
			kind = "text/csv; charset=UTF-8; header=present"
		}
	case strings.HasPrefix(l, "json") && strings.Contains(l, "eachrow"), l == "ndjson", l == "jsonlines":
		kind = "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(l, "json"):
		kind = "application/json; charset=UTF-8"
	case l == "xml":
		kind = "application/xml; charset=UTF-8"
	case l == "markdown":
		kind = "text/markdown; charset=UTF-8"
	case l == "native", strings.HasPrefix(l, "rowbinary"), strings.HasPrefix(l, "arrow"), l == "parquet", l == "orc", l == "avro", l == "msgpack":
		kind = "application/octet-stream"
	}
	h.Set("Content-Type", kind)
}

// begin sends the headers and what was held back.
func (o *response) begin(status int) error {
	o.begun = true
	o.sink = o.w
	h := o.w.Header()
	if o.encoding != "" {
		h.Set("Content-Encoding", o.encoding)
		h.Del("Content-Length")
		switch o.encoding {
		case "br":
			o.encoder = brotli.NewWriterLevel(o.w, 3)
		case "zstd":
			z, err := zstd.NewWriter(o.w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
			if err != nil {
				return err
			}
			o.encoder = z
		case "gzip":
			o.encoder, _ = gzip.NewWriterLevel(o.w, 3)
		case "deflate":
			o.encoder, _ = zlib.NewWriterLevel(o.w, 3)
		case "lz4":
			o.encoder = lz4.NewWriter(o.w)
		}
		o.sink = o.encoder
	}
	if o.compressed {
		o.frames = newFrameWriter(o.sink, o.frameKind)
		o.sink = o.frames
	}
	o.w.WriteHeader(status)
	_, err := o.sink.Write(o.held.Bytes())
	o.held = bytes.Buffer{}
	return err
}

func (o *response) write(p []byte) error {
	if !o.begun {
		if o.held.Len()+len(p) <= o.limit {
			o.held.Write(p)
			return nil
		}
		if err := o.begin(http.StatusOK); err != nil {
			return err
		}
	}
	if _, err := o.sink.Write(p); err != nil {
		return err
	}
	return o.flush()
}

func (o *response) flush() error {
	if o.frames != nil {
		if err := o.frames.Flush(); err != nil {
			return err
		}
	}
	if f, ok := o.encoder.(interface{ Flush() error }); ok {
		if err := f.Flush(); err != nil {
			return err
		}
	}
	return o.ctl.Flush()
}

func (o *response) close() {
	if o.ended {
		return
	}
	o.ended = true
	if o.frames != nil {
		o.frames.Flush()
	}
	if o.encoder != nil {
		o.encoder.Close()
	}
}

func (o *response) finish(st *stats) {
	if !o.begun {
		h := o.w.Header()
		num := func(n uint64) string { return strconv.FormatUint(n, 10) }
		summary, _ := json.Marshal(map[string]string{
			"read_rows": num(st.readRows), "read_bytes": num(st.readBytes),
			"written_rows": num(st.writtenRows), "written_bytes": num(st.writtenBytes),
			"total_rows_to_read": num(st.readRows),
			"result_rows":        num(st.resultRows), "result_bytes": num(st.resultBytes),
			"elapsed_ns": num(uint64(st.seconds * 1e9)),
		})
		h["X-ClickHouse-Summary"] = one(string(summary))
		if o.held.Len() == 0 {
			o.encoding = ""
		}
		if !o.compressed && o.encoding == "" {
			h.Set("Content-Length", strconv.Itoa(o.held.Len()))
		}
		if o.begin(http.StatusOK) != nil {
			return
		}
	}
	o.close()
}

// exception answers with an error status, or, once the response has begun,
// appends the exception block and cuts the connection.
func (o *response) exception(code, text string) {
	if !o.begun {
		h := o.w.Header()
		h["X-ClickHouse-Exception-Code"] = one(code)
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		delete(h, "X-ClickHouse-Format")
		if code == "194" || code == "516" {
			h.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
		}
		o.held.Reset()
		o.held.WriteString(text + "\n")
		o.encoding = ""
		if !o.compressed {
			h.Set("Content-Length", strconv.Itoa(o.held.Len()))
		}
		if o.begin(httpStatus(code)) == nil {
			o.close()
		}
		return
	}
	text += "\n"
	if o.frames != nil { // stored as it is, so that a client finds it in the raw bytes too
		o.frames.Flush()
		o.frames.method = methodNone
	}
	fmt.Fprintf(o.sink, "\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n", o.tag, text, len(text), o.tag)
	o.close()
	o.ctl.Flush()
	panic(errAbort)
}

// one is a header value under a name that keeps the server's own spelling.
func one(s string) []string { return []string{s} }

func truthy(s string) bool { return s == "1" || strings.EqualFold(s, "true") }

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
