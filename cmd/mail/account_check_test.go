package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// runIn runs mail with an environment of NAME=VALUE.
func runIn(t *testing.T, vars []string, words ...string) result {
	t.Helper()
	e, stdout, stderr := testEnv("")
	values := map[string]string{"HOME": t.TempDir()}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		values[name] = value
	}
	e.getenv = func(name string) string { return values[name] }
	code := run(context.Background(), e, append([]string{"mail"}, words...))
	return result{code, stdout.String(), stderr.String()}
}

// configFile writes a configuration with the values put in and returns MAIL_CONFIG=path.
func configFile(t *testing.T, format string, args ...any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	return "MAIL_CONFIG=" + path
}

const (
	imapPlain = `
		S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
		C: $t AUTHENTICATE PLAIN ${b64:\x00alice\x00sesame}
		S: $t OK [CAPABILITY IMAP4rev1] welcome
		C? * LOGOUT`
	imapRefused = `
		S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
		C: $t AUTHENTICATE PLAIN *
		S: $t NO [AUTHENTICATIONFAILED] wrong password
		C? * LOGOUT`
	imapLogin = `
		S: * OK [CAPABILITY IMAP4rev1] ready
		C: $t LOGIN alice sesame
		S: $t OK [CAPABILITY IMAP4rev1] welcome
		C? * LOGOUT`
	popUser = `
		S: +OK ready
		C: STLS
		S: +OK
		TLS
		C: CAPA
		S: +OK
		S: USER
		S: .
		C: USER alice
		S: +OK
		C: PASS sesame
		S: +OK
		C? QUIT`
	smtpLogin = `
		S: 220 mx ESMTP
		C: EHLO *
		S: 250-mx
		S: 250 STARTTLS
		C: STARTTLS
		S: 220 go ahead
		TLS
		C: EHLO *
		S: 250-mx
		S: 250 AUTH LOGIN
		C: AUTH LOGIN
		S: 334 VXNlcm5hbWU6
		C: ${b64:alice}
		S: 334 UGFzc3dvcmQ6
		C: ${b64:sesame}
		S: 235 welcome
		C? QUIT`
	smtpBusy = `
		S: 220 mx ESMTP
		C: EHLO *
		S: 250-mx
		S: 250 AUTH PLAIN
		C: AUTH PLAIN *
		S: 454 4.7.0 try later
		C? QUIT`
	smtpOpen = `
		S: 220 mx ESMTP
		C: EHLO *
		S: 250 mx
		C? QUIT`
)

func TestAccountCheck(t *testing.T) {
	ca := wiretest.CA(t)
	tls := wiretest.ImplicitTLS(ca.Good)
	imapAddr, popAddr, smtpAddr := wiretest.Serve(t, imapPlain, tls), wiretest.Serve(t, popUser), wiretest.Serve(t, smtpLogin)
	cfg := configFile(t, "[account.work]\nimap = \"imaps://alice@%s\"\npop = \"pop3://alice@%s\"\nsmtp = \"smtp://alice@%s\"\nca-file = %q\npassword = \"sesame\"\n",
		imapAddr, popAddr, smtpAddr, ca.File)
	got := runIn(t, []string{cfg}, "account", "check", "work")
	want := fmt.Sprintf("work\timap\t%s\tTLS 1.3\tPLAIN\tok\nwork\tpop\t%s\tTLS 1.3\tuser\tok\nwork\tsmtp\t%s\tTLS 1.3\tLOGIN\tok\n", imapAddr, popAddr, smtpAddr)
	if got.code != 0 || got.stdout != want || got.stderr != "" {
		t.Errorf("got code %d, stderr %q, stdout\n%swant\n%s", got.code, got.stderr, got.stdout, want)
	}
}

