package wire

import (
	"net"
	"syscall"
)

// ackAtOnce has the kernel acknowledge what comes next without delay. A server whose small writes wait for that (RFC
// 896) sends its TLS tickets and then holds its greeting back for the 40 ms that an acknowledgement may take (RFC 1122
// §4.2.3.2). It lasts until something is sent.
func ackAtOnce(nc net.Conn) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // without it all is only slower
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
}
