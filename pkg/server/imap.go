package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapSession is an IMAP connection (RFC 9051, RFC 3501). One goroutine runs it. A command is read by a decoder of its
// own, so that what is wrong with one command stays with it; its handler writes untagged responses and returns nil for
// OK, an *imapStatus for any other tagged response, or an error that ends the session.
type imapSession struct {
	*session
	c       *imapStream
	tag     string
	name    string // of the command at hand
	failed  int    // commands that were BAD in a row
	state   imapState
	view    *imapView // the selected mailbox, nil when none is
	enabled map[string]bool
	saved   []uint32 // UIDs of the last SEARCH RETURN (SAVE), RFC 5182
	buf     []byte   // scratch for one response
	fault   strike   // what the faults want of the command at hand

	compressed bool // COMPRESS was agreed to
}

// imapState is a set of states (RFC 9051 §3).
type imapState uint8

const (
	imapNew imapState = 1 << iota
	imapKnown
	imapSelected
	imapGone
)

const (
	imapAny      = imapNew | imapKnown | imapSelected
	imapLoggedIn = imapKnown | imapSelected
)

const (
	imapLoginTime   = 2 * time.Minute  // idle time before login
	imapIdleTime    = 31 * time.Minute // RFC 9051 §5.4 asks for 30 minutes
	imapMaxFailures = 20               // BAD commands in a row
)

// imapStatus is a tagged response other than a plain OK.
type imapStatus struct{ Status, Code, Text string }

func (e *imapStatus) Error() string { return strings.TrimSpace(e.Status + " " + e.Code + " " + e.Text) }

func imapNo(code, text string) error  { return &imapStatus{"NO", code, text} }
func imapBad(code, text string) error { return &imapStatus{"BAD", code, text} }
func imapOK(code, text string) error  { return &imapStatus{"OK", code, text} }

// errIMAPAnswered says that a handler has sent the tagged response.
var errIMAPAnswered = errors.New("answered")

// serveIMAP runs a session from greeting to goodbye.
func (srv *Server) serveIMAP(base *session) error {
	s := &imapSession{session: base, c: newIMAPStream(base.conn), state: imapNew, enabled: make(map[string]bool)}
	defer s.deselect()
	if base.srv.options.Timeout == 0 {
		base.conn.SetTimeout(imapLoginTime)
	}
	if err := s.greet(); err != nil && !errors.Is(err, errIMAPAnswered) {
		return err
	}
	for s.state != imapGone {
		if base.draining() {
			return s.farewell(errIMAPShutdown)
		}
		if err := s.step(); err != nil {
			return err
		}
	}
	return s.c.Flush()
}

var errIMAPShutdown = errors.New("server is shutting down")

// imapFatal are errors of the session's own that end it.
var imapFatal = []error{errIMAPLine, errIMAPLiteral, errIMAPLineEnd, errIMAPInjected, errIMAPShutdown}

func (s *imapSession) greet() error {
	if err := s.strikeAt("GREETING", ""); err != nil {
		return err
	}
	return s.line("* OK [CAPABILITY " + s.capabilities() + "] IMAP server ready")
}

// step reads and answers one command.
func (s *imapSession) step() error {
	d := s.decoder()
	if err := d.Next(); err != nil {
		return s.farewell(err)
	}
	s.tag, s.name = imapTag(d), ""
	if s.tag == "" {
		return s.untaggedBad(d)
	}
	err := s.dispatch(d)
	if errors.Is(err, errIMAPAnswered) {
		s.failed = 0
		return nil
	}
	err = s.refusal(err)
	var status *imapStatus
	if err != nil && !errors.As(err, &status) {
		return s.farewell(err)
	}
	if status != nil {
		if err := s.c.skip(); err != nil {
			return s.farewell(err)
		}
	}
	if err := s.done(status); err != nil {
		return err
	}
	return s.count(status)
}

// count ends sessions of clients that do not speak IMAP.
func (s *imapSession) count(status *imapStatus) error {
	if status == nil || status.Status != "BAD" {
		s.failed = 0
		return nil
	}
	if s.failed++; s.failed < imapMaxFailures {
		return nil
	}
	s.state = imapGone
	return s.line("* BYE too many bad commands")
}

func (s *imapSession) untaggedBad(d *imapwire.Decoder) error {
	if err := s.c.skip(); err != nil {
		return s.farewell(err)
	}
	if err := s.line("* BAD a command begins with a tag"); err != nil {
		return err
	}
	return s.count(&imapStatus{Status: "BAD"})
}

