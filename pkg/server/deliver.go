package server

import (
	"context"
	"io"
)

// Deliver puts a message, in wire form and without trace fields, into the INBOX that mail for rcpt goes to. It is
// durable on return as far as the store is.
func (srv *Server) Deliver(ctx context.Context, rcpt string, body io.Reader) error {
	u, err := srv.recipient(rcpt)
	if err != nil {
		return err
	}
	return srv.deliver(ctx, []delivery{{u, body}})
}

// delivery is a message for the INBOX of a user.
type delivery struct {
	user *User
	body io.Reader
}

// deliver puts each message into its INBOX: all of them or, after an error, none. See deliverAll.
func (srv *Server) deliver(ctx context.Context, mail []delivery) error {
	letters := make([]letter, len(mail))
	for i, d := range mail {
		account, err := srv.store.Account(d.user.Name)
		if err != nil {
			return err
		}
		box, err := account.Mailbox("INBOX")
		if err != nil {
			return err
		}
		letters[i] = letter{box, NewMessage{Body: d.body, Date: srv.options.Now()}}
	}
	return deliverAll(ctx, letters)
}
