package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestT9_IMAPStartTLSInjection sends a command in one piece with STARTTLS: it must not be executed under TLS.
func TestT9_IMAPStartTLSInjection(t *testing.T) {
	c := talk(t, imapServer(t, Options{}))
	c.play(`
		C> "1 STARTTLS\r\n2 LOGIN alice secret\r\n"
		S: [*] BYE commands came with STARTTLS*
		EOF`)
}

// TestT9_IMAPSessionFixation: a login before TLS is no login after it, and STARTTLS is not possible then.
func TestT9_IMAPSessionFixation(t *testing.T) {
	srv := imapServer(t, Options{})
	talk(t, srv).login().play("C: 1 STARTTLS\nS: 1 BAD not possible in this state")
	c := talk(t, srv)
	c.play("C: 1 STARTTLS\nS: 1 OK *")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(srv.CA())
	conn := tls.Client(c.nc, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.nc = conn
	c.r.Reset(conn)
	c.play("C: 2 SELECT INBOX\nS: 2 BAD *\nC: 3 STARTTLS\nS: 3 BAD *")
	c.login()
}

func TestIMAPCleartextLogin(t *testing.T) {
	srv, err := Start(context.Background(), Options{IMAP: "127.0.0.1:0", Users: []User{{Name: "alice", Password: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	c := talk(t, srv)
	got := strings.Join(c.command("CAPABILITY"), "\n")
	if !strings.Contains(got, "LOGINDISABLED") || strings.Contains(got, "AUTH=PLAIN") || !strings.Contains(got, "STARTTLS") {
		t.Errorf("got %s, want LOGINDISABLED and STARTTLS and no AUTH=PLAIN", got)
	}
	c.play("C: 1 LOGIN alice secret\nS: 1 NO [PRIVACYREQUIRED] *\nC: 2 AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\nS: 2 NO *")
}

func TestIMAPIdle(t *testing.T) {
	srv := imapServer(t, Options{}, plainMessage, plainMessage)
	c := talk(t, srv).login().selectInbox()
	c.play("C: 1 IDLE\nS: + idling")
	for i := range 20 {
		imapFill(t, srv, "INBOX", plainMessage)
		c.play(fmt.Sprintf("S. * %d EXISTS\nS. * %d RECENT", i+3, i+1))
	}
	other := talk(t, srv).login().selectInbox()
	other.play("C: 1 STORE 1 +FLAGS.SILENT (\\Deleted)\nS: 1 OK *")
	c.play(`S. * 1 FETCH (UID 1 FLAGS (\Deleted))`)
	other.play("C: 2 EXPUNGE\nS. * 1 EXPUNGE\nS: 2 OK *")
	c.play("S. * 1 EXPUNGE\nC: DONE\nS: 1 OK *\nC: 2 NOOP\nS: 2 OK *\nC: 3 IDLE\nS: + *\nC: NOOP\nS: 3 BAD *\nC: 4 NOOP\nS: 4 OK *")
}

// TestIMAPIdleEnds: a server that stops does not wait for idle clients, and leaves nothing behind.
func TestIMAPIdleEnds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	srv := imapServer(t, Options{}, plainMessage)
	c := talk(t, srv).login().selectInbox()
	c.play("C: 1 IDLE\nS: + idling")
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: got %v, want nil", err)
	}
	c.nc.Close()
}

// TestIMAPPendingExpunge: sequence numbers stay while FETCH, STORE and SEARCH by number run (RFC 9051 §7.5.1).
func TestIMAPPendingExpunge(t *testing.T) {
	srv := imapServer(t, Options{}, plainMessage, plainMessage, plainMessage)
	a, b := talk(t, srv).login().selectInbox(), talk(t, srv).login().selectInbox()
	b.play("C: 1 STORE 1 +FLAGS.SILENT (\\Deleted)\nS: 1 OK *\nC: 2 EXPUNGE\nS: [*] 1 EXPUNGE\nS: 2 OK *")
	a.play(`
		C: 1 FETCH 2 UID
		S. * 2 FETCH (UID 2)
		S: 1 OK *
		C: 2 FETCH 1:2 BODY.PEEK[TEXT]<0.2>
		S: [*] 2 FETCH (BODY[TEXT]<0> {2}
		S. Hi)
		S: 2 NO [EXPUNGEISSUED] *
		C: 3 SEARCH ALL
		S: [*] SEARCH *
		S: 3 OK *
		C: 4 STORE 1 +FLAGS.SILENT (\Seen)
		S: 4 NO [EXPUNGEISSUED] *
		C: 5 NOOP
		S. * 1 EXPUNGE
		S: 5 OK *
		C: 6 FETCH 1 UID
		S. * 1 FETCH (UID 2)
		S: 6 OK *`)
}

func TestIMAPQResync(t *testing.T) {
	srv := imapServer(t, Options{}, plainMessage, plainMessage, plainMessage)
	c := talk(t, srv).login()
	c.play("C: 1 SELECT INBOX (QRESYNC (1 1))\nS: 1 BAD *\nC: 2 ENABLE QRESYNC\nS. * ENABLED QRESYNC\nS: 2 OK *")
	var validity, modseq string
	for _, line := range c.command("SELECT INBOX") {
		if _, rest, ok := strings.Cut(line, "[UIDVALIDITY "); ok {
			validity, _, _ = strings.Cut(rest, "]")
		}
		if _, rest, ok := strings.Cut(line, "[HIGHESTMODSEQ "); ok {
			modseq, _, _ = strings.Cut(rest, "]")
		}
	}
	other := talk(t, srv).login().selectInbox()
	other.command(`STORE 1 +FLAGS (\Deleted)`)
	other.command(`EXPUNGE`)
	other.command(`STORE 1 +FLAGS (\Flagged)`)
	c.play("C: 3 UNSELECT\nS: 3 OK *")
	got := strings.Join(c.command("SELECT INBOX (QRESYNC ("+validity+" "+modseq+" 1:3))"), "\n")
	for _, want := range []string{"* VANISHED (EARLIER) 1\n", "* 1 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ ("} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant %q in it", got, want)
		}
	}
	other.command(`STORE 1 +FLAGS (\Deleted)`)
	other.command(`EXPUNGE`)
	c.play("C: 4 NOOP\nS. * VANISHED 2\nS: 4 OK *")
	got = strings.Join(c.command("UID FETCH 1:9 FLAGS (CHANGEDSINCE 1 VANISHED)"), "\n")
	if !strings.HasPrefix(got, "* VANISHED (EARLIER) 1:2") {
		t.Errorf("got %s, want VANISHED first", got)
	}
}

func TestIMAPList(t *testing.T) {
	tests := []struct{ name, script string }{
		{"patterns", `
			C: 1 LIST "" ""
			S. * LIST (\Noselect) "/" ""
			S: 1 OK *
			C: 2 CREATE a/b/c
			S: 2 OK [MAILBOXID (*)] *
			C: 3 LIST "" a%
			S. * LIST (\HasChildren) "/" "a"
			S: 3 OK *
			C: 4 LIST a/ *
			S. * LIST (\HasChildren) "/" "a/b"
			S. * LIST (\HasNoChildren) "/" "a/b/c"
			S: 4 OK *
			C: 5 LIST "" inbox
			S: [*] LIST (*) "/" "INBOX"
			S: 5 OK *`},
		{"extended", `
			C: 1 LIST (SPECIAL-USE) "" * RETURN (STATUS (MESSAGES))
			S. * LIST (\HasNoChildren \Archive) "/" "Archive"
			S: [*] STATUS "Archive" (MESSAGES 0)
			S: [*] LIST (*\Drafts) *
			S: [*] STATUS *
			S: [*] LIST (*\Junk) *
			S: [*] STATUS *
			S: [*] LIST (*\Sent) *
			S: [*] STATUS *
			S: [*] LIST (*\Trash) *
			S: [*] STATUS *
			S: 1 OK *
			C: 2 LIST "" (Sent Junk) RETURN (SUBSCRIBED)
			S: [*] LIST (*\Subscribed*) "/" "Junk"
			S: [*] LIST (*\Subscribed*) "/" "Sent"
			S: 2 OK *
			C: 3 LIST (FROB) "" *
			S: 3 BAD *`},
		{"recursive match", `
			C: 1 CREATE p/q/r
			S: 1 OK *
			C: 2 SUBSCRIBE p/q/r
			S: 2 OK *
			C: 3 LIST (SUBSCRIBED RECURSIVEMATCH) "" p
			S. * LIST (\HasChildren) "/" "p" ("CHILDINFO" ("SUBSCRIBED"))
			S: 3 OK *
			C: 4 LIST (RECURSIVEMATCH) "" *
			S: 4 BAD *`},
		{"names", `
			C: 1 CREATE "Entw&APw-rfe"
			S: 1 OK *
			C: 2 LIST "" Entw*
			S: [*] LIST (*) "/" "Entw&APw-rfe"
			S: 2 OK *
			C: 3 CREATE "bad&name"
			S: 3 BAD *
			C: 4 ENABLE UTF8=ACCEPT
			S. * ENABLED UTF8=ACCEPT
			S: 4 OK *
			C: 5 LIST "" Entw*
			S. * LIST (\HasNoChildren) "/" "Entwürfe"
			S: 5 OK *
			C: 6 RENAME "Entwürfe" "x\"y"
			S: 6 *
			C: 7 DELETE INBOX
			S: 7 NO [CANNOT] *
			C: 8 DELETE nowhere
			S: 8 NO [NONEXISTENT] *
			C: 9 CREATE Sent
			S: 9 NO [ALREADYEXISTS] *`},
		{"subscriptions and status", `
			C: 1 CREATE work (USE (\Flagged))
			S: 1 *
			C: 2 SUBSCRIBE Sent
			S: 2 OK *
			C: 3 UNSUBSCRIBE Junk
			S: 3 OK *
			C: 4 LSUB "" J*
			S: 4 OK *
			C: 5 STATUS INBOX (MESSAGES UNSEEN UIDNEXT SIZE DELETED RECENT)
			S. * STATUS "INBOX" (MESSAGES 1 UNSEEN 1 UIDNEXT 2 SIZE 148 DELETED 0 RECENT 0)
			S: 5 OK *
			C: 6 STATUS nowhere (MESSAGES)
			S: 6 NO [NONEXISTENT] *
			C: 7 NAMESPACE
			S. * NAMESPACE (("" "/")) NIL NIL
			S: 7 OK *
			C: 8 GETQUOTAROOT INBOX
			S. * QUOTAROOT "INBOX" ""
			S: [*] QUOTA "" (STORAGE 1 *
			S: 8 OK *
			C: 9 ID ("name" "x" "version" NIL)
			S: [*] ID (*
			S: 9 OK *`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) { talk(t, imapServer(t, Options{}, plainMessage)).login().play(tc.script) })
	}
}