// farewell ends the session after what cannot be framed or carried on; the error of a connection that is gone is
// returned as it is.
func (s *imapSession) farewell(err error) error {
	s.state = imapGone
	if e := s.conn.Err(); e != nil {
		return e
	}
	text := "the session cannot go on"
	if i := slices.IndexFunc(imapFatal, func(known error) bool { return errors.Is(err, known) }); i >= 0 {
		text = imapFatal[i].Error()
	}
	if e := s.line("* BYE " + text); e != nil {
		return e
	}
	if e := s.c.Flush(); e != nil {
		return e
	}
	return err
}

// decoder makes the decoder of one command.
func (s *imapSession) decoder() *imapwire.Decoder {
	d := imapwire.NewDecoder(s.c, &imapwire.Limits{Line: imapLineLimit, Literal: imapLiteralLimit,
		Total: imapArgumentLimit, Body: s.appendLimit(), Depth: 50, Count: 20_000})
	d.UTF8 = s.plainNames()
	d.NonSync = s.has("LITERAL+") || s.has("LITERAL-")
	literals := 0
	d.OnLiteral = func(n int64, sync bool) error {
		if literals++; literals > imapLiteralCount {
			return imapBad("", "too many literals")
		}
		return s.onLiteral(n, sync)
	}
	return d
}

// imapMinusLimit is what LITERAL- lets a client send without waiting (RFC 7888 §5).
const imapMinusLimit = 4096

func (s *imapSession) onLiteral(n int64, sync bool) error {
	if err := s.strikeAt("LITERAL", s.name); err != nil {
		return err
	}
	if !sync {
		if n > imapMinusLimit && !s.has("LITERAL+") {
			return imapBad("TOOBIG", "literals without waiting are limited to 4096 octets")
		}
		return nil
	}
	if err := s.line("+ go ahead"); err != nil {
		return err
	}
	return s.c.Flush()
}

// imapTag reads the tag and the space behind it; "" when there is none.
func imapTag(d *imapwire.Decoder) string {
	tag := d.Atom()
	if d.Err() != nil || len(tag) > 128 || strings.Contains(tag, "+") || d.Quirks() != 0 || !d.Is(' ') {
		return ""
	}
	return tag
}

// dispatch runs the command at hand.
func (s *imapSession) dispatch(d *imapwire.Decoder) error {
	d.SP()
	s.name = d.Keyword()
	if s.name == "UID" {
		d.SP()
		s.name += " " + d.Keyword()
	}
	if err := d.Err(); err != nil {
		return err
	}
	cmd, ok := imapCommands[s.name]
	switch {
	case !ok || !s.offers(cmd.needs):
		return imapBad("", "unknown command")
	case cmd.states&s.state == 0:
		return imapBad("", "not possible in this state")
	}
	if err := s.struck(); err != nil {
		return err
	}
	if s.fault.lie == lieEarlyOK {
		return s.early(cmd, d)
	}
	err := cmd.run(s, d)
	if !imapDone(err) {
		return err
	}
	if e := s.sync(cmd.expunge); e != nil {
		return e
	}
	return err
}

// imapDone tells if a handler has come to a tagged OK or NO, before which changes may be told.
func imapDone(err error) bool {
	var status *imapStatus
	return err == nil || errors.As(err, &status) && status.Status != "BAD"
}

// early runs a command behind its own tagged OK: a lie.
func (s *imapSession) early(cmd imapCommand, d *imapwire.Decoder) error {
	if err := s.done(nil); err != nil {
		return err
	}
	err := cmd.run(s, d)
	var status *imapStatus
	if err != nil && !errors.As(err, &status) {
		return err
	}
	return errIMAPAnswered
}

// offers tells if one of the extensions that bring a command is on; "" is the base protocol.
func (s *imapSession) offers(needs string) bool {
	if needs == "" {
		return true
	}
	return slices.ContainsFunc(strings.Fields(needs), s.has)
}

