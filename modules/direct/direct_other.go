//go:build !linux

// Package direct is for Linux, see direct_linux.go.
package direct

import "net"

// Conn returns c.
func Conn(c net.Conn) net.Conn { return c }
