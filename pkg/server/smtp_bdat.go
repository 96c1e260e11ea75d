package server

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// bdat is BDAT (RFC 3030 §2). Its octets are taken whatever the reply is; a size that cannot be read ends the session,
// because what follows cannot be told from commands.
func (m *smtpSession) bdat(arg string) error {
	size, last, ok := parseBdat(arg)
	if !ok {
		return errors.Join(m.mistake(501, "5.5.4", "want BDAT size [LAST]"), errHangUp)
	}
	r := m.mayBdat()
	if r == nil && m.spool == nil {
		m.begin()
	}
	if size-maxTooMuch > m.srv.options.MaxMessage {
		return errors.Join(m.reply(552, "5.3.4", "the message is far too big"), errHangUp)
	}
	st := m.strike("BDAT", arg)
	if st.dead {
		return m.conn.Err()
	}
	if err := m.takeChunk(size, r == nil && st.reply == ""); err != nil {
		return err
	}
	switch {
	case st.reply != "":
		m.reset()
		return m.faultReply(st.reply)
	case r != nil:
		m.reset()
		return m.refused(r)
	case last:
		return m.finish()
	case m.spool.err != nil: // one reply, also in LMTP: those for each recipient follow the last chunk only
		r = m.acceptable()
		m.reset()
		return m.refused(r)
	}
	return m.reply(250, "2.0.0", fmt.Sprintf("%d octets received", size))
}

// parseBdat reads "size" or "size LAST".
func parseBdat(arg string) (size int64, last, ok bool) {
	digits, rest, more := strings.Cut(arg, " ")
	if digits == "" || len(digits) > 20 || strings.Trim(digits, "0123456789") != "" || more && !strings.EqualFold(rest, "LAST") {
		return 0, false, false
	}
	size, err := strconv.ParseInt(digits, 10, 64)
	return size, more, err == nil
}

func (m *smtpSession) mayBdat() *smtpRefusal {
	switch {
	case m.mail == nil:
		return refuse(503, "5.5.1", "MAIL comes first")
	case len(m.rcpt) == 0:
		return refuse(503, "5.5.1", "no valid recipients")
	}
	return nil
}

// takeChunk reads the octets into the spool, or past it.
func (m *smtpSession) takeChunk(size int64, keep bool) error {
	chunk := m.conn.Literal(size)
	if keep {
		if _, err := chunk.WriteTo(m.cutWriter(chunkSink{m}, m.hit.cutAt)); err != nil {
			return err
		}
	}
	return m.conn.DrainBody()
}

// chunkSink takes the octets of chunks into the spool. Those of a message that is not binary are checked like the text
// of DATA (RFC 3030 §3); the refusal waits for the end of the chunk.
type chunkSink struct{ m *smtpSession }

func (c chunkSink) Write(p []byte) (int, error) {
	if m := c.m; !m.mail.binary && m.spool.err == nil {
		m.spool.err = m.text.check(p)
	}
	return c.m.spool.Write(p)
}
