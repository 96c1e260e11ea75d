package server

import "errors"

var (
	errLongLine = errors.New("line too long")
	errLineEnd  = errors.New("CR or LF that stands alone")
)

// maxSkipped bounds what is skipped of a line that is too long.
const maxSkipped = 64 << 10

// readLine reads a line of at most max octets with its CRLF into s.input, without it. Only CRLF ends a line; a CR or LF
// by itself is errLineEnd. A longer line is skipped up to its end and gives errLongLine.
func (s *session) readLine(max int) error {
	s.input = s.input[:0]
	var one [1]byte
	long, skipped, cr := false, 0, false
	for {
		if _, err := s.conn.Read(one[:]); err != nil {
			return err
		}
		c := one[0]
		switch {
		case cr && c == '\n':
			if long {
				return errLongLine
			}
			s.input = s.input[:len(s.input)-1]
			return nil
		case cr || c == '\n':
			return errLineEnd
		}
		cr = c == '\r'
		if long = long || len(s.input)+2 > max; long {
			if skipped++; skipped > maxSkipped {
				return s.conn.Fail(errLongLine)
			}
			continue
		}
		s.input = append(s.input, c)
	}
}
