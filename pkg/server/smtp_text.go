package server

import "bytes"

// textChecker looks for a CR or LF that stands alone in a text and measures its longest line. It works on slices: the
// text passes at memory speed.
type textChecker struct {
	cr      bool // the last octet was a CR
	line    int  // octets in the line so far, without its CR
	longest int  // without CRLF
}

// check takes the next octets of the text. No CR stands alone when there are as many as line ends.
func (t *textChecker) check(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	crs := bytes.Count(p, []byte{'\r'})
	if t.cr {
		if p[0] != '\n' {
			return errLineEnd
		}
		t.endLine(0)
		p = p[1:]
	}
	for tries := 8; ; { // of linesOf, which is of no use where lines differ
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			break
		}
		if n == 0 || p[n-1] != '\r' {
			return errLineEnd
		}
		crs--
		t.endLine(n - 1)
		p = p[n+1:]
		if tries > 0 {
			lines := linesOf(p, n+1)
			if lines == 0 {
				tries--
			}
			crs -= lines
			p = p[lines*(n+1):]
		}
	}
	if t.cr = len(p) > 0 && p[len(p)-1] == '\r'; t.cr {
		crs--
		p = p[:len(p)-1]
	}
	if crs > 0 {
		return errLineEnd
	}
	t.line += len(p)
	t.longest = max(t.longest, t.line)
	return nil
}

// endLine ends a line with the last n of its octets.
func (t *textChecker) endLine(n int) {
	t.longest = max(t.longest, t.line+n)
	t.line = 0
}

// linesOf counts the lines of size octets that p begins with, unless shorter ones are among them: it gives 0 then. In a
// big text most lines are as long as the one before.
func linesOf(p []byte, size int) int {
	lines, end := 0, 0
	for ; end+size <= len(p) && p[end+size-1] == '\n' && p[end+size-2] == '\r'; end += size {
		lines++
	}
	if bytes.Count(p[:end], []byte{'\n'}) != lines {
		return 0
	}
	return lines
}
