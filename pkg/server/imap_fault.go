package server

import (
	"bytes"
	"strings"
)

// The lies of IMAP (Strike.Lie).
const (
	lieEarlyOK     = "early-ok"     // the tagged OK comes before the untagged responses of the command
	lieWrongTag    = "wrong-tag"    // the tagged response has another tag
	lieWrongSize   = "wrong-size"   // RFC822.SIZE is not the number of octets that come
	lieUIDValidity = "uidvalidity"  // SELECT tells another UIDVALIDITY than before
	lieVanished    = "vanished"     // FETCH leaves out the first message it was asked for
	lieShort       = "short-string" // a literal announces one octet more than comes
)

// struck asks the faults about the command at hand. The end of a connection that they cut is an error.
func (s *imapSession) struck() error {
	arg := ""
	if s.name != "LOGIN" {
		arg = string(s.c.arguments(2 + strings.Count(s.name, " ")))
	}
	if s.name == "AUTHENTICATE" {
		mechanism, _, initial := strings.Cut(arg, " ")
		if arg = mechanism; initial {
			arg += " *" // it is a secret
		}
	}
	return s.strikeAt(s.name, arg)
}

// strikeAt asks about a moment. A reply that takes the place of the command goes out here; its lines get the tag unless
// they are untagged ones.
func (s *imapSession) strikeAt(command, arg string) error {
	before := s.fault
	s.fault = s.strike(command, arg)
	if command == "LITERAL" { // what struck the command holds for its literals
		s.fault.cutAt = max(s.fault.cutAt, before.cutAt)
		s.fault.lie = before.lie
	}
	if s.fault.dead {
		return s.conn.Err()
	}
	if s.fault.reply == "" {
		return nil
	}
	if err := s.c.skip(); err != nil {
		return err
	}
	for line := range strings.SplitSeq(strings.TrimRight(s.fault.reply, "\n"), "\n") {
		if !strings.HasPrefix(line, "*") && !strings.HasPrefix(line, "+") {
			line = s.tag + " " + line
		}
		if err := s.line(line); err != nil {
			return err
		}
	}
	if strings.HasPrefix(s.fault.reply, "* BYE") {
		s.state = imapGone
	}
	return errIMAPAnswered
}

// arguments is the line at hand behind its first n words.
func (c *imapStream) arguments(n int) []byte {
	rest := c.now
	for range n {
		_, tail, ok := bytes.Cut(rest, []byte(" "))
		if !ok {
			return nil
		}
		rest = tail
	}
	return rest
}
