package server

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestPOP3Lies plays what a client meets under each lie of a script.
func TestPOP3Lies(t *testing.T) {
	const listed = "S: 2 42\nS: 3 31\nS: 4 15\nS: 5 42\nS: 6 0\nS: .\n"
	for _, c := range []struct{ name, rules, talk string }{
		{"wrong size", "on POP3 STAT: lie wrong-size\non POP3 LIST: lie wrong-size\non POP3 RETR: lie wrong-size",
			popLogin + "C: STAT\nS: +OK 6 %d\nC: LIST 2\nS: +OK 2 43\nC: RETR 6\nS: +OK 1 octets\nS: .\nC: NOOP\nS: +OK"},
		{"ids once", "on POP3 UIDL once: lie uidl", popLogin + "C: UIDL 1\nS: +OK 1 0.*\nC: UIDL 1\nS: +OK 1 %v\nC: QUIT\nS: +OK*"},
		{"vanished for RETR", "on POP3 RETR once: lie vanished", popLogin + "C: RETR 6\nS: -ERR no such message*\nC: RETR 6\nS: +OK*\nS: .\nC: QUIT\nS: +OK*"},
		{"vanished from LIST", "on POP3 LIST once: lie vanished", popLogin + "C: LIST\nS: +OK 6 *\n" + listed + "C: DELE 1\nS: +OK*\nC: LIST\nS: +OK 5 *\n" + listed},
		{"no dot", "on POP3 RETR: lie no-dot\non POP3 LIST: lie no-dot", popLogin + "C: RETR 4\nS: +OK*\nS: ..first: dot\nS: \nC: NOOP\nS: +OK\n" +
			"C: RETR 3\nS: +OK*\nS: Subject: no end\nS: \nS: ..no line end\nC: DELE 1\nS: +OK*\nC: LIST\nS: +OK*\n" + strings.TrimSuffix(listed, "S: .\n") + "C: NOOP\nS: +OK"},
		{"in use", "on POP3 PASS once: lie in-use", "S: +OK *\nC: USER alice\nS: +OK*\nC: PASS sesame\nS: -ERR [IN-USE] the maildrop*\nC: USER alice\nS: +OK*\nC: PASS sesame\nS: +OK*"},
		{"in use, wrong password", "on POP3 PASS once: lie in-use", "S: +OK *\nC: USER alice\nS: +OK*\nC: PASS x\nS: -ERR [AUTH] *"},
		{"too soon", "on POP3 AUTH once: lie login-delay", "S: +OK *\nC: AUTH PLAIN AGFsaWNlAHNlc2FtZQ==\nS: -ERR [LOGIN-DELAY] *\nC: AUTH PLAIN AGFsaWNlAHNlc2FtZQ==\nS: +OK*"},
		{"temporary", "on POP3 PASS once: reply -ERR [SYS/TEMP] later", "S: +OK *\nC: USER alice\nS: +OK*\nC: PASS sesame\nS: -ERR [SYS/TEMP] later\nC: PASS sesame\nS: +OK*"},
		{"dropped in the middle", "on POP3 RETR: drop at byte 12", popLogin + "C: RETR 1\nS: +OK*\nS: EOF Subject: one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var id string
			srv := startPOP(t, func(o *Options) { o.Faults = scriptRules(t, c.rules) })
			box := inboxBox(t, srv, "alice")
			id = fmt.Sprintf("%d.%d", box.State().UIDValidity, box.Messages()[0].UID)
			talk := strings.ReplaceAll(strings.Replace(c.talk, "%d", fmt.Sprint(box.State().Size+1), 1), "%v", id)
			dialPOP(t, srv).talk(talk)
		})
	}
}

// TestPOP3LieCapabilities holds what CAPA announces under a lie.
func TestPOP3LieCapabilities(t *testing.T) {
	for lie, want := range map[string]string{"expire": "EXPIRE 0", "login-delay": "LOGIN-DELAY 900"} {
		p := dialPOP(t, startPOP(t, func(o *Options) { o.Faults = scriptRules(t, "on POP3 CAPA: lie "+lie) }))
		p.talk("S: +OK *\nC: CAPA\nS: +OK*")
		if got := p.body(); !strings.Contains(got, want+"\r\n") || lie == "expire" && strings.Contains(got, "NEVER") {
			t.Errorf("%s: got %q, want %q in it", lie, got, want)
		}
	}
}

// TestPOP3LieExpire holds that a message that was fetched is gone after QUIT, and no other.
func TestPOP3LieExpire(t *testing.T) {
	srv := startPOP(t, func(o *Options) { o.Faults = scriptRules(t, "on POP3 QUIT: lie expire") })
	dialPOP(t, srv).talk(popLogin + "C: RETR 6\nS: +OK*\nS: .\nC: TOP 1 0\nS: +OK*\nS: Subject: one\nS: \nS: .\nC: DELE 2\nS: +OK*\nC: QUIT\nS: +OK bye")
	got := popInbox(t, srv, "alice")
	if want := []string{popMail[0], popMail[2], popMail[3], popMail[4]}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("left: got %q, want %q", got, want)
	}
}

// TestCutDrop holds that a body cut by "drop at byte" ends in order, also where it is received, and is not stored.
func TestCutDrop(t *testing.T) {
	srv := startCore(t, func(o *Options) { o.Faults = scriptRules(t, "on SMTP DATA: drop at byte 5") })
	p := dialCore(t, srv.Addr("smtp"))
	p.talk(srv, stepHelo+stepMail+stepRcpt+stepData+"C: Subject: never stored")
	if rest, err := io.ReadAll(p.r); len(rest) > 0 || err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("got %q (%v), want the end in order", rest, err)
	}
	for i := 0; len(srv.current()) > 0 && i < 500; i++ {
		time.Sleep(time.Millisecond)
	}
	if got := inboxOf(t, srv, "bob"); len(got) > 0 {
		t.Errorf("got %q stored, want nothing", got)
	}
}
