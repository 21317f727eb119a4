package sampling

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Outside takes up traces that began with a caller: in the tag, which says so in the address,
// since a header of its own would make a browser ask first; or on somebody's server, by the
// header. Anybody can say so, and each costs us what a trace costs, so only so many a second
// are believed. The others are traced as if nothing had been said. A nil one believes nobody.
type Outside struct{ believed *rate.Limiter }

// NewOutside believes so many traces a second, and twice as many at once; 0: nil, none.
func NewOutside(perSecond float64) *Outside {
	if perSecond <= 0 {
		return nil
	}
	return &Outside{rate.NewLimiter(rate.Limit(perSecond), max(1, int(2*perSecond)))}
}

// Above is a request's context, with the caller's span above whatever starts in it.
func (o *Outside) Above(r *http.Request) context.Context {
	ctx := r.Context()
	if o == nil {
		return ctx
	}
	said := r.Header.Get("Traceparent")
	if said == "" {
		if said = ofAddress(r); said == "" {
			return ctx
		}
	}
	sc, ok := parse(said)
	if !ok || !o.believed.Allow() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, sc)
}

// FromTag reports whether the trace that a request is part of began in the tag. Nobody else
// tells of the tag's part.
func FromTag(r *http.Request) (trace.SpanContext, bool) {
	if r.Header.Get("Traceparent") != "" {
		return trace.SpanContext{}, false
	}
	sc, ok := parse(ofAddress(r))
	return sc, ok && trace.SpanContextFromContext(r.Context()).TraceID() == sc.TraceID()
}

func ofAddress(r *http.Request) string {
	const name = "traceparent="
	for q := r.URL.RawQuery; q != ""; {
		var one string
		one, q, _ = strings.Cut(q, "&")
		if said, ok := strings.CutPrefix(one, name); ok {
			return said
		}
	}
	return ""
}

// parse reads a traceparent as the W3C wants it of version 00, to the letter, if it says that
// the trace is sampled. Whoever says that it is not is not heard: it would keep his requests
// out of the share that we look at.
func parse(s string) (trace.SpanContext, bool) {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return trace.SpanContext{}, false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return trace.SpanContext{}, false
		}
	}
	var c trace.SpanContextConfig
	var flags [1]byte
	for _, part := range []struct {
		to   []byte
		text string
	}{{c.TraceID[:], s[3:35]}, {c.SpanID[:], s[36:52]}, {flags[:], s[53:]}} {
		if _, err := hex.Decode(part.to, []byte(part.text)); err != nil {
			return trace.SpanContext{}, false
		}
	}
	c.TraceFlags, c.Remote = trace.FlagsSampled, true
	sc := trace.NewSpanContext(c)
	return sc, flags[0]&1 == 1 && sc.IsValid()
}
