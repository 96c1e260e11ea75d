package wiretest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Caps of what a client under test may make the peer hold.
const (
	maxLine   = 1 << 20
	maxOctets = 1 << 30
	maxLog    = 40 // transcript lines kept
	maxShown  = 200
)

// session is one connection that plays one script.
type session struct {
	opts   *options
	vars   map[string]string
	raw    net.Conn // as accepted
	conn   net.Conn // raw, or TLS on it
	in     *bufio.Reader
	record func([]byte)
	split  int
	log    []string
	closed bool
}

func newSession(c net.Conn, o *options) *session {
	s := &session{opts: o, vars: maps.Clone(o.vars), raw: c, record: o.capture.conn()}
	s.use(c)
	return s
}

// use reads and writes on c from now on.
func (s *session) use(c net.Conn) {
	s.conn = c
	s.in = bufio.NewReaderSize(tap{c, s.record}, 32<<10)
}

// tap shows what is read to record.
type tap struct {
	r      io.Reader
	record func([]byte)
}

func (t tap) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.record(p[:n])
	return n, err
}

// run plays the steps; the error is a *deviation.
func (s *session) run(steps []step) error {
	if s.opts.implicit && (len(steps) == 0 || !strings.HasPrefix(steps[0].verb, "TLS")) {
		steps = append([]step{{verb: "TLS", text: "TLS (implicit)"}}, steps...)
	}
	for i, st := range steps {
		s.deadline(s.opts.timeout + st.wait)
		if err := s.step(st); err != nil {
			if isClosed(err) && !expects(steps[i:]) {
				return nil
			}
			return &deviation{st, err.Error()}
		}
		s.note("  " + st.text)
	}
	if s.closed {
		return nil
	}
	s.deadline(s.opts.timeout)
	if err := s.expectEOF(); err != nil {
		return &deviation{step{text: "end of script"}, err.Error()}
	}
	return nil
}

// expects tells if the client has to send something in these steps.
func expects(steps []step) bool {
	return slices.ContainsFunc(steps, func(st step) bool {
		return strings.HasPrefix(st.verb, "C") && st.verb != "C?" || strings.HasPrefix(st.verb, "TLS")
	})
}

func (s *session) deadline(d time.Duration) { _ = s.raw.SetDeadline(time.Now().Add(d)) }

// step plays one step.
func (s *session) step(st step) error {
	switch st.verb {
	case "S:", "S>", "SEND", "FLOOD", "SPLIT":
		return s.sendStep(st)
	case "C:":
		return s.expectLine(st, false)
	case "C?":
		return s.expectLine(st, true)
	case "C>":
		return s.expectOctets(int64(len(st.raw)), st.raw, true)
	case "C{}":
		return s.octetsStep(st)
	case "C.":
		return s.expectBody()
	case "QUIET":
		return s.expectQuiet(st.wait)
	case "EOF":
		s.closed = true
		return s.expectEOF()
	case "HANG":
		s.closed = true
		_, err := io.Copy(io.Discard, s.in)
		return closedOrNil(err)
	case "TLS":
		return s.startTLS(st.arg)
	case "TLSFAIL":
		return s.failTLS(st.arg)
	case "SLEEP":
		time.Sleep(st.wait)
		return nil
	}
	return s.closeStep(st.verb)
}

// sendStep plays the steps that send.
func (s *session) sendStep(st step) error {
	switch st.verb {
	case "S:":
		text, err := expand(st.pieces, s.vars)
		if err != nil {
			return err
		}
		return s.send([]byte(text + "\r\n"))
	case "S>":
		return s.send(st.raw)
	case "SEND":
		v, ok := s.vars[st.arg]
		if !ok {
			return fmt.Errorf("variable $%s holds nothing yet", st.arg)
		}
		return s.send([]byte(v))
	case "FLOOD":
		block := bytes.Repeat(st.raw, max(1, 16<<10/len(st.raw)))
		s.closed = true
		for {
			if err := s.send(block); err != nil {
				return flooded(err)
			}
		}
	case "SPLIT":
		s.split = int(st.n)
	}
	return nil
}

// flooded tells a client that closed from one that kept on listening.
func flooded(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the client did not close in time")
	}
	return nil
}

