package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/store"
)

// outgoing is a message that is ready to be sent: complete, checked, with its envelope.
type outgoing struct {
	number   int // in the stream, from 1
	spool    *store.Spool
	header   *message.Header
	id       string // Message-ID without brackets
	envelope *smtp.Envelope
	facts    message.Facts
}

// wire reads the message from its start in wire form.
func (m *outgoing) wire() (io.Reader, error) { return m.spool.WireWith(m.header) }

func (m *outgoing) close() { _ = m.spool.Close() }

// preparer makes messages ready. It knows the account and the flags.
type preparer struct {
	c      *call
	o      *sendOptions
	target *config.Target // nil with --print when there is none
	from   message.Address

	configured bool // from was set by somebody, and is not just the name of the login
}

// findServer resolves the account. With --print there need not be a server.
func (p *preparer) findServer() error {
	t, err := p.c.target("smtp")
	switch {
	case err == nil:
		p.target = t
	case p.o.print:
		if t, err = p.c.onlyAccount(); err != nil {
			return err
		}
	default:
		return err
	}
	from := t.From
	if from == "" && message.CheckAddress(t.Credentials.User) == nil {
		from = t.Credentials.User
	} else {
		p.configured = from != ""
	}
	if from == "" {
		return nil
	}
	if p.from, err = parseAddress(from); err != nil {
		return &config.Error{Msg: fmt.Sprintf("the sender's address of the account: %v", err)}
	}
	return nil
}

// onlyAccount finds the sender's address in the environment or in the account, which may have no server and may be
// missing.
func (c *call) onlyAccount() (*config.Target, error) {
	if from := c.getenv("MAIL_FROM"); from != "" || c.overrides.Server != "" {
		return &config.Target{From: from}, nil
	}
	f, err := config.OpenFile(c.overrides)
	name := c.overrides.Account
	if name == "" {
		name = c.getenv("MAIL_ACCOUNT")
	}
	if errors.Is(err, fs.ErrNotExist) && name == "" {
		return &config.Target{}, nil
	}
	if err != nil {
		return nil, err
	}
	account, err := f.Pick(name)
	if err != nil {
		return nil, err
	}
	return &config.Target{Account: account.Name, From: account.From}, nil
}

// author is who a composed message is from: what --from says, else the account.
func (p *preparer) author(flag string) (message.Address, error) {
	from := p.from
	switch {
	case flag != "":
		var err error
		if from, err = parseAddress(flag); err != nil {
			return from, inOption("From", err)
		}
	case from.Addr == "" && p.o.sender != "" && message.CheckAddress(p.o.sender) == nil:
		from.Addr = p.o.sender
	case from.Addr == "":
		return from, &usageError{msg: "who sends it is not known", hint: "give --from ADDRESS, or from = \"…\" in the account, or MAIL_FROM"}
	}
	return from, inOption("From", message.CheckAddress(from.Addr))
}

// prepare makes the message in spool ready; rcpt are its recipients when they are known already. It owns the spool.
func (p *preparer) prepare(number int, spool *store.Spool, rcpt []string) (*outgoing, error) {
	m := &outgoing{number: number, spool: spool}
	if err := p.fill(m, rcpt); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (p *preparer) fill(m *outgoing, rcpt []string) error {
	if err := checkOctets(m.spool.Facts()); err != nil {
		return err
	}
	h, err := m.spool.Header()
	if err != nil {
		return err
	}
	if len(h.End) == 0 && m.spool.Size() > int64(len(h.Bytes())) {
		h.End = []byte("\n") // a body without a header
	}
	h.DropFromLine()
	m.header = h
	m.envelope = &smtp.Envelope{AllOrNone: p.o.onPartial == "abort"}
	if p.o.dsnGiven {
		m.envelope.DSN = &p.o.dsn
	}
	if err := p.sender(m); err != nil {
		return err
	}
	if err := p.recipients(m, rcpt); err != nil {
		return err
	}
	return p.complete(m)
}

// checkOctets refuses what no conversion mends (RFC 5321 §2.3.8, §4.5.2).
func checkOctets(f message.Facts) error {
	switch {
	case f.BareCR:
		return codef(exitData, "the message has a CR that no LF follows: it cannot be sent by SMTP")
	case f.NUL:
		return codef(exitData, "the message has an octet 0: it cannot be sent by SMTP")
	}
	return nil
}

// sender settles the reverse-path: -f, the account, the header.
func (p *preparer) sender(m *outgoing) error {
	from := p.from.Addr
	switch {
	case p.o.senderGiven:
		var err error
		if from, err = senderFlag(p.o.sender); err != nil {
			return err
		}
	case p.configured:
	default:
		own, _, err := message.Envelope(onlySender(m.header))
		if err != nil {
			return err
		}
		if own != "" {
			from = own
		}
		if from == "" {
			return &coded{exitData, &usageError{msg: "the message has no From, and who sends it is not known",
				hint: senderHint}}
		}
	}
	m.envelope.From = message.ASCIIDomain(from)
	return nil
}

// senderFlag reads the value of -f: an address, perhaps with a name or in brackets, or nothing for the null sender.
func senderFlag(s string) (string, error) {
	if s == "" || s == "<>" {
		return "", nil
	}
	if message.CheckAddress(s) == nil || bareName.MatchString(s) {
		return s, nil
	}
	a, err := parseAddress(s)
	if err == nil {
		err = message.CheckAddress(a.Addr)
	}
	if err != nil {
		return "", inOption("-f", err)
	}
	return a.Addr, nil
}

// bareName is a recipient without a domain, as servers on the same machine know them.
var bareName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)

