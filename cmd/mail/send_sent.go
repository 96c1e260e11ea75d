package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// sentCopies stores copies of sent messages (--save-sent) in the accounts that sent them. It belongs to one goroutine
// at a time.
type sentCopies struct {
	c       *call
	mailbox string                  // "": the one that the server says is for sent mail
	boxes   map[string]*sentMailbox // by the account's name
}

// sentMailbox is where the copies of one account go.
type sentMailbox struct {
	target *config.Target
	client *imap.Client // nil until the first copy, and after an error
	name   string
}

// check finds the IMAP server of an account, so that a missing one is known before anything is sent.
func (s *sentCopies) check(of *config.Target) (*sentMailbox, error) {
	if box := s.boxes[of.Account]; box != nil {
		return box, nil
	}
	t, err := s.c.accountTarget(of.Account, wire.IMAP)
	if err != nil {
		return nil, fmt.Errorf("--save-sent: %w", err)
	}
	if s.boxes == nil {
		s.boxes = map[string]*sentMailbox{}
	}
	box := &sentMailbox{target: t, name: cmp.Or(s.mailbox, of.SentMailbox)}
	s.boxes[of.Account] = box
	return box, nil
}

// save stores a copy of m, marked as read, with its Bcc.
func (s *sentCopies) save(ctx context.Context, m *outgoing) error {
	box, err := s.check(m.route.target)
	if err != nil {
		return err
	}
	if err := s.put(ctx, box, m); err != nil {
		if box.client != nil {
			_ = box.client.Close()
			box.client = nil
		}
		return s.c.label(box.target, err)
	}
	return nil
}

func (s *sentCopies) put(ctx context.Context, box *sentMailbox, m *outgoing) error {
	if box.client == nil {
		client, err := s.c.loginIMAP(ctx, box.target)
		if err != nil {
			return err
		}
		box.client = client
	}
	if box.name == "" {
		name, err := findSent(ctx, box.client)
		if err != nil {
			return err
		}
		box.name = name
	}
	r, size, err := m.copyWithBcc()
	if err != nil {
		return err
	}
	_, err = box.client.Append(ctx, box.name, size, r, &imap.AppendOptions{Flags: []imap.Flag{imapwire.FlagSeen}, Date: s.c.now()})
	return err
}

// findSent is the mailbox with the attribute \Sent (RFC 6154 §2), or else one that is called as such mailboxes are.
func findSent(ctx context.Context, client *imap.Client) (string, error) {
	list, err := client.List(ctx, &imap.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, box := range list {
		if slices.ContainsFunc(box.Attrs, func(f imap.Flag) bool { return strings.EqualFold(string(f), `\Sent`) }) {
			return box.Name, nil
		}
	}
	for _, usual := range []string{"Sent", "Sent Items", "Sent Messages", "Sent Mail"} {
		for _, box := range list {
			if name := box.Name; strings.EqualFold(strings.TrimPrefix(name, "INBOX"+box.Delim), usual) {
				return name, nil
			}
		}
	}
	return "", &coded{exitNoInput, &usageError{msg: "the server does not say which mailbox is for sent mail", hint: "--sent-mailbox NAME says it"}}
}

func (s *sentCopies) close() {
	for _, box := range s.boxes {
		if box.client != nil {
			_ = box.client.Close()
		}
	}
}
