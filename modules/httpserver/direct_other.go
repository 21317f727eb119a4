//go:build !linux

package httpserver

import "net"

// direct is for where we are deployed, see direct_linux.go.
func direct(tcp *net.TCPConn) net.Conn { return tcp }
