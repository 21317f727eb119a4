package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a program that can be killed and started again as it was.
type process struct {
	name string
	addr string // where it listens, if it is one of Redis
	path string
	args []string
	env  []string
	log  string // where it writes what it says
	// ready reports whether it does its work.
	ready func(context.Context) error

	cmd  *exec.Cmd
	done chan struct{}
}

func (p *process) start(ctx context.Context) error {
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Dir = filepath.Dir(p.log)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	p.done = done
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(done)
	}(p.cmd)
	return p.await(ctx)
}

// await waits until it is ready.
func (p *process) await(ctx context.Context) error {
	return until(ctx, time.Minute, p.name+" is ready", func() error {
		select {
		case <-p.done:
			return fmt.Errorf("it ended: %s", p.said(2000))
		default:
			return p.ready(ctx)
		}
	})
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// restart is a crash and the supervisor's answer to it.
func (p *process) restart(ctx context.Context, away time.Duration) error {
	p.kill()
	pause(ctx, away)
	return p.start(ctx)
}

// freeze stops it for a while as a machine that swaps or migrates does.
func (p *process) freeze(ctx context.Context, d time.Duration) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, d)
	return p.signal(syscall.SIGCONT)
}

// said is the end of what it wrote.
func (p *process) said(n int) string {
	b, _ := os.ReadFile(p.log)
	return string(bytes.ToValidUTF8(b[max(0, len(b)-n):], []byte("?")))
}

func until(ctx context.Context, patience time.Duration, what string, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s: %w", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %d", url, resp.StatusCode)
		}
		return nil
	}
}