// onlySender is a copy of h without recipients: what is wrong with those is no reason not to find the sender.
func onlySender(h *message.Header) *message.Header { return masked(h, "to", "cc", "bcc") }

// onlyRecipients is a copy of h with a sender that is never wrong.
func onlyRecipients(h *message.Header) *message.Header { return masked(h, "from", "sender") }

// masked is a copy of h in which the fields with these names, Resent- or not, are empty lists. They keep their places,
// which tell where a resending begins.
func masked(h *message.Header, names ...string) *message.Header {
	out := &message.Header{Fields: make([]message.Field, len(h.Fields)), End: h.End}
	copy(out.Fields, h.Fields)
	for i, f := range out.Fields {
		plain := strings.TrimPrefix(strings.ToLower(f.Name), "resent-")
		for _, name := range names {
			if plain == name {
				out.Fields[i].Raw = []byte(f.Name + ": nobody:;\n")
			}
		}
	}
	return out
}

// recipients settles the forward-paths: known ones, operands, the header's.
func (p *preparer) recipients(m *outgoing, known []string) error {
	list := known
	if known == nil {
		for _, arg := range p.c.args {
			addrs, err := operand(arg)
			if err != nil {
				return err
			}
			list = append(list, addrs...)
		}
		if len(p.c.args) == 0 || p.o.headerRcpt {
			_, own, err := message.Envelope(onlyRecipients(m.header))
			if err != nil {
				return err
			}
			list = append(list, own...)
		}
	}
	seen := map[string]bool{}
	for _, addr := range list {
		addr = message.ASCIIDomain(addr)
		if !seen[addr] {
			seen[addr] = true
			m.envelope.Rcpt = append(m.envelope.Rcpt, addr)
		}
	}
	if len(m.envelope.Rcpt) == 0 && !p.o.print {
		return &coded{exitData, &usageError{msg: "no recipient: there is no operand, and no address in To, Cc or Bcc",
			hint: "give the recipients as operands: `mail send bob@example.org <FILE`"}}
	}
	return nil
}

func operand(arg string) ([]string, error) {
	if bareName.MatchString(arg) || message.CheckAddress(arg) == nil {
		return []string{arg}, nil
	}
	list, err := parseAddresses(arg)
	if err == nil && len(list) == 0 {
		err = &message.Error{Msg: "no address", Text: arg}
	}
	var addrs []string
	for _, a := range list {
		if err == nil {
			err = message.CheckAddress(a.Addr)
		}
		addrs = append(addrs, a.Addr)
	}
	return addrs, err
}

// parseAddresses reads addresses from the command line. In a header a line end may be folding; here it is an attempt to
// write another line.
func parseAddresses(s string) ([]message.Address, error) {
	if i := strings.IndexFunc(s, unsafeRune); i >= 0 {
		return nil, &message.Error{Msg: "an address must not have control characters", Text: s}
	}
	return message.ParseAddressList(s)
}

func parseAddress(s string) (message.Address, error) {
	list, err := parseAddresses(s)
	switch {
	case err != nil:
		return message.Address{}, err
	case len(list) != 1:
		return message.Address{}, &message.Error{Msg: "one address expected", Text: s}
	}
	return list[0], nil
}

const senderHint = "give -f ADDRESS, or from = \"…\" in the account, or MAIL_FROM"

// bccFields gives the fields that a message loses when it is sent.
func bccFields(h *message.Header) (fields []message.Field) {
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, "Bcc") || strings.EqualFold(f.Name, "Resent-Bcc") {
			fields = append(fields, f)
		}
	}
	return fields
}

// complete adds what is missing in the header and learns what the server must be told.
func (p *preparer) complete(m *outgoing) error {
	from := p.from
	if from.Addr == "" {
		from.Addr = m.envelope.From
	}
	_, host, _ := strings.Cut(from.Addr, "@")
	hidden := bccFields(m.header)
	err := message.Complete(m.header, message.CompleteOptions{From: from, Date: p.c.now(), Host: host})
	if err != nil {
		return err
	}
	if !m.header.Has("From") {
		return &coded{exitData, &usageError{msg: "the message has no From, and who sends it is not known", hint: senderHint}}
	}
	if p.o.print {
		m.header.Fields = append(m.header.Fields, hidden...) // what is printed may still be sent
	}
	id, _ := m.header.Get("Message-ID")
	m.id = strings.Trim(id, "<>")
	r, err := m.wire()
	if err != nil {
		return err
	}
	if m.facts, err = message.Scan(r); err != nil {
		return err
	}
	m.envelope.Size = m.facts.Size
	m.envelope.Body = smtp.Body7Bit
	if m.facts.EightBit {
		m.envelope.Body = smtp.Body8Bit
	}
	fields := m.header.Bytes()
	m.envelope.UTF8 = !message.IsASCII(string(fields)) && utf8.Valid(bytes.TrimSpace(fields))
	return nil
}
