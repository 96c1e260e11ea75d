package server

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapMessage is one message of an APPEND: where its octets stand in the spool.
type imapMessage struct {
	flags    []string
	date     time.Time
	at, size int64
}

const (
	maxAppends   = 1000    // messages of one APPEND
	spoolMemory  = 4 << 20 // octets of one APPEND that are kept in memory
	appendFactor = 4       // the messages of one APPEND together, in times the limit for one
)

// append answers APPEND (RFC 9051 §6.3.12) with MULTIAPPEND (RFC 3502): nothing is stored before the whole command has
// arrived, then everything or nothing.
func (s *imapSession) append(d *imapwire.Decoder) error {
	d.SP()
	name := s.mailboxArg(d)
	if err := d.Err(); err != nil {
		return err
	}
	box, err := s.account.Mailbox(name)
	if errors.Is(err, ErrNoMailbox) {
		return errIMAPTryCreate
	}
	if err != nil {
		return err
	}
	spool := &imapSpool{}
	defer spool.close()
	list, err := s.appendArgs(d, spool)
	if err != nil {
		return err
	}
	if err := s.finish(d); err != nil {
		return err
	}
	messages := make([]NewMessage, len(list))
	for i, m := range list {
		messages[i] = NewMessage{Body: spool.section(m.at, m.size), Flags: m.flags, Date: m.date}
	}
	stored, err := box.Append(s.ctx, messages)
	if err != nil || !s.has("UIDPLUS") {
		return err
	}
	var uids imapRuns
	for _, m := range stored {
		uids.add(m.UID)
	}
	validity := strconv.FormatUint(uint64(box.State().UIDValidity), 10)
	return imapOK("APPENDUID "+validity+" "+uids.text(), "")
}

// appendArgs reads the messages into the spool.
func (s *imapSession) appendArgs(d *imapwire.Decoder, spool *imapSpool) ([]imapMessage, error) {
	var list []imapMessage
	for len(list) == 0 || d.Is(' ') {
		if len(list) > 0 && !s.has("MULTIAPPEND") || len(list) >= maxAppends {
			return nil, imapBad("", "too many messages")
		}
		m, err := s.appendMessage(d, spool)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// appendMessage reads flags, date and octets of one message.
func (s *imapSession) appendMessage(d *imapwire.Decoder, spool *imapSpool) (m imapMessage, err error) {
	d.SP()
	if d.Is('(') {
		if m.flags, err = flagArgs(d, true); err != nil {
			return m, err
		}
		d.SP()
	}
	if d.Is('"') {
		m.date = d.DateTime()
		d.SP()
	}
	utf8 := false
	if d.Is('U') || d.Is('u') { // UTF8 (~{n} …), RFC 6855 §4
		if d.Keyword() != "UTF8" || !s.enabled["UTF8=ACCEPT"] {
			return m, imapBad("", "literal expected")
		}
		d.SP()
		d.Expect('(')
		utf8 = true
	}
	if err := d.Err(); err != nil {
		return m, err
	}
	literal, literal8 := d.Is('{') && !utf8, d.Is('~') && (utf8 || s.has("BINARY"))
	if !literal && !literal8 {
		return m, imapBad("", "literal expected")
	}
	if err := s.appendOctets(d, spool, &m); err != nil {
		return m, err
	}
	if utf8 {
		d.Expect(')')
	}
	return m, d.Err()
}

// appendOctets reads the literal. One that is too big is refused before it is sent, where the client waits.
func (s *imapSession) appendOctets(d *imapwire.Decoder, spool *imapSpool, m *imapMessage) error {
	size, _, ok := imapAnnounced(s.c.tail)
	switch {
	case !ok:
		return imapBad("", "bad literal")
	case size > s.appendLimit() || spool.size+size > appendFactor*s.appendLimit():
		return imapNo("TOOBIG", "message is too big")
	case size == 0:
		return imapNo("", "message is empty")
	}
	r, size, ok := d.NStringReader()
	if !ok {
		return d.Err()
	}
	m.at, m.size = spool.size, size
	if _, err := io.Copy(s.cutWriter(spool, s.fault.cutAt), r); err != nil {
		return err
	}
	d.EndBody()
	return d.Err()
}

// imapSpool keeps the messages of one APPEND until the command is complete: in memory, then in a file without a name.
type imapSpool struct {
	memory []byte
	file   *os.File
	size   int64
}

// Write adds octets.
func (p *imapSpool) Write(b []byte) (int, error) {
	if p.file == nil && p.size+int64(len(b)) <= spoolMemory {
		p.memory = append(p.memory, b...)
		p.size += int64(len(b))
		return len(b), nil
	}
	if p.file == nil {
		if err := p.spill(); err != nil {
			return 0, err
		}
	}
	n, err := p.file.Write(b)
	p.size += int64(n)
	return n, err
}

func (p *imapSpool) spill() error {
	f, err := os.CreateTemp("", "mail-append-")
	if err != nil {
		return err
	}
	p.file = f
	_ = os.Remove(f.Name()) // where an open file cannot be removed, close does it
	_, err = f.Write(p.memory)
	p.memory = nil
	return err
}

func (p *imapSpool) section(at, size int64) io.Reader {
	if p.file == nil {
		return bytes.NewReader(p.memory[at : at+size])
	}
	return io.NewSectionReader(p.file, at, size)
}

func (p *imapSpool) close() {
	if p.file != nil {
		_ = p.file.Close()
		_ = os.Remove(p.file.Name())
	}
}
