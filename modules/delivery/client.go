package delivery

import (
	"net"
	"net/http"
	"time"
)

// maxAnswer is how much of an answer is read.
const maxAnswer = 1 << 20

// NewClient returns a client for one partner: connections are kept, none is
// shared with another partner, and a dead server is given up soon.
func NewClient(connections int) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{
		CheckRedirect: stay,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			ExpectContinueTimeout:  time.Second,
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConns:           connections + 2,
			MaxIdleConnsPerHost:    connections + 2,
			MaxConnsPerHost:        connections + 2,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// stay follows a redirect only where it keeps the method, host and scheme:
// anywhere else it would hand personal data to somebody who was not agreed upon,
// or turn the POST into a GET.
func stay(next *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || next.Method != first.Method || next.URL.Host != first.URL.Host || next.URL.Scheme != first.URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}