// refusal turns what a handler returned into the tagged response, or leaves what ends the session.
func (s *imapSession) refusal(err error) error {
	var status *imapStatus
	var syntax *imapwire.SyntaxError
	var search *searchError
	switch {
	case err == nil || errors.As(err, &status):
		return err
	case s.conn.Err() != nil || slices.ContainsFunc(imapFatal, func(known error) bool { return errors.Is(err, known) }):
		return err
	case errors.As(err, &syntax):
		return imapBad("", imapText(syntax.Msg))
	case errors.As(err, &search) && search.Code == "":
		return imapBad("", imapText(search.Msg))
	case errors.As(err, &search):
		return imapNo("BADCHARSET (US-ASCII UTF-8)", "charset is not known")
	case errors.Is(err, ErrNoMailbox):
		return imapNo("NONEXISTENT", "no such mailbox")
	case errors.Is(err, ErrMailboxExists):
		return imapNo("ALREADYEXISTS", "mailbox already exists")
	case errors.Is(err, ErrMailboxName), errors.Is(err, ErrInbox), errors.Is(err, ErrHasChildren):
		return imapNo("CANNOT", imapText(err.Error()))
	case errors.Is(err, ErrSpecialUse):
		return imapNo("USEATTR", "unknown special use")
	case errors.Is(err, ErrNoMessage):
		return errIMAPGone
	case errors.Is(err, ErrMailboxFull):
		return imapNo("LIMIT", "mailbox is full")
	case errors.Is(err, ErrFlag):
		return imapBad("", "invalid flag")
	case s.ctx.Err() != nil:
		return err
	}
	s.log.Error("imap command failed", "command", s.name, "error", err)
	return imapNo("SERVERBUG", "the command failed")
}

// finish reads the end of a command. What the decoder accepts from servers only is an error here.
func (s *imapSession) finish(d *imapwire.Decoder) error {
	d.End()
	if err := d.Err(); err != nil {
		return err
	}
	if q := d.Quirks(); q != 0 {
		return imapBad("", "syntax: "+q.String())
	}
	return nil
}

// done sends the tagged response.
func (s *imapSession) done(status *imapStatus) error {
	if status == nil {
		status = &imapStatus{Status: "OK"}
	}
	text := status.Text
	if text == "" {
		text = s.name + " completed"
	}
	if status.Code != "" {
		text = "[" + status.Code + "] " + text
	}
	tag := s.tag
	if s.fault.lie == lieWrongTag {
		tag += "x"
	}
	return s.line(tag + " " + status.Status + " " + text)
}

// line sends one line. Its parts are the server's own, or went through imapText, imapQuote or an atom.
func (s *imapSession) line(text string) error {
	s.buf = append(append(s.buf[:0], text...), '\r', '\n')
	_, err := s.c.Write(s.buf)
	return err
}

// untagged sends an untagged response.
func (s *imapSession) untagged(format string, args ...any) error {
	s.buf = append(fmt.Appendf(append(s.buf[:0], "* "...), format, args...), '\r', '\n')
	_, err := s.c.Write(s.buf)
	return err
}

// imapText makes words fit for the end of a response line.
func imapText(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, text)
	return clean[:min(len(clean), 300)]
}

// imapQuote writes text as a quoted string, or as a literal where it cannot be one. Octets above 127 stand in a quoted
// string only when the client agreed to UTF-8.
func imapQuote(b []byte, text string, utf8OK bool) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\r' || c == '\n' || c == 0 || c >= 0x80 && !utf8OK {
			return append(fmt.Appendf(b, "{%d}\r\n", len(text)), text...)
		}
	}
	if utf8OK && !utf8.ValidString(text) {
		return append(fmt.Appendf(b, "{%d}\r\n", len(text)), text...)
	}
	b = append(b, '"')
	for i := 0; i < len(text); i++ {
		if text[i] == '"' || text[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, text[i])
	}
	return append(b, '"')
}

// plainNames tells if mailbox names are UTF-8 as they are (RFC 9755 §3, RFC 9051 §5.1).
func (s *imapSession) plainNames() bool { return s.enabled["UTF8=ACCEPT"] || s.rev2() }

// rev2 tells if the client has switched to IMAP4rev2, or there is nothing else.
func (s *imapSession) rev2() bool {
	return s.enabled["IMAP4REV2"] || !s.has("IMAP4REV1") && s.has("IMAP4REV2")
}

// mailboxName writes a mailbox name.
func (s *imapSession) mailboxName(b []byte, name string) []byte {
	if s.plainNames() {
		return imapQuote(b, name, true)
	}
	coded, err := imapwire.EncodeUTF7(name)
	if err != nil {
		coded = "?"
	}
	return imapQuote(b, coded, false)
}

// mailboxArg reads a mailbox name.
func (s *imapSession) mailboxArg(d *imapwire.Decoder) string {
	name, _ := d.Mailbox()
	if d.Err() == nil && (!utf8.ValidString(name) || strings.IndexByte(name, 0) >= 0) {
		d.Fail("mailbox name is not UTF-8")
	}
	return name
}
