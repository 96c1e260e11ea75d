package main

import (
	"bytes"
	"cmp"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// outgoing is a message that is ready to be sent: complete, checked, with its envelope.
type outgoing struct {
	number   int // in the stream, from 1
	spool    *store.Spool
	packed   *mimetree.Packed // a composed message, instead of spool
	header   *message.Header
	hidden   []message.Field // Bcc, which is not sent
	id       string          // Message-ID without brackets
	route    *route
	servers  map[string]string // with --mx: the host that answered for a recipient
	envelope *smtp.Envelope
	facts    message.Facts
}

// server names the place that answered for a recipient.
func (m *outgoing) server(rcpt string) string {
	if m.servers == nil {
		return m.route.target.Label()
	}
	return cmp.Or(m.servers[rcpt], "mx")
}

// wire reads the message from its start in wire form.
func (m *outgoing) wire() (io.Reader, error) {
	if m.packed == nil {
		return m.spool.WireWith(m.header)
	}
	r, err := m.packed.As(mimetree.SevenBit)
	if err != nil {
		return nil, err
	}
	return r.Open(), nil
}

// copyWithBcc reads the message from its start in wire form, with the fields that the recipients do not see.
func (m *outgoing) copyWithBcc() (r io.Reader, size int64, err error) {
	shown := m.header.Fields
	defer func() { m.header.Fields = shown }()
	m.header.Fields = append(slices.Clone(shown), m.hidden...)
	if r, err = m.wire(); err != nil {
		return nil, 0, err
	}
	facts, err := message.Scan(r)
	if err != nil {
		return nil, 0, err
	}
	r, err = m.wire()
	return r, facts.Size, err
}

func (m *outgoing) close() {
	if m.packed != nil {
		_ = m.packed.Close()
	} else {
		_ = m.spool.Close()
	}
}

// preparer makes messages ready. It knows the accounts and the flags.
type preparer struct {
	c      *call
	o      *sendOptions
	router *router
}

// author is who a composed message is from: what --from says, else the account.
func (p *preparer) author(flag string) (message.Address, error) {
	sender := p.o.sender
	if given, err := parseAddress(flag); flag != "" && err == nil && !p.o.senderGiven {
		sender = given.Addr
	}
	route, err := p.router.of(sender)
	if err != nil {
		return message.Address{}, err
	}
	from := route.from
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

// prepare makes the message in spool ready. It owns the spool.
func (p *preparer) prepare(number int, spool *store.Spool) (*outgoing, error) {
	m := &outgoing{number: number, spool: spool}
	err := checkOctets(spool.Facts())
	if err == nil {
		m.header, err = spool.Header()
	}
	if err == nil {
		if len(m.header.End) == 0 && spool.Size() > int64(len(m.header.Bytes())) {
			m.header.End = []byte("\n") // a body without a header
		}
		m.header.DropFromLine()
		err = p.fill(m, nil)
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// prepareDraft makes a composed message ready.
func (p *preparer) prepareDraft(made *composed) (*outgoing, error) {
	m := &outgoing{number: 1, header: made.draft.Header}
	var err error
	if m.packed, err = made.draft.Prepare(); err != nil {
		return nil, err
	}
	if err := p.fill(m, made.rcpt); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// fill settles everything about m but its text; rcpt are its recipients when they are known already.
func (p *preparer) fill(m *outgoing, rcpt []string) (err error) {
	if p.c.local {
		qualify(m.header)
	}
	if m.route, err = p.router.of(p.senderOf(m.header)); err != nil {
		return err
	}
	if p.o.resend {
		if err := p.resend(m.header); err != nil {
			return err
		}
	}
	m.envelope = &smtp.Envelope{AllOrNone: p.o.onPartial == "abort", RequireTLS: p.o.requireTLS}
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

// senderOf is who sends a message, as far as the choice of an account goes; "" when that is not known.
func (p *preparer) senderOf(h *message.Header) string {
	if p.o.senderGiven {
		return p.o.sender
	}
	from, _, err := message.Envelope(onlySender(h))
	if err != nil {
		return ""
	}
	return from
}

// resend puts a block of Resent- fields in front (RFC 5322 §3.6.6). The recipients are the operands.
func (p *preparer) resend(h *message.Header) error {
	from, err := p.author("")
	if err != nil {
		return err
	}
	m := &outgoing{header: &message.Header{}, route: &route{target: &config.Target{}}, envelope: &smtp.Envelope{}}
	if err := p.recipients(m, nil); err != nil {
		return err
	}
	_, host, _ := strings.Cut(from.Addr, "@")
	for _, f := range [][2]string{
		{"Resent-To", strings.Join(m.envelope.Rcpt, ", ")},
		{"Resent-From", message.FormatAddress(from)},
		{"Resent-Message-ID", message.NewMessageID(host)},
		{"Resent-Date", message.FormatDate(p.c.now())},
	} {
		if err := h.Prepend(f[0], f[1]); err != nil {
			return err
		}
	}
	return nil
}

// sender settles the reverse-path: -f, the account, the header.
func (p *preparer) sender(m *outgoing) error {
	from := m.route.from.Addr
	switch {
	case p.o.senderGiven:
		var err error
		if from, err = senderFlag(p.o.sender); err != nil {
			return err
		}
	case m.route.fixed:
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
	m.envelope.From = message.ASCIIDomain(p.ofThisMachine(m, from))
	return nil
}

// ofThisMachine completes a name without a domain for programs that mean a user of this machine by it. Over LMTP the
// server is one for local users.
func (p *preparer) ofThisMachine(m *outgoing, addr string) string {
	if p.c.local && bareName.MatchString(addr) && m.route.target.Endpoint.Protocol != wire.LMTP {
		return addr + "@" + localHost()
	}
	return addr
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
	list, err := m.route.aliases.expand(list)
	if err != nil {
		return err
	}
	for i, addr := range list {
		list[i] = p.ofThisMachine(m, addr)
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

// undisclosed stands for recipients that are in the envelope only (RFC 5322 §3.4).
const undisclosed = "undisclosed-recipients:;"

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
	from := m.route.from
	if told := p.c.local && p.o.senderGiven && !m.route.fixed && m.envelope.From != ""; told || from.Addr == "" {
		from.Addr = m.envelope.From
	}
	_, host, _ := strings.Cut(from.Addr, "@")
	m.hidden = bccFields(m.header)
	if p.o.undisclosed {
		m.header.Del("To", "Cc")
		if err := m.header.Add("To", undisclosed); err != nil {
			return err
		}
	}
	err := message.Complete(m.header, message.CompleteOptions{From: from, Date: p.c.now(), Host: host})
	if err != nil {
		return err
	}
	if !m.header.Has("From") {
		return &coded{exitData, &usageError{msg: "the message has no From, and who sends it is not known", hint: senderHint}}
	}
	if p.o.print {
		m.header.Fields = append(m.header.Fields, m.hidden...) // what is printed may still be sent
	}
	id, _ := m.header.Get("Message-ID")
	m.id = strings.Trim(id, "<>")
	if err := m.measure(); err != nil {
		return err
	}
	fields := m.header.Bytes()
	m.envelope.UTF8 = !message.IsASCII(string(fields)) && utf8.Valid(bytes.TrimSpace(fields))
	return nil
}
