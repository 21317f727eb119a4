package httpserver

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// calmly starts a calm server, and returns a connection to it.
func calmly(t *testing.T, h http.HandlerFunc, set func(*http.Server)) (net.Conn, *bufio.Reader) {
	t.Helper()
	s := NewServer(h, "collector.addr", "127.0.0.1:0", slog.New(slog.DiscardHandler)).Calm()
	if set != nil {
		set(s.http)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(t.Context()) })
	return dialed(t, s.Addr())
}

func dialed(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

func said(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func repeat(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = w.Write(b)
}

func post(body string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + string('0'+rune(len(body))) + "\r\n\r\n" + body
}

func TestACalmServerAnswersWhatComesTogetherInPiecesAndInChunks(t *testing.T) {
	c, r := calmly(t, repeat, nil)
	all := post("one") + post("two") + post("") + "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nf\r\n3\r\nour\r\n0\r\n\r\n" + post("five")
	if _, err := io.WriteString(c, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two", "", "four", "five"} {
		if got := said(t, r); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	// A byte at a time, so that most reads find one.
	for _, b := range []byte(all) {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"one", "two", "", "four", "five"} {
		if got := said(t, r); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

func TestACalmServerReadsALongHeaderWhereverItIsCut(t *testing.T) {
	c, r := calmly(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.RawQuery) }, nil)
	query := strings.Repeat("long", 4<<10)
	request := "GET /?" + query + " HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, cut := range []int{4094, 4095, 4096, 8191, len(request) - 1} {
		for _, part := range []string{request[:cut], request[cut:]} {
			if _, err := io.WriteString(c, part); err != nil {
				t.Fatal(err)
			}
			<-time.After(20 * time.Millisecond) // so that it comes alone
		}
		if said(t, r) != query {
			t.Fatalf("cut at %d it is not read", cut)
		}
	}
}

func TestACalmServerGoesOnWhenItsClientHasGone(t *testing.T) {
	began, gone, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	c, _ := calmly(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		close(began)
		<-gone
		ended <- r.Context().Err()
	}, nil)
	if _, err := io.WriteString(c, post("x")); err != nil {
		t.Fatal(err)
	}
	<-began
	c.Close()
	close(gone)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestACalmServerStillCutsOffWhoIsSlow(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(*http.Server)
		sent string
	}{
		"half a header":           {func(s *http.Server) { s.ReadHeaderTimeout = 50 * time.Millisecond }, "POST / HTTP/1.1\r\nHos"},
		"half a body":             {func(s *http.Server) { s.ReadTimeout = 50 * time.Millisecond }, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhal"},
		"a second that is a half": {func(s *http.Server) { s.ReadHeaderTimeout = 50 * time.Millisecond }, post("one") + "POST / HT"},
		"nothing more":            {func(s *http.Server) { s.IdleTimeout = 50 * time.Millisecond }, post("one")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := calmly(t, repeat, tt.set)
			if _, err := io.WriteString(c, tt.sent); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") { // it hangs here where nobody cuts it off
				t.Fatal(err)
			}
		})
	}
}