func TestIMAPRev2(t *testing.T) {
	talk(t, imapServer(t, Options{}, plainMessage)).login().play(`
		C: 1 ENABLE IMAP4rev2
		S. * ENABLED IMAP4REV2
		S: 1 OK *
		C: 2 SELECT INBOX
		S: [*] FLAGS *
		S: [*] OK [PERM*
		S. * 1 EXISTS
		S: [*] OK [UIDVALIDITY *
		S: [*] OK [UIDNEXT *
		S: [*] OK [HIGHESTMODSEQ *
		S: [*] OK [MAILBOXID *
		S. * LIST () "/" "INBOX"
		S: 2 OK *
		C: 3 SEARCH ALL
		S. * ESEARCH (TAG "3") ALL 1
		S: 3 OK *`)
}

// TestIMAPPython runs Python's imaplib against the server.
func TestIMAPPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	srv := imapServer(t, Options{}, plainMessage, plainMessage)
	_, port, _ := net.SplitHostPort(srv.Addr("imap"))
	script := `
import imaplib, sys, time
m = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
m.login("alice", "secret")
print(m.select("INBOX"))
print(m.append("INBOX", "(\\Seen)", imaplib.Time2Internaldate(time.time()), b"A: b\r\n\r\nc\r\n"))
print(m.search(None, "ALL"))
print(m.fetch("3", "(FLAGS BODY[])"))
print(m.store("1", "+FLAGS", "\\Deleted"))
print(m.expunge())
print(m.copy("1", "Archive"))
print(m.list())
print(m.status("Archive", "(MESSAGES)"))
print(m.uid("SEARCH", None, "ALL"))
print(m.close(), m.logout())
`
	out, err := exec.Command(python, "-c", script, port).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"[b'2']", "[b'1 2 3']", "b'A: b\\r\\n\\r\\nc\\r\\n'", "MESSAGES 1", "[b'2 3']"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("got %s\nwant %q in it", out, want)
		}
	}
}

