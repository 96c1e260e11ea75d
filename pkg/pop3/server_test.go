package pop3

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/server"
)

// box is our own server with one maildrop, alice's.
type box struct {
	*server.Server
	inbox server.Mailbox
}

// serveBox offers no TLS and no SASL, so that a session says the same every time.
func serveBox(t testing.TB, without ...string) *box {
	t.Helper()
	srv, err := server.Start(context.Background(), server.Options{
		Users: []server.User{{Name: "alice", Password: canary}}, POP3: "127.0.0.1:0", AllowCleartextLogin: true,
		Without: append(without, "SASL", "APOP"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return boxOf(t, srv)
}

func boxOf(t testing.TB, srv *server.Server) *box {
	t.Helper()
	account, err := srv.Store().Account("alice")
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := account.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return &box{srv, inbox}
}

// fill makes these messages, and no others, be in the maildrop.
func (b *box) fill(t testing.TB, messages []string) {
	t.Helper()
	var old []uint32
	for _, m := range b.inbox.Messages() {
		old = append(old, m.UID)
	}
	added := make([]server.NewMessage, len(messages))
	for i, m := range messages {
		added[i] = server.NewMessage{Body: strings.NewReader(m), Date: time.Unix(1_800_000_000, 0)}
	}
	_, err := b.inbox.Expunge(old)
	if err == nil {
		_, err = b.inbox.Append(context.Background(), added)
	}
	if err != nil {
		t.Fatal(err)
	}
}
