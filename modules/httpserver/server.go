package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Server serves a handler on one address.
type Server struct {
	setting  string
	addr     string
	log      *slog.Logger
	http     *http.Server
	calm     bool
	draining chan struct{}
	drain    sync.Once

	mu       sync.Mutex
	listener net.Listener
	done     chan struct{}
}

// NewServer returns a server that does not listen yet, on the address of a setting.
func NewServer(h http.Handler, setting, addr string, log *slog.Logger) *Server {
	s := &Server{setting: setting, addr: addr, log: log, http: server(h, log), draining: make(chan struct{})}
	s.http.BaseContext = func(net.Listener) context.Context {
		return context.WithValue(context.Background(), drainKey{}, s.draining)
	}
	return s
}

// Calm makes a server, before its start, whose requests are answered also when nobody waits
// any more: a request's context does not end when its client hangs up. See calm.
func (s *Server) Calm() *Server {
	s.calm = true
	return s
}

// Start listens and returns; a port that is taken is an error here, not later.
func (s *Server) Start(ctx context.Context) error {
	l, err := Listen(ctx, s.setting, s.addr)
	if err != nil {
		return err
	}
	if s.calm {
		l = calm{l}
	}
	s.mu.Lock()
	s.listener, s.done = l, make(chan struct{})
	s.mu.Unlock()
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("server ended", "addr", l.Addr().String(), "error", err)
		}
	}()
	return nil
}

// Listen listens on the address of a setting. Its error says which that is, and what to do.
func Listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err == nil {
		return l, nil
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // without the address, which we say
	}
	advice := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "; end what listens there, or choose another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "; choose an address of this machine, or :port for all"
	case errors.Is(err, syscall.EACCES):
		advice = "; choose a port from 1024 on, or let this user bind lower ones"
	}
	return nil, fmt.Errorf("%s: cannot listen on %s: %w%s", setting, addr, err, advice)
}

// Addr is the address bound, with the port that was chosen where ":0" was
// asked for; before Start it is the address asked for.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return s.addr
	}
	return s.listener.Addr().String()
}

// Stop takes no more requests and waits for those that run, for at most half of
// the time that ctx leaves: a client that sends slowly must not use up what the
// roles downstream need to end well. Then it cuts them off and says so.
func (s *Server) Stop(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok {
		half, cancel := context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
		ctx = half
	}
	s.mu.Lock()
	done := s.done
	s.mu.Unlock()
	if done == nil {
		return nil
	}
	s.drain.Do(func() { close(s.draining) })
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("drain %s: %w", s.Addr(), errors.Join(err, s.http.Close()))
	}
	<-done
	return err
}

type drainKey struct{}

// Draining is closed when the server that serves ctx's request begins to stop.
// A handler that streams must end then, or the stop waits for it.
func Draining(ctx context.Context) <-chan struct{} {
	ch, _ := ctx.Value(drainKey{}).(chan struct{})
	return ch
}
