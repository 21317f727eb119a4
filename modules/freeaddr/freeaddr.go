// Package freeaddr finds addresses for the servers that tests and benchmarks start,
// kill and start again.
package freeaddr

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Addresses are taken below the ports that systems give to connections that go out
// (from 32768 on Linux, from 49152 elsewhere): a server that is dead for a while would
// else find, on a busy machine, that a client's connection sits on its port.
const first, last = 20000, 32000

// Pick returns an address of this machine that nobody listens on.
func Pick() (string, error) {
	var errs error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
		errs = errors.Join(errs, err)
	}
	return "", errs
}