// TestIMAPCurl runs curl against the server.
func TestIMAPCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	srv := imapServer(t, Options{}, plainMessage)
	got, err := exec.Command(curl, "-s", "-S", "-u", "alice:secret", "imap://"+srv.Addr("imap")+"/INBOX;UID=1").CombinedOutput()
	if err != nil || string(got) != plainMessage {
		t.Errorf("got %q, %v, want the message", got, err)
	}
	file := filepath.Join(t.TempDir(), "message") // not a pipe: curl must know the size
	if err := os.WriteFile(file, []byte(plainMessage), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(curl, "-s", "-S", "-u", "alice:secret", "-T", file, "imap://"+srv.Addr("imap")+"/Drafts").CombinedOutput(); err != nil {
		t.Errorf("append: %s %v", out, err)
	}
	got, err = exec.Command(curl, "-s", "-S", "-u", "alice:secret", "imap://"+srv.Addr("imap")+"/Drafts;UID=1").CombinedOutput()
	if err != nil || string(got) != plainMessage {
		t.Errorf("got %q, %v, want the message appended", got, err)
	}
}

func TestIMAPBadCommandsEnd(t *testing.T) {
	c := talk(t, imapServer(t, Options{}))
	for i := range imapMaxFailures {
		c.play("C: " + strconv.Itoa(i) + " FROB\nS: " + strconv.Itoa(i) + " BAD *")
	}
	c.play("S: [*] BYE *\nEOF")
}

