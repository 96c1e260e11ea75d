package server

import (
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// compress answers COMPRESS DEFLATE (RFC 4978): both directions are compressed behind its OK. A client waits for that
// before it says more; commands that come at once are refused with this one, as they may be compressed or not.
func (s *imapSession) compress(d *imapwire.Decoder) error {
	d.SP()
	mechanism := d.Keyword()
	if err := s.finish(d); err != nil {
		return err
	}
	switch {
	case mechanism != "DEFLATE":
		return imapBad("", "only DEFLATE is known")
	case s.compressed:
		return imapNo("COMPRESSIONACTIVE", "compression is active")
	case s.c.in.Buffered() > 0 || s.conn.Buffered() > 0:
		return imapBad("", "nothing may come behind COMPRESS before its answer")
	}
	if err := s.done(nil); err != nil {
		return err
	}
	if err := s.conn.AcceptDeflate(); err != nil {
		return err
	}
	s.compressed = true
	return errIMAPAnswered
}
