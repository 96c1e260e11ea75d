package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// retr sends a message, octet for octet (RFC 1939 §5). One that does not end with a CRLF gets one, as the end needs it.
func (p *popSession) retr(args []string) error {
	m, _, err := p.message(args[0])
	if m == nil {
		return err
	}
	m.fetched = true
	return p.send(m, fmt.Sprintf("%d octets", p.told(m.size)), func(w io.Writer, body io.Reader) error {
		_, err := io.Copy(w, body)
		return err
	})
}

// top sends the header, the empty line and some lines of the text (RFC 1939 §7).
func (p *popSession) top(args []string) error {
	lines, ok := popNumber(args[1])
	if !ok {
		return p.refuse("", "not a number of lines")
	}
	m, _, err := p.message(args[0])
	if m == nil {
		return err
	}
	return p.send(m, "top of the message", func(w io.Writer, body io.Reader) error { return copyTop(w, body, lines) })
}

// copyTop copies the header, the empty line and that many lines of the text.
func copyTop(w io.Writer, body io.Reader, lines int) error {
	r := bufio.NewReaderSize(body, 32<<10)
	text, start := false, true
	for !text || lines > 0 {
		chunk, err := r.ReadSlice('\n')
		if _, e := w.Write(chunk); e != nil {
			return e
		}
		ended := err == nil
		switch {
		case ended && text:
			lines--
		case ended && start:
			text = len(bytes.TrimRight(chunk, "\r\n")) == 0
		case err == io.EOF:
			return nil
		case !ended && err != bufio.ErrBufferFull:
			return err
		}
		start = ended
	}
	return nil
}

// send opens the message, answers +OK and has text write the octets. An error after +OK ends the connection, so that
// nobody takes half a message for a whole one.
func (p *popSession) send(m *popMessage, title string, text func(io.Writer, io.Reader) error) error {
	body, err := p.box.Open(m.uid)
	if err != nil {
		return p.failed(err)
	}
	defer body.Close()
	if err := p.ok(title); err != nil {
		return err
	}
	out := &dotWriter{conn: p.conn, ended: 2, noDot: p.hit.lie == lieNoDot}
	if err := text(p.cutWriter(out, p.hit.cutAt), io.NewSectionReader(body, 0, body.Size())); err != nil {
		return p.conn.Fail(fmt.Errorf("message %d: %w", m.uid, err))
	}
	return out.finish()
}

// dotWriter sends a text line by line with the dots stuffed (RFC 1939 §3). Only CRLF ends a line; a CR or LF that
// stands alone is an octet like others.
type dotWriter struct {
	conn  *wire.Conn
	ended int  // how many octets of CRLF the text so far ends with; 2 also at its beginning
	noDot bool // leave the last line out
}

var dotLine = []byte("\r\n.")

// Write stuffs and buffers p.
func (d *dotWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if d.ended == 2 && p[0] == '.' {
			if _, err := d.conn.WriteData(dotLine[2:]); err != nil {
				return 0, err
			}
		}
		end, ended := len(p), 0
		switch i := bytes.Index(p, dotLine); {
		case d.ended == 1 && p[0] == '\n':
			end, ended = 1, 2
		case i >= 0:
			end, ended = i+2, 2
		case bytes.HasSuffix(p, dotLine[:2]):
			ended = 2
		case p[len(p)-1] == '\r':
			ended = 1
		}
		if _, err := d.conn.WriteData(p[:end]); err != nil {
			return 0, err
		}
		d.ended, p = ended, p[end:]
	}
	return total, nil
}

// finish ends the last line and the text.
func (d *dotWriter) finish() error {
	end := ""
	if d.ended != 2 {
		end = "\r\n"
	}
	if !d.noDot {
		end += ".\r\n"
	}
	_, err := d.conn.WriteData([]byte(end))
	return err
}