// send writes p, in pieces when SPLIT says so.
func (s *session) send(p []byte) error {
	for len(p) > 0 {
		n := len(p)
		if s.split > 0 {
			n = min(n, s.split)
		}
		if _, err := s.conn.Write(p[:n]); err != nil {
			return fmt.Errorf("sending %s: %w", shown(p), err)
		}
		p = p[n:]
	}
	return nil
}

// expectLine reads one line and compares it.
func (s *session) expectLine(st step, optional bool) error {
	line, err := s.readLine()
	if err == io.EOF && optional {
		s.closed = true // nothing can follow
		return nil
	}
	if err == io.EOF {
		return errors.New("the client closed the connection instead")
	}
	if err != nil {
		return err
	}
	ok, err := match(st.pieces, s.vars, line)
	if err == nil && !ok {
		err = fmt.Errorf("the client sent %s", shown([]byte(line)))
	}
	return err
}

// readLine returns a line without its CRLF; io.EOF only at its start.
func (s *session) readLine() (string, error) {
	var line []byte
	for {
		part, err := s.in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return "", fmt.Errorf("the client sent a line over %d octets", maxLine)
		}
		if err == nil {
			break
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if isClosed(err) && len(line) == 0 {
			return "", io.EOF
		}
		if isClosed(err) {
			return "", fmt.Errorf("the client closed after the half line %s", shown(line))
		}
		return "", fmt.Errorf("%w after %s", err, shown(line))
	}
	if !bytes.HasSuffix(line, []byte("\r\n")) {
		return "", fmt.Errorf("the client ended %s with a bare line feed", shown(line))
	}
	return string(line[:len(line)-2]), nil
}

// octetsStep plays C{n} and C{$name}.
func (s *session) octetsStep(st step) error {
	if st.arg == "" {
		return s.expectOctets(st.n, st.raw, st.hasRaw)
	}
	v := s.vars[st.arg]
	n, err := strconv.ParseInt(strings.TrimSuffix(v, "+"), 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("variable $%s is no count: %q", st.arg, v)
	}
	return s.expectOctets(n, st.raw, st.hasRaw)
}

// expectOctets reads n octets, which have to be want if compare is set.
func (s *session) expectOctets(n int64, want []byte, compare bool) error {
	if n > maxOctets {
		return fmt.Errorf("%d octets are too many", n)
	}
	got, err := io.ReadAll(io.LimitReader(s.in, n))
	if err == nil && int64(len(got)) < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("%w after %s", err, shown(got))
	}
	if compare && !bytes.Equal(got, want) {
		return fmt.Errorf("the client sent %s", shown(got))
	}
	if !compare {
		s.opts.capture.body(got)
	}
	return nil
}

// expectBody reads an SMTP body. Its lines have no length limit.
func (s *session) expectBody() error {
	var body []byte
	for {
		line, err := s.in.ReadSlice('\n')
		body = append(body, line...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return fmt.Errorf("%w in the body after %s", err, shown(body[max(0, len(body)-maxShown):]))
		}
		if bytes.HasSuffix(body, []byte("\r\n.\r\n")) || string(body) == ".\r\n" {
			break
		}
		if len(body) > maxOctets {
			return errors.New("the body is too long")
		}
	}
	clean, err := unstuff(body[:len(body)-3])
	if err != nil {
		return err
	}
	s.opts.capture.body(clean)
	return nil
}

// unstuff removes dot-stuffing (RFC 5321 §4.5.2) and finds bare line ends.
func unstuff(body []byte) ([]byte, error) {
	out := make([]byte, 0, len(body))
	for len(body) > 0 {
		i := bytes.IndexByte(body, '\n')
		if i < 1 || body[i-1] != '\r' || bytes.IndexByte(body[:i-1], '\r') >= 0 {
			return nil, fmt.Errorf("bare line end in the body at %s", shown(body))
		}
		line := body[:i+1]
		body = body[i+1:]
		if line[0] == '.' {
			line = line[1:]
		}
		out = append(out, line...)
	}
	return out, nil
}