// imapFaults is a table of strikes by command.
type imapFaults map[string]Strike

func (f imapFaults) Strike(e Event) Strike { return f[e.Command] }

func TestIMAPFaults(t *testing.T) {
	srv := imapServer(t, Options{Faults: imapFaults{
		"CHECK": {Reply: "NO [INUSE] try later"}, "UID SEARCH": {Reply: "* BYE gone"}, "UID FETCH": {CutAt: 5}, "EXPUNGE": {Drop: true},
	}}, plainMessage)
	talk(t, srv).login().selectInbox().play("C: 1 CHECK\nS. 1 NO [INUSE] try later\nC: 2 NOOP\nS: 2 OK *\nC: 3 UID SEARCH ALL\nS. * BYE gone\nEOF")
	talk(t, srv).login().selectInbox().play("C: 1 EXPUNGE\nEOF")
	c := talk(t, srv).login().selectInbox()
	c.play("C: 1 UID FETCH 1 BODY[]\nS: [*] 1 FETCH (UID 1 BODY[] {148}")
	if rest, err := io.ReadAll(c.r); len(rest) > 5 || err == nil {
		t.Errorf("got %q, %v, want at most 5 octets and a reset", rest, err)
	}
}

func TestIMAPListPattern(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"%", "a/b", false}, {"a/%", "a/b", true}, {"*b", "a/b", true}, {"a%b", "a/b", false},
		{"inbox", "INBOX", true}, {"inbox/%", "INBOX/x", true}, {"", "a", false}, {"%%*%", "abc", true}, {"sent", "Sent", false},
		{strings.Repeat("*", 900) + "x", strings.Repeat("a", 900), false},
	}
	for _, tc := range tests {
		if got := matchMailbox(tc.pattern, tc.name); got != tc.want {
			t.Errorf("%.20q %.20q: got %v, want %v", tc.pattern, tc.name, got, tc.want)
		}
	}
}

