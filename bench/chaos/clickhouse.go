package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/miq/pixel/modules/freeaddr"
)

// engineScript is the ClickHouse of the tests: the real engine behind an HTTP
// server of ours.
const engineScript = "modules/clickhousetest/server/run"

// clickhouse starts the engine with our tables in it, and returns the setting that
// leads there.
func (s *stand) clickhouse(ctx context.Context) (string, error) {
	script, err := above(engineScript)
	if err != nil {
		return "", err
	}
	if said, err := exec.CommandContext(ctx, script, "--prepare").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: there is no ClickHouse engine: %w: %.300s", errNotHere, err, said)
	}
	addr, err := freeaddr.Pick()
	if err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(addr)
	s.engine = &process{
		name: "clickhouse", addr: addr, path: script, log: filepath.Join(s.dir, "clickhouse.log"),
		args:  []string{"--port", port, "--path", filepath.Join(s.dir, "clickhouse")},
		ready: answers("http://" + addr + "/ping"),
	}
	if err := s.engine.start(ctx); err != nil {
		return "", err
	}
	dsn := "--clickhouse.dsn=http://" + addr + "/default"
	migrate := exec.CommandContext(ctx, s.binary, "migrate", "--data_dir="+filepath.Join(s.dir, "migrate"), "--secret_key="+secret, dsn)
	if said, err := migrate.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pixel migrate: %w: %s", err, said)
	}
	return dsn, nil
}

// above finds a file of the repository in whose folders we run.
func above(path string) (string, error) {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, path)); err == nil {
			return filepath.Join(dir, path), nil
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("%w: %s is not above this folder", errNotHere, path)
}
