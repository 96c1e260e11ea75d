package imap

import (
	"context"
	"errors"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// ListOptions say which mailboxes to list, and what to tell of them.
type ListOptions struct {
	Reference  string     // name that the pattern is relative to, mostly ""
	Pattern    string     // "*" stands for anything, "%" for anything but the separator; "" means "*"
	Subscribed bool       // only subscribed ones
	Status     StatusItem // what to ask about each mailbox that can be selected
}

// Mailbox is one mailbox of a listing.
type Mailbox struct {
	Name   string      // in UTF-8; INBOX is always in upper case
	Raw    string      // as the server writes it
	Delim  string      // hierarchy separator, "" for a flat name
	Attrs  []Flag      // attributes: \Noselect, \HasChildren, \Sent
	Status *StatusData // what was asked, nil when the server did not tell
}

// Has tells if the mailbox has an attribute, whatever its case.
func (m *Mailbox) Has(attr Flag) bool {
	for _, a := range m.Attrs {
		if a.Equal(attr) {
			return true
		}
	}
	return false
}

// Selectable tells if the mailbox can hold messages.
func (m *Mailbox) Selectable() bool { return !m.Has(`\Noselect`) && !m.Has(`\NonExistent`) }

// roles are the special uses (RFC 6154 §2) by their JMAP names (RFC 8621 §2).
var roles = []struct {
	attr Flag
	role string
}{
	{`\Sent`, "sent"}, {`\Drafts`, "drafts"}, {`\Trash`, "trash"}, {`\Junk`, "junk"}, {`\Archive`, "archive"},
	{`\All`, "all"}, {`\Flagged`, "flagged"}, {`\Important`, "important"},
}

// Role is the mailbox's special use: inbox, sent, drafts, trash, junk, archive,
// all, flagged, important, or "".
func (m *Mailbox) Role() string {
	if m.Name == "INBOX" {
		return "inbox"
	}
	for _, r := range roles {
		if m.Has(r.attr) {
			return r.role
		}
	}
	return ""
}

// maxListOctets bounds the names and attributes of one listing.
const maxListOctets = 64 << 20

// List lists mailboxes (RFC 9051 §6.3.9), in the server's order, each once.
// With LIST-STATUS it takes one round trip; else the STATUS commands go
// pipelined. A mailbox that refuses STATUS is listed without it.
func (c *Client) List(ctx context.Context, o *ListOptions) ([]Mailbox, error) {
	defer c.conn.Bind(ctx)()
	if o == nil {
		o = &ListOptions{}
	}
	if err := c.ready(authenticated, o.Reference, o.Pattern); err != nil {
		return nil, err
	}
	l := &lister{c: c, o: *o, at: make(map[string]int)}
	if l.o.Pattern == "" {
		l.o.Pattern = "*"
	}
	if err := l.list(); err != nil {
		return nil, err
	}
	if o.Status != 0 && !l.withStatus {
		if err := l.status(); err != nil {
			return nil, err
		}
	}
	return l.found, nil
}

type lister struct {
	c          *Client
	o          ListOptions
	found      []Mailbox
	at         map[string]int // where each name stands in found
	octets     int
	withStatus bool // STATUS comes with LIST
}

// list sends one LIST, in its extended form where that is offered. A server
// that offers it and then answers BAD is asked once more in the plain form.
func (l *lister) list() error {
	if l.c.has("LIST-EXTENDED") {
		err := l.c.run(l.command("list"), "LIST", l.extended)
		var refused *Error
		if !errors.As(err, &refused) || refused.Status != "BAD" {
			return err
		}
		l.found, l.at, l.withStatus = nil, make(map[string]int), false
	}
	verb := "LIST"
	if l.o.Subscribed {
		verb = "LSUB"
	}
	return l.c.run(l.command(strings.ToLower(verb)), verb, func(e *imapwire.Encoder) { l.names(e) })
}

func (l *lister) names(e *imapwire.Encoder) {
	e.SP().ListPattern(l.o.Reference).SP().ListPattern(l.o.Pattern)
}

// extended writes the arguments of RFC 5258, with RFC 5819 and RFC 6154.
func (l *lister) extended(e *imapwire.Encoder) {
	if l.o.Subscribed {
		e.SP().Raw("(SUBSCRIBED)")
	}
	l.names(e)
	options := []string{"CHILDREN"}
	if !l.o.Subscribed {
		options = append([]string{"SUBSCRIBED"}, options...)
	}
	if l.c.has("SPECIAL-USE") {
		options = append(options, "SPECIAL-USE")
	}
	words := l.c.statusWords(l.o.Status)
	l.withStatus = len(words) > 0 && l.c.has("LIST-STATUS")
	e.SP().Raw("RETURN (" + strings.Join(options, " "))
	if l.withStatus {
		e.SP().Raw("STATUS (" + strings.Join(words, " ") + ")")
	}
	e.Raw(")")
}

func (l *lister) command(name string) *command {
	return &command{label: label(name, l.o.Pattern), data: func(r imapwire.Response, d *imapwire.Decoder) bool {
		switch r.Name {
		case "LIST", "LSUB":
			l.add(d)
		case "STATUS":
			l.addStatus(decodeStatus(d))
		default:
			return false
		}
		return true
	}}
}

// add reads the data of a LIST response (RFC 9051 §7.3.1).
func (l *lister) add(d *imapwire.Decoder) {
	m := decodeList(d)
	if d.Err() != nil {
		return
	}
	l.octets += len(m.Name) + len(m.Raw) + 100
	for _, a := range m.Attrs {
		l.octets += len(a)
	}
	if l.octets > maxListOctets {
		d.Fail("listing is too long")
		return
	}
	l.c.remember(m)
	if i, ok := l.at[m.Name]; ok {
		l.found[i].Attrs = mergeFlags(l.found[i].Attrs, m.Attrs)
		return
	}
	l.at[m.Name] = len(l.found)
	l.found = append(l.found, m)
}

// decodeList reads one listed mailbox.
func decodeList(d *imapwire.Decoder) Mailbox {
	m := Mailbox{Attrs: d.Flags()}
	d.SP()
	m.Delim, _ = d.NString()
	d.SP()
	m.Name, m.Raw = d.Mailbox()
	for !d.AtEnd() && d.Err() == nil { // extended data
		if d.SP(); !d.AtEnd() {
			d.Skip()
		}
	}
	return m
}

func mergeFlags(a, b []Flag) []Flag {
next:
	for _, f := range b {
		for _, have := range a {
			if have.Equal(f) {
				continue next
			}
		}
		a = append(a, f)
	}
	return a
}

func (l *lister) addStatus(s *StatusData) {
	if i, ok := l.at[s.Mailbox]; ok {
		l.found[i].Status = s
	}
}

// status asks about each mailbox by itself, pipelined.
func (l *lister) status() error {
	if len(l.c.statusWords(l.o.Status)) == 0 {
		return nil
	}
	var ask []int
	for i := range l.found {
		if l.found[i].Selectable() {
			ask = append(ask, i)
		}
	}
	answers := make([]*StatusData, len(ask))
	send := func(i int) (*command, error) {
		name := l.found[ask[i]].Name
		data, cmd := l.c.statusCommand(name)
		answers[i] = data
		return cmd, l.c.send(cmd, "STATUS", l.c.statusArgs(name, l.o.Status))
	}
	return l.c.pipeline(len(ask), l.c.depth, send, func(i int, err error) error {
		if err == nil && answers[i].Items != 0 {
			l.found[ask[i]].Status = answers[i]
		}
		return nil // a mailbox that refuses is listed all the same
	})
}

// sameMailbox compares names as servers do: INBOX in any case.
func sameMailbox(a, b string) bool {
	return a == b || (strings.EqualFold(a, "INBOX") && strings.EqualFold(b, "INBOX"))
}

// maxRawNames bounds the names kept by remember.
const maxRawNames = 100_000

// remember keeps the server's own spelling of a name that is not valid modified
// UTF-7, so that it can be used on this connection.
func (c *Client) remember(m Mailbox) {
	if c.dec.UTF8 || m.Name != m.Raw || m.Name == "INBOX" || len(c.rawNames) >= maxRawNames {
		return
	}
	if raw, err := imapwire.EncodeUTF7(m.Name); err == nil && raw == m.Raw {
		return
	}
	if c.rawNames == nil {
		c.rawNames = make(map[string]string)
	}
	c.rawNames[m.Name] = m.Raw
}

// putMailbox writes a mailbox name.
func (c *Client) putMailbox(e *imapwire.Encoder, name string) *imapwire.Encoder {
	if raw, ok := c.rawNames[name]; ok {
		return e.AString(raw)
	}
	return e.Mailbox(name)
}
