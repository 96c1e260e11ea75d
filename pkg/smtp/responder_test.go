package smtp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// server is the smallest SMTP server that keeps the rules: it answers every command with success, at once and in
// memory, and keeps what it accepted. It plays the strict reader: only CRLF.CRLF ends a text. What it says after LHLO
// is LMTP.
type server struct {
	mu     sync.Mutex
	out    bytes.Buffer // replies not yet read
	in     []byte       // what was not understood yet
	state  func() bool  // consumes from in; false when more is needed
	ehlo   []string
	texts  []string // texts committed
	kept   []string // "Subject: 1 bob@example.org": first line and recipient of each delivery
	text   []byte
	need   int
	last   bool
	lmtp   bool
	rcpt   []string
	closed bool
	refuse func(line string) string // reply instead of success; "" = none
	final  func(rcpt string) string // reply to the end of the text instead of success; rcpt is "" but for LMTP
}

// responder is a connection to a fresh server that offers the given keywords.
func responder(keywords ...string) net.Conn { return newServer(keywords...) }

func newServer(keywords ...string) *server {
	s := &server{ehlo: keywords}
	s.state = s.command
	s.out.WriteString("220 ready\r\n")
	return s
}

func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	s.in = append(s.in, p...)
	for s.state() {
	}
	return len(p), nil
}

func (s *server) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.Len() == 0 {
		return 0, io.EOF
	}
	return s.out.Read(p)
}

func (s *server) command() bool {
	line, rest, ok := bytes.Cut(s.in, []byte("\r\n"))
	if !ok {
		return false
	}
	verb, arg, _ := strings.Cut(string(line), " ")
	s.in = append([]byte(nil), rest...)
	if s.refuse != nil {
		if r := s.refuse(string(line)); r != "" {
			s.out.WriteString(r + "\r\n")
			return true
		}
	}
	switch verb {
	case "EHLO", "LHLO":
		s.lmtp = verb == "LHLO"
		s.greet()
	case "RCPT":
		addr, _, _ := strings.Cut(strings.TrimPrefix(arg, "TO:<"), ">")
		s.rcpt = append(s.rcpt, addr)
		s.out.WriteString("250 ok\r\n")
	case "DATA":
		if len(s.rcpt) == 0 {
			s.out.WriteString("503 nobody\r\n")
			return true
		}
		s.state = s.dot
		s.out.WriteString("354 go\r\n")
	case "BDAT":
		size, last, _ := strings.Cut(arg, " ")
		s.need, _ = strconv.Atoi(size)
		s.last = last == "LAST"
		s.state = s.chunk
	case "MAIL", "RSET":
		s.rcpt, s.text = nil, nil
		fallthrough
	default:
		s.out.WriteString("250 ok\r\n")
	}
	return true
}

func (s *server) greet() {
	s.out.WriteString("250-mx.example.org\r\n")
	for _, k := range s.ehlo {
		s.out.WriteString("250-" + k + "\r\n")
	}
	s.out.WriteString("250 HELP\r\n")
}

func (s *server) dot() bool {
	if bytes.HasPrefix(s.in, []byte(".\r\n")) {
		s.in = s.in[3:]
		s.commit("")
		return true
	}
	text, rest, ok := bytes.Cut(s.in, []byte("\r\n.\r\n"))
	if !ok {
		return false
	}
	s.in = append([]byte(nil), rest...)
	s.commit(strings.ReplaceAll("\r\n"+string(text), "\r\n.", "\r\n")[2:] + "\r\n")
	return true
}

func (s *server) chunk() bool {
	if len(s.in) < s.need {
		return false
	}
	s.text = append(s.text, s.in[:s.need]...)
	s.in = append([]byte(nil), s.in[s.need:]...)
	s.state = s.command
	switch {
	case len(s.rcpt) == 0:
		s.out.WriteString("503 nobody\r\n")
	case s.last:
		s.commit(string(s.text))
	default:
		s.out.WriteString("250 more\r\n")
	}
	return true
}

func (s *server) commit(text string) {
	rcpt := s.rcpt
	s.state, s.text, s.rcpt = s.command, nil, nil
	first, _, _ := strings.Cut(text, "\r\n")
	whose := []string{""}
	if s.lmtp {
		whose = rcpt
	}
	taken := false
	for _, who := range whose {
		if s.final != nil {
			if r := s.final(who); r != "" {
				s.out.WriteString(r + "\r\n")
				continue
			}
		}
		taken = true
		s.out.WriteString("250 queued\r\n")
		if s.lmtp {
			s.kept = append(s.kept, first+" "+who)
			continue
		}
		for _, r := range rcpt {
			s.kept = append(s.kept, first+" "+r)
		}
	}
	if taken {
		s.texts = append(s.texts, text)
	}
}

func (s *server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("closed twice")
	}
	s.closed = true
	return nil
}

func (s *server) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *server) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *server) SetDeadline(time.Time) error      { return nil }
func (s *server) SetReadDeadline(time.Time) error  { return nil }
func (s *server) SetWriteDeadline(time.Time) error { return nil }