// expectQuiet waits and fails if anything comes.
func (s *session) expectQuiet(d time.Duration) error {
	_ = s.raw.SetReadDeadline(time.Now().Add(d))
	p, err := s.in.Peek(1)
	if len(p) > 0 {
		rest, _ := s.in.Peek(s.in.Buffered())
		return fmt.Errorf("the client sent %s", shown(rest))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("the client closed: %w", err)
}

// expectEOF waits until the client closes and accepts nothing else.
func (s *session) expectEOF() error {
	if _, err := s.in.Peek(1); err != nil {
		return closedOrNil(err)
	}
	rest, _ := s.in.Peek(s.in.Buffered())
	return fmt.Errorf("the client sent more: %s", shown(rest))
}

// closedOrNil accepts every way of closing and names the lack of it.
func closedOrNil(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the client did not close in time")
	}
	if err == nil || isClosed(err) {
		return nil
	}
	return err
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// startTLS does the server's handshake.
func (s *session) startTLS(name string) error {
	err := s.handshake(name)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	return nil
}

// failTLS does the server's handshake, which the client has to end.
func (s *session) failTLS(name string) error {
	s.closed = true
	err := s.handshake(name)
	if err == nil {
		return errors.New("the client accepted the handshake")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

func (s *session) handshake(name string) error {
	if n := s.in.Buffered(); n > 0 {
		early, _ := s.in.Peek(n)
		return fmt.Errorf("the client sent %s before it", shown(early))
	}
	cert, err := s.opts.cert, error(nil)
	if name != "" {
		if cert, err = certificate(name); err != nil {
			return err
		}
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: s.opts.min, MaxVersion: s.opts.max}
	if s.opts.clients != nil {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, s.opts.clients
	}
	c := tls.Server(s.raw, cfg)
	if err := c.Handshake(); err != nil {
		return err
	}
	s.opts.capture.handshake(c.ConnectionState())
	s.use(c)
	return nil
}

// closeStep plays the steps that end the connection, or our half of it.
func (s *session) closeStep(verb string) error {
	if verb == "HALFCLOSE" {
		return s.halfClose()
	}
	s.closed = true
	switch verb {
	case "CLOSE":
		_ = s.halfClose()
		s.drain()
		_ = s.conn.Close()
	case "CUT":
		if tcp, ok := s.raw.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		s.drain()
		_ = s.raw.Close()
	case "RESET":
		tcp, ok := s.raw.(*net.TCPConn)
		if !ok {
			return errors.New("not a TCP connection")
		}
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	default:
		return fmt.Errorf("step %q is not implemented", verb)
	}
	return nil
}

func (s *session) halfClose() error {
	if t, ok := s.conn.(*tls.Conn); ok {
		if err := t.CloseWrite(); err != nil {
			return err
		}
	}
	tcp, ok := s.raw.(*net.TCPConn)
	if !ok {
		return errors.New("not a TCP connection")
	}
	return tcp.CloseWrite()
}

// drain takes in what the client sends until it closes too, for a while: closing a
// socket with unread bytes would reset it, and the client could lose what it was
// sent before.
func (s *session) drain() {
	patience := time.Second
	if _, ok := s.raw.(*net.TCPConn); !ok {
		patience = 2 * time.Millisecond // the client has not been told the end yet
	}
	_ = s.raw.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.Copy(io.Discard, io.LimitReader(s.raw, 16<<20))
	s.deadline(s.opts.timeout)
}

// closeAll releases the connection in any state.
func (s *session) closeAll() {
	_ = s.conn.Close()
	_ = s.raw.Close()
}

func (s *session) note(line string) {
	if len(s.log) == maxLog {
		s.log = append(s.log[:0], s.log[1:]...)
	}
	s.log = append(s.log, line)
}

// transcript is what the session has done, for a report.
func (s *session) transcript() string {
	if len(s.log) == 0 {
		return "  (at the first step)"
	}
	return "  so far:\n" + strings.Join(s.log, "\n")
}

// shown quotes and shortens bytes from the client.
func shown(p []byte) string {
	if len(p) > maxShown {
		return strconv.Quote(string(p[:maxShown])) + fmt.Sprintf("… (%d octets)", len(p))
	}
	return strconv.Quote(string(p))
}
