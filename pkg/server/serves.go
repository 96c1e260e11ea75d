package server

import (
	"context"
	"time"
)

// Serves reports whether this build serves a protocol: "smtp", "lmtp", "pop3", "imap".
func Serves(proto string) bool {
	_, ok := protocols()[proto]
	return ok
}

// WaitIdle waits until there has been a session and none is left, or until ctx ends, whose error it returns then.
func (srv *Server) WaitIdle(ctx context.Context) error {
	for {
		srv.mu.Lock()
		idle := srv.lastID > 0 && len(srv.sessions) == 0
		srv.mu.Unlock()
		if idle {
			return nil
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
}
