package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// Submission is a message that an SMTP client hands over, for Options.Submit.
type Submission struct {
	From string    // reverse-path without angle brackets; empty: the null one
	Rcpt []string  // forward-paths without angle brackets, at least one; a local part may stand alone
	UTF8 bool      // SMTPUTF8 was asked for
	Size int64     // octets of Body
	Body io.Reader // wire form, without trace fields; valid during the call
}

// Refusal is an error that says what a client is told: the code of a reply, 4yz or 5yz, an enhanced code of the same
// class, and words. Several lines make a reply of several lines.
type Refusal struct {
	Code     int
	Enhanced string
	Text     string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text) }

// ServeSMTP serves one SMTP session whose client writes to r and reads from w, as with sendmail -bs. It ends with QUIT,
// with the end of r, or with ctx, whose error it returns then. Neither TLS nor a login is offered: there is no network.
//
// A Read of r that is under way when ctx ends is waited for by a goroutine that outlives the call: files such as
// standard input cannot be interrupted.
func ServeSMTP(ctx context.Context, r io.Reader, w io.Writer, o Options) error {
	o.RequireLogin = false
	o.Without = append([]string{"STARTTLS", "AUTH", "REQUIRETLS"}, o.Without...)
	srv, err := newServer(ctx, o)
	if err != nil {
		return err
	}
	defer srv.Close()
	in, feed := io.Pipe()
	go func() {
		_, err := io.Copy(feed, r)
		_ = feed.CloseWithError(err)
	}()
	newSession(srv, &listener{name: "smtp", proto: "smtp"}, &piped{PipeReader: in, w: w}, 1).run(false)
	return ctx.Err()
}

// piped is a reader and a writer as a connection. A deadline in the past ends reading, so that a context can; others
// mean nothing here.
type piped struct {
	*io.PipeReader
	w io.Writer
}

func (p *piped) Write(b []byte) (int, error)        { return p.w.Write(b) }
func (p *piped) LocalAddr() net.Addr                { return &net.UnixAddr{Net: "unix"} }
func (p *piped) RemoteAddr() net.Addr               { return &net.UnixAddr{Net: "unix"} }
func (p *piped) SetDeadline(t time.Time) error      { return p.SetReadDeadline(t) }
func (p *piped) SetWriteDeadline(t time.Time) error { return nil }

func (p *piped) SetReadDeadline(t time.Time) error {
	if t.IsZero() || t.After(time.Now()) {
		return nil
	}
	return p.CloseWithError(os.ErrDeadlineExceeded)
}

// piped is true when the client is a program on this machine, which may have written all it has to say before it reads
// a reply.
func (m *smtpSession) piped() bool {
	_, ok := m.raw.Conn.(*piped)
	return ok
}

// submits is true when messages go to Options.Submit and not into the store.
func (m *smtpSession) submits() bool { return m.srv.options.Submit != nil && !m.lmtp }

// mailbox is an address for the checks: where messages are handed on, a user of this machine needs no domain.
func (m *smtpSession) mailbox(addr string) string {
	if m.submits() && addr != "" && !strings.Contains(addr, "@") {
		return addr + "@localhost"
	}
	return addr
}

// submit hands the message in the spool on.
func (m *smtpSession) submit() *smtpRefusal {
	s := &Submission{From: m.mail.from, UTF8: m.mail.utf8, Size: m.spool.size, Body: m.spool.reader()}
	for _, rcpt := range m.rcpt {
		s.Rcpt = append(s.Rcpt, rcpt.addr)
	}
	err := m.srv.options.Submit(m.ctx, s)
	var refusal *Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal) && (refusal.Code/100 == 4 || refusal.Code/100 == 5):
		return refuse(refusal.Code, refusal.Enhanced, replyText(refusal.Text))
	}
	m.log.Error("cannot hand on", "error", err)
	return refuse(451, "4.3.0", replyText(err.Error()))
}

// The caps on the words of others in a reply (RFC 5321 §4.5.3.1.5 allows 512 octets a line).
const (
	maxReplyText  = 480
	maxReplyLines = 200
)

// replyText makes one or more lines of words fit for a reply: printable ASCII, not too long, not too many.
func replyText(text string) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line = strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '?'
			}
			return r
		}, line)
		lines = append(lines, line[:min(len(line), maxReplyText)])
		if len(lines) == maxReplyLines {
			break
		}
	}
	return strings.Join(lines, "\n")
}