func TestIMAPLies(t *testing.T) {
	tests := []struct{ lie, command, script string }{
		{lieEarlyOK, "FETCH", "C: 1 FETCH 1 UID\nS: 1 OK *\nS. * 1 FETCH (UID 1)\nC: 2 NOOP\nS: 2 OK *"},
		{lieWrongTag, "CHECK", "C: 1 CHECK\nS: 1x OK *\nC: 2 NOOP\nS: 2 OK *"},
		{lieWrongSize, "FETCH", "C: 1 FETCH 1 RFC822.SIZE\nS. * 1 FETCH (RFC822.SIZE 155)\nS: 1 OK *"},
		{lieVanished, "UID FETCH", "C: 1 UID FETCH 1 UID\nS: 1 OK *"},
		{lieShort, "FETCH", "C: 1 FETCH 1 BODY.PEEK[TEXT]\nS: [*] 1 FETCH (BODY[TEXT] {12}\nS. Hi Alice.\nS. )\nS: 1 OK *"},
	}
	for _, tc := range tests {
		t.Run(tc.lie, func(t *testing.T) {
			srv := imapServer(t, Options{Faults: imapFaults{tc.command: {Lie: tc.lie}}}, plainMessage)
			talk(t, srv).login().selectInbox().play(tc.script)
		})
	}
	honest := strings.Join(talk(t, imapServer(t, Options{})).login().command("STATUS INBOX (UIDVALIDITY)"), "\n")
	srv := imapServer(t, Options{Faults: imapFaults{"SELECT": {Lie: lieUIDValidity}}})
	_, rest, _ := strings.Cut(strings.Join(talk(t, srv).login().command("SELECT INBOX"), "\n"), "[UIDVALIDITY ")
	if told, _, _ := strings.Cut(rest, "]"); told == "" || strings.Contains(honest, "UIDVALIDITY "+told+")") {
		t.Errorf("got UIDVALIDITY %q, want another than in %s", told, honest)
	}
}

// TestIMAPMbsync pulls a mailbox with mbsync and pushes a message back.
func TestIMAPMbsync(t *testing.T) {
	mbsync, err := exec.LookPath("mbsync")
	if err != nil {
		t.Skip("mbsync is not installed")
	}
	srv := imapServer(t, Options{}, plainMessage, plainMessage)
	_, port, _ := net.SplitHostPort(srv.Addr("imap"))
	dir := t.TempDir()
	config := fmt.Sprintf("IMAPAccount a\nHost 127.0.0.1\nPort %s\nUser alice\nPass secret\nSSLType None\nAuthMechs LOGIN\n\n"+
		"IMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/\nInbox %s/INBOX\n\n"+
		"Channel c\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync All\nExpunge Both\nSyncState *\n", port, dir, dir)
	if err := os.WriteFile(dir+"/rc", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	sync := func() {
		t.Helper()
		if out, err := exec.Command(mbsync, "-c", dir+"/rc", "c").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	sync()
	files, _ := filepath.Glob(dir + "/INBOX/*/*")
	if len(files) != 2 {
		t.Fatalf("got %d files, want 2", len(files))
	}
	pushed := strings.ReplaceAll(plainMessage, "\r\n", "\n")
	if err := os.WriteFile(dir+"/INBOX/new/1.2.example", []byte(pushed), 0o600); err != nil {
		t.Fatal(err)
	}
	sync()
	account, _ := srv.store.Account("alice")
	if box, _ := account.Mailbox("INBOX"); box.State().Messages != 3 {
		t.Errorf("got %d messages, want 3", box.State().Messages)
	}
}