func TestAccountCheckFailures(t *testing.T) {
	ca := wiretest.CA(t)
	tls := wiretest.ImplicitTLS(ca.Good)
	imapAddr := wiretest.Serve(t, imapRefused, tls)
	smtpAddr := wiretest.Serve(t, smtpBusy, tls)
	cfg := configFile(t, "[account.work]\nimap = \"imaps://alice@%s\"\nsmtp = \"smtps://alice@%s\"\nca-file = %q\npassword = \"sesame\"\n", imapAddr, smtpAddr, ca.File)
	got := runIn(t, []string{cfg}, "account", "check")
	want := fmt.Sprintf("work\timap\t%s\tTLS 1.3\tPLAIN\tfailed\nwork\tsmtp\t%s\tTLS 1.3\tPLAIN\tfailed\n", imapAddr, smtpAddr)
	if got.code != exitNoPerm || got.stdout != want {
		t.Errorf("got code %d, stdout\n%swant code %d (the lasting failure wins over the one that passes), stdout\n%s", got.code, got.stdout, exitNoPerm, want)
	}
	for _, words := range []string{
		"mail: work (" + imapAddr + "): authentication with PLAIN failed: ", "wrong password",
		"mail: work (" + smtpAddr + "): authentication with PLAIN failed: ", "try later",
	} {
		if !strings.Contains(got.stderr, words) {
			t.Errorf("stderr %q lacks %q", got.stderr, words)
		}
	}
}

func TestAccountCheckOne(t *testing.T) {
	ca := wiretest.CA(t)
	for _, c := range []struct {
		name, scheme, script string
		secure               bool
		vars                 []string
		want                 checkLine
		stderr               string
	}{
		{"login command", "imaps://alice@", imapLogin, true, []string{"MAIL_PASSWORD=sesame"}, checkLine{Protocol: "imap", TLS: "TLS 1.3", Mechanism: "login-command", User: "alice", OK: true}, ""},
		{"no user, no login", "smtp+plain://", smtpOpen, false, nil, checkLine{Protocol: "smtp", TLS: "cleartext", OK: true}, ""},
		{"wrong certificate", "imaps://alice@", "TLSFAIL wrong-name", false, []string{"MAIL_PASSWORD=sesame"}, checkLine{Protocol: "imap", User: "alice", Exit: exitConfig}, "certificate"},
		{"no password", "imaps://alice@", "", false, nil, checkLine{Protocol: "imap", User: "alice", TLS: "TLS 1.3", Exit: exitConfig}, "hint: configure password"},
		{"nothing in common", "imaps://alice@", "S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=GSSAPI] x\nC? * LOGOUT", true, []string{"MAIL_PASSWORD=sesame"},
			checkLine{Protocol: "imap", User: "alice", TLS: "TLS 1.3", Exit: exitNoPerm}, "the server offers GSSAPI"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var opts []wiretest.Option
			if c.secure {
				opts = append(opts, wiretest.ImplicitTLS(ca.Good))
			}
			script := c.script
			if script == "" {
				script, opts = "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\nC? * LOGOUT", []wiretest.Option{wiretest.ImplicitTLS(ca.Good)}
			}
			addr := wiretest.Serve(t, script, opts...)
			got := runIn(t, append(c.vars, "MAIL_CA="+ca.File), "account", "check", "--server", c.scheme+addr, "--json")
			var line checkLine
			if err := json.Unmarshal([]byte(got.stdout), &line); err != nil {
				t.Fatalf("stdout %q, stderr %q: %v", got.stdout, got.stderr, err)
			}
			if (line.Error == "") != (c.stderr == "") || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("error %q, stderr %q, want %q", line.Error, got.stderr, c.stderr)
			}
			line.Error = ""
			c.want.Server = addr
			if line != c.want || got.code != c.want.Exit {
				t.Errorf("got code %d, %+v, want %+v", got.code, line, c.want)
			}
		})
	}
}

func TestAccountCheckEnvironment(t *testing.T) {
	ca := wiretest.CA(t)
	addr := wiretest.Serve(t, imapPlain, wiretest.ImplicitTLS(ca.Good))
	got := runIn(t, []string{"MAIL_IMAP=imaps://alice@" + addr, "MAIL_PASSWORD=sesame", "MAIL_CA=" + ca.File}, "account", "check")
	if want := fmt.Sprintf("-\timap\t%s\tTLS 1.3\tPLAIN\tok\n", addr); got.code != 0 || got.stdout != want {
		t.Errorf("got code %d, stdout %q, stderr %q, want %q", got.code, got.stdout, got.stderr, want)
	}
	if got := runIn(t, nil, "account", "check"); got.code != exitConfig || got.stdout != "" || !strings.Contains(got.stderr, "there is no configuration") {
		t.Errorf("nothing configured: got %+v", got)
	}
}
