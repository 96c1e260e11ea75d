package interop_test

import (
	"net"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestOneLineErrors makes what goes wrong in practice go wrong: one line that names the account, the host and the
// server's words, a hint where there is a next step, the documented status, nothing on standard output.
func TestOneLineErrors(t *testing.T) {
	d, p := interop.Dovecot(t), interop.Postfix(t)
	user := d.AddUser(t)
	s := newShell(t, user)
	message := "From: " + user.Address + "\nSubject: x\n\nbody\n"
	expired := func(t *testing.T) string { return wiretest.Serve(t, "TLSFAIL expired") }
	noStartTLS := func(t *testing.T) string {
		return wiretest.Serve(t, "S: 220 mx.example.org ESMTP\nC: EHLO *\nS: 250-mx.example.org\nS: 250 PIPELINING\nC? QUIT")
	}
	for name, test := range map[string]struct {
		args  []string
		addr  func(*testing.T) string // replaces ADDR in args
		stdin string
		code  int
		want  []string // on the line
		hint  string
	}{
		"recipient refused": {[]string{"send", interop.Refused}, nil, message, 67,
			[]string{"lab (" + p.Submission + ")", interop.Refused, "550 5.1.1"}, ""},
		"one of two refused": {[]string{"send", user.Address, interop.Refused}, nil, message, 4,
			[]string{"lab (" + p.Submission + ")", interop.Refused, "550 5.1.1"}, ""},
		"recipient deferred": {[]string{"send", interop.Deferred}, nil, message, 75,
			[]string{"lab (" + p.Submission + ")", interop.Deferred, "450 4.2.1"}, ""},
		"sender refused": {[]string{"send", "-f", interop.RefusedSender, user.Address}, nil, message, 67,
			[]string{"lab (" + p.Submission + ")", "550 5.7.1"}, ""},
		"text refused": {[]string{"send", interop.RefusedData}, nil, message, 69, []string{"lab (" + p.Submission + ")", "554 5.7.1"}, ""},
		"wrong password, IMAP": {[]string{"imap", "list", "--password-file", "wrong"}, nil, "", 77,
			[]string{"lab (" + d.IMAP + ")", "authentication"}, ""},
		"wrong password, POP3": {[]string{"pop", "list", "--password-file", "wrong"}, nil, "", 77,
			[]string{"lab (" + d.POP3S + ")", "authentication"}, ""},
		"wrong password, SMTP": {[]string{"send", "--password-file", "wrong", user.Address}, nil, message, 77,
			[]string{"lab (" + p.Submission + ")", "authentication"}, ""},
		"expired certificate": {[]string{"imap", "list", "--server", "imaps://alice@ADDR"}, expired, "", 78,
			[]string{"127.0.0.1:", "expired"}, "renew"},
		"closed port, IMAP": {[]string{"imap", "list", "--server", "imaps://alice@ADDR"}, closedPort, "", 75, []string{"127.0.0.1:", "refused"}, ""},
		"closed port, POP3": {[]string{"pop", "list", "--server", "pop3s://alice@ADDR"}, closedPort, "", 75, []string{"127.0.0.1:", "refused"}, ""},
		"closed port, SMTP": {[]string{"send", "--server", "smtps://alice@ADDR", user.Address}, closedPort, message, 75,
			[]string{"127.0.0.1:", "refused"}, ""},
		"no STARTTLS":     {[]string{"send", "--server", "smtp://alice@ADDR", user.Address}, noStartTLS, message, 76, []string{"127.0.0.1:", "STARTTLS"}, ""},
		"missing mailbox": {[]string{"imap", "select", "Nowhere"}, nil, "", 66, []string{"lab (" + d.IMAP + ")", `"Nowhere"`, "doesn't exist"}, ""},
		"missing target":  {[]string{"imap", "append", "Nowhere"}, nil, message, 66, []string{"lab (" + d.IMAP + ")", "TRYCREATE"}, "create it"},
		"missing UID":     {[]string{"imap", "fetch", "INBOX", "999"}, nil, "", 66, []string{"lab (" + d.IMAP + ")", "999"}, ""},
		"missing message": {[]string{"pop", "retr", "99"}, nil, "", 66, []string{"lab (" + d.POP3S + ")", "99"}, ""},
		"missing account": {[]string{"imap", "list", "-a", "wrok"}, nil, "", 78, []string{"wrok"}, ""},
		"no recipient":    {[]string{"send"}, nil, message, 65, []string{"recipient"}, ""},
		"bare CR":         {[]string{"send", user.Address}, nil, message + "a\rb\n", 65, []string{"CR"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			s.write("wrong", []byte("not it\n"))
			args := append([]string{}, test.args...)
			for i := range args {
				if strings.Contains(args[i], "ADDR") {
					args[i] = strings.ReplaceAll(args[i], "ADDR", test.addr(t))
					args = append(args, "--ca-file", wiretest.CA(t).File)
				}
			}
			r := s.try(strings.NewReader(test.stdin), args...)
			if r.code != test.code || r.stdout != "" {
				t.Errorf("mail %q, want status %d and no output: %v", args, test.code, r)
			}
			lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
			for _, want := range append(test.want, "mail: ") {
				if !strings.Contains(lines[0], want) {
					t.Errorf("the first line has no %q: %v", want, r)
				}
			}
			hints := lines[1:]
			if len(hints) > 1 || len(hints) == 1 && !strings.HasPrefix(hints[0], "mail: hint: ") {
				t.Errorf("more than a line and a hint: %v", r)
			}
			if test.hint != "" && (len(hints) != 1 || !strings.Contains(hints[0], test.hint)) {
				t.Errorf("no hint with %q: %v", test.hint, r)
			}
		})
	}
}
