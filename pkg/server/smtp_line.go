package server

import (
	"bytes"
	"errors"
)

var (
	errLongLine = errors.New("line too long")
	errLineEnd  = errors.New("CR or LF that stands alone")
)

// maxSkipped bounds what is skipped of a line that is too long.
const maxSkipped = 64 << 10

// readLine reads a line of at most max octets with its CRLF into m.line, without it. Only CRLF ends a line; a CR or LF
// by itself is errLineEnd. A longer line is skipped up to its end and gives errLongLine.
func (m *smtpSession) readLine(max int) error {
	m.line = m.line[:0]
	var one [1]byte
	long, skipped, cr := false, 0, false
	for {
		if _, err := m.conn.Read(one[:]); err != nil {
			return err
		}
		c := one[0]
		switch {
		case cr && c == '\n':
			if long {
				return errLongLine
			}
			m.line = m.line[:len(m.line)-1]
			return nil
		case cr || c == '\n':
			return errLineEnd
		}
		cr = c == '\r'
		if long = long || len(m.line)+2 > max; long {
			if skipped++; skipped > maxSkipped {
				return m.conn.Fail(errLongLine)
			}
			continue
		}
		m.line = append(m.line, c)
	}
}

// textChecker looks for a CR or LF that stands alone in a text and measures its longest line. It works on slices: the
// text passes at memory speed.
type textChecker struct {
	cr      bool // the last octet was a CR
	line    int  // octets in the line so far
	longest int  // without CRLF
}

// check takes the next octets of the text.
func (t *textChecker) check(p []byte) error {
	for len(p) > 0 {
		if t.cr {
			if p[0] != '\n' {
				return errLineEnd
			}
			t.cr, t.line = false, 0
			p = p[1:]
			continue
		}
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			return t.tail(p)
		}
		if n == 0 || p[n-1] != '\r' || bytes.IndexByte(p[:n-1], '\r') >= 0 {
			return errLineEnd
		}
		t.longest = max(t.longest, t.line+n-1)
		t.line = 0
		p = p[n+1:]
	}
	return nil
}

// tail takes octets without an LF.
func (t *textChecker) tail(p []byte) error {
	if i := bytes.IndexByte(p, '\r'); i >= 0 {
		if i < len(p)-1 {
			return errLineEnd
		}
		t.cr = true
		p = p[:i]
	}
	t.line += len(p)
	t.longest = max(t.longest, t.line)
	return nil
}
