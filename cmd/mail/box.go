package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/store"
)

// boxCommand is `mail box`.
func (e *env) boxCommand() *cli.Command {
	return e.group("box", "read and convert mail on this machine: Maildir, mbox, eml",
		e.boxListCommand(),
		e.boxCatCommand(),
		e.boxConvertCommand(),
		e.boxDedupeCommand(),
	)
}

// boxSourceHelp is the part of the help about sources.
const boxSourceHelp = "SRC is maildir:DIR, mbox:FILE, eml:DIR, or a path, of which the kind is recognised. mbox: reads mboxrd, and " +
	"files written with less care. mboxo:FILE takes `>From ` for `From `; mboxcl:FILE is read like mbox:, mboxcl2:FILE believes Content-Length, which is " +
	"not done unasked, since the sender of a message can set it."

// openBox opens a source. What is no mail is bad data.
func (c *call) openBox(src string) (*store.Source, error) {
	s, err := store.OpenSource(src)
	return s, boxData(err)
}

// boxData marks an error about a source.
func boxData(err error) error {
	var bad *store.Error
	if errors.As(err, &bad) {
		return codef(exitData, "%v", err) // whatever else is in it
	}
	return err
}

// boxObject is one message in --json output; the names are those of JMAP where it has them (RFC 8621 §4.1).
type boxObject struct {
	Number     int             `json:"number,omitempty"`
	Path       string          `json:"path"`
	Size       int64           `json:"size"` // in wire form
	ReceivedAt string          `json:"receivedAt,omitempty"`
	SentAt     string          `json:"sentAt,omitempty"`
	Keywords   map[string]bool `json:"keywords,omitempty"`
	MessageID  []string        `json:"messageId,omitempty"`
	From       []popAddress    `json:"from,omitempty"`
	Subject    *string         `json:"subject,omitempty"`
}

// boxMoved is a message that was stored elsewhere, or is there twice.
type boxMoved struct {
	Path   string `json:"path,omitempty"`
	From   string `json:"copyOf,omitempty"`
	To     string `json:"movedTo,omitempty"`
	DryRun bool   `json:"dryRun,omitempty"`
}

func newBoxObject(number int, m *store.Message, s popSummary) boxObject {
	var named popObject
	s.fill(&named)
	o := boxObject{Number: number, Path: valid(m.Path), Size: m.WireSize(), SentAt: named.SentAt, From: named.From, Subject: named.Subject}
	if !m.Meta.Date.IsZero() {
		o.ReceivedAt = m.Meta.Date.UTC().Format(time.RFC3339)
	}
	o.Keywords = make(map[string]bool, len(m.Meta.Flags))
	for _, f := range m.Meta.Flags {
		name, system := systemKeywords[imapwire.Flag(f)]
		if !system {
			name = valid(strings.ToLower(f))
		}
		o.Keywords[name] = true
	}
	if h, err := m.Header(); err == nil {
		id, _ := h.Get("Message-ID")
		o.MessageID = messageIDs(id)
	}
	return o
}

// boxCount says how many messages: "1 message", "2 messages".
func boxCount(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}
