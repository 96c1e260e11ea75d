package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"
)

// imapServer starts a server for user alice (password "secret") with an INBOX of the messages given, which are not
// recent.
func imapServer(t testing.TB, o Options, messages ...string) *Server {
	t.Helper()
	if o.IMAP == "" {
		o.IMAP = "127.0.0.1:0"
	}
	o.Users = []User{{Name: "alice", Password: "secret", Token: "tok"}}
	if o.Store == nil {
		o.Store = NewMemory()
	}
	o.AllowCleartextLogin = true
	srv, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	imapFill(t, srv, "INBOX", messages...)
	srv.recent.take(imapBox(t, srv, "INBOX").State().ID, uint32(len(messages)+1))
	return srv
}

// imapBox is a mailbox of alice's.
func imapBox(t testing.TB, srv *Server, mailbox string) Mailbox {
	t.Helper()
	account, err := srv.store.Account("alice")
	if err != nil {
		t.Fatal(err)
	}
	box, err := account.Mailbox(mailbox)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func imapFill(t testing.TB, srv *Server, mailbox string, messages ...string) {
	t.Helper()
	box := imapBox(t, srv, mailbox)
	for _, m := range messages {
		date := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		if _, err := box.Append(context.Background(), []NewMessage{{Body: strings.NewReader(m), Date: date}}); err != nil {
			t.Fatal(err)
		}
	}
}

// talker is a client that sends what it is told.
type talker struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func talk(t testing.TB, srv *Server) *talker {
	t.Helper()
	nc, err := net.Dial("tcp", srv.Addr("imap"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
	c := &talker{t: t, nc: nc, r: bufio.NewReader(nc)}
	c.play("S: [*] OK *")
	return c
}

func (c *talker) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v (got %q)", err, line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// play sends "C: " lines, "C> " quoted octets, and compares "S: " lines as shell patterns in which "[" is taken as it
// is; "[*]" stands for an asterisk. "S. " compares as it is. "EOF" wants the connection to end.
func (c *talker) play(script string) {
	c.t.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		line = strings.TrimLeft(line, "\t")
		switch {
		case strings.HasPrefix(line, "C: "):
			fmt.Fprintf(c.nc, "%s\r\n", line[3:])
		case strings.HasPrefix(line, "C> "):
			raw, err := strconv.Unquote(line[3:])
			if err != nil {
				c.t.Fatalf("script: %q: %v", line, err)
			}
			_, _ = io.WriteString(c.nc, raw)
		case strings.HasPrefix(line, "S: "):
			if got := c.line(); !fits(line[3:], got) {
				c.t.Fatalf("got  %q\nwant %q", got, line[3:])
			}
		case strings.HasPrefix(line, "S. "):
			if got := c.line(); got != line[3:] {
				c.t.Fatalf("got  %q\nwant %q", got, line[3:])
			}
		case line == "EOF":
			if rest, err := io.ReadAll(c.r); len(rest) > 0 {
				c.t.Fatalf("got %q, %v, want the end", rest, err)
			}
		case line != "":
			c.t.Fatalf("script: %q", line)
		}
	}
}

func fits(pattern, got string) bool {
	pattern = strings.ReplaceAll(pattern, `\`, `\\`)
	pattern = strings.ReplaceAll(pattern, "[*]", "\x00")
	pattern = strings.NewReplacer("[", `\[`, "]", `\]`, "?", `\?`, "\x00", `\*`).Replace(pattern)
	hide := strings.NewReplacer("/", "\x01") // path.Match stops at slashes
	ok, err := path.Match(hide.Replace(pattern), hide.Replace(got))
	return ok && err == nil
}

func (c *talker) login() *talker {
	c.t.Helper()
	c.play("C: a LOGIN alice secret\nS: a OK [CAPABILITY IMAP4rev1 *] logged in")
	return c
}

// selectInbox opens INBOX and skips what is told of it.
func (c *talker) selectInbox() *talker {
	c.t.Helper()
	c.command("SELECT INBOX")
	return c
}

// command sends a command and returns all response lines.
func (c *talker) command(text string) []string {
	c.t.Helper()
	fmt.Fprintf(c.nc, "t %s\r\n", text)
	var lines []string
	for {
		lines = append(lines, c.line())
		if last := lines[len(lines)-1]; strings.HasPrefix(last, "t ") {
			return lines
		}
	}
}

const plainMessage = "From: Bob <bob@example.org>\r\nTo: alice@example.org\r\nSubject: hello\r\n" +
	"Date: Sun, 1 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHi Alice.\r\n"

func TestIMAPDialogues(t *testing.T) {
	tests := []struct{ name, script string }{
		{"noop, unknown, logout", `
			C: 1 NOOP
			S: 1 OK NOOP completed
			C: 2 FROB x
			S: 2 BAD unknown command
			C: 3 SELECT INBOX
			S: 3 BAD not possible in this state
			C: 4 LOGOUT
			S: [*] BYE *
			S: 4 OK *
			EOF`},
		{"login refused, then right", `
			C: 1 LOGIN alice wrong
			S: 1 NO [AUTHENTICATIONFAILED] *
			C: 2 LOGIN {5}
			S: + *
			C: alice "secret"
			S: 2 OK [CAPABILITY *
			C: 3 LOGIN alice secret
			S: 3 BAD *`},
		{"literal without waiting", `
			C> "1 LOGIN {5+}\r\nalice {6+}\r\nsecret\r\n"
			S: 1 OK *`},
		{"authenticate plain, both ways, and cancelled", `
			C: 1 AUTHENTICATE PLAIN
			S. + 
			C: *
			S: 1 BAD cancelled
			C: 2 AUTHENTICATE PLAIN !!!
			S: 2 BAD *
			C: 3 AUTHENTICATE PLAIN AGFsaWNlAHdyb25n
			S: 3 NO [AUTHENTICATIONFAILED] *
			C: 4 AUTHENTICATE FOO
			S: 4 NO *
			C: 5 AUTHENTICATE PLAIN
			S. + 
			C: AGFsaWNlAHNlY3JldA==
			S: 5 OK *`},
		{"refused literals are skipped", `
			C> "1 FROB {3+}\r\nabc {2+}\r\nxy\r\n2 NOOP\r\n"
			S: 1 BAD *
			S: 2 OK *`},
		{"strict grammar", `
			C: 1 NOOP 
			S: 1 BAD *
			C: 1  NOOP
			S: 1 BAD *
			C: 2 LOGIN alice  secret
			S: 2 BAD *
			C: 3 LOGIN "al\ice" secret
			S: 3 BAD *
			C: a+b NOOP
			S: [*] BAD *
			C: 
			S: [*] BAD *`},
		{"a lone LF ends the session", `
			C> "1 NOOP\n"
			S: [*] BYE lines end in CRLF*
			EOF`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) { talk(t, imapServer(t, Options{})).play(tc.script) })
	}
}

func TestIMAPSelected(t *testing.T) {
	tests := []struct{ name, script string }{
		{"select", `
			C: 1 SELECT inbox
			S: [*] FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
			S: [*] OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \[*])] *
			S: [*] 2 EXISTS
			S: [*] 0 RECENT
			S: [*] OK [UNSEEN 1] *
			S: [*] OK [UIDVALIDITY *
			S: [*] OK [UIDNEXT 3] *
			S: [*] OK [HIGHESTMODSEQ *
			S: [*] OK [MAILBOXID (*)] *
			S: 1 OK [READ-WRITE] *
			C: 2 SELECT nowhere
			S: [*] OK [CLOSED] *
			S: 2 NO [NONEXISTENT] *
			C: 3 FETCH 1 UID
			S: 3 BAD *`},
		{"fetch", `
			C: 1 SELECT INBOX
			C: 2 FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)
			C: 3 FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]
			C: 4 UID FETCH 1 BODY[TEXT]<3.5>
			C: 5 FETCH 3 FLAGS
			C: 6 UID FETCH 99 FLAGS
			C: 7 FETCH 1 BODY.PEEK[7]
			C: 8 FETCH 1 RFC822.HEADER
			S: [*] FLAGS *
			S: [*] OK [PERM*
			S: [*] 2 EXISTS
			S: [*] 0 RECENT
			S: [*] OK [UNSEEN 1] *
			S: [*] OK [UIDVALIDITY *
			S: [*] OK [UIDNEXT 3] *
			S: [*] OK [HIGHESTMODSEQ *
			S: [*] OK [MAILBOXID (*)] *
			S: 1 OK [READ-WRITE] *
			S. * 1 FETCH (UID 1 FLAGS () RFC822.SIZE 148 INTERNALDATE " 1-Nov-2026 12:00:00 +0000")
			S: [*] 2 FETCH (UID 2 FLAGS () *
			S: 2 OK *
			S: [*] 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {18}
			S: Subject: hello
			S. 
			S. )
			S: 3 OK *
			S: [*] 1 FETCH (UID 1 BODY[TEXT]<3> {5}
			S. Alice FLAGS (\Seen))
			S: 4 OK *
			S: 5 BAD *
			S: 6 OK *
			S: [*] 1 FETCH (BODY[7] NIL)
			S: 7 OK *
			S: [*] 1 FETCH (RFC822.HEADER {137}
			S: From: *
			S: To: *
			S: Subject: *
			S: Date: *
			S: Message-ID: *
			S. 
			S. )
			S: 8 OK *`},
		{"examine is read-only", `
			C: 1 EXAMINE INBOX
			S: [*] FLAGS *
			S: [*] OK [PERMANENTFLAGS ()] *
			S: [*] 2 EXISTS
			S: [*] 0 RECENT
			S: [*] OK [UNSEEN 1] *
			S: [*] OK [UIDVALIDITY *
			S: [*] OK [UIDNEXT 3] *
			S: [*] OK [HIGHESTMODSEQ *
			S: [*] OK [MAILBOXID (*)] *
			S: 1 OK [READ-ONLY] *
			C: 2 STORE 1 +FLAGS (\Deleted)
			S: 2 NO [READ-ONLY] *
			C: 3 EXPUNGE
			S: 3 NO [READ-ONLY] *
			C: 4 MOVE 1 Trash
			S: 4 NO [READ-ONLY] *
			C: 5 FETCH 1 BODY[TEXT]
			S: [*] 1 FETCH (BODY[TEXT] {11}
			S: Hi Alice.
			S. )
			S: 5 OK *
			C: 6 FETCH 1 FLAGS
			S. * 1 FETCH (FLAGS ())
			S: 6 OK *
			C: 7 CLOSE
			S: 7 OK *`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			talk(t, imapServer(t, Options{}, plainMessage, plainMessage)).login().play(tc.script)
		})
	}
}

func TestIMAPChanges(t *testing.T) {
	tests := []struct{ name, script string }{
		{"store and expunge", `
			C: 1 STORE 1 +FLAGS (\Deleted $Todo)
			S: [*] 1 FETCH (FLAGS ($Todo \Deleted))
			S: 1 OK *
			C: 2 STORE 2 FLAGS.SILENT \Seen
			S: 2 OK *
			C: 3 STORE 2 -FLAGS (\Seen)
			S. * 2 FETCH (FLAGS ())
			S: 3 OK *
			C: 4 STORE 1 +FLAGS (\Recent)
			S: 4 BAD *
			C: 5 EXPUNGE
			S: [*] 1 EXPUNGE
			S: 5 OK *
			C: 6 UID FETCH 1:* FLAGS
			S: [*] 1 FETCH (UID 2 FLAGS ())
			S: [*] 2 FETCH (UID 3 FLAGS ())
			S: 6 OK *`},
		{"uid expunge takes only its own", `
			C: 1 STORE 1:3 +FLAGS.SILENT (\Deleted)
			S: 1 OK *
			C: 2 UID EXPUNGE 2
			S: [*] 2 EXPUNGE
			S: 2 OK *`},
		{"conditional store", `
			C: 1 STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\Seen)
			S: [*] OK [HIGHESTMODSEQ *
			S: 1 OK [MODIFIED 1] *
			C: 2 UID STORE 1 (UNCHANGEDSINCE 99999) +FLAGS (\Seen)
			S: [*] 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (*))
			S: 2 OK *`},
		{"copy and move", `
			C: 1 COPY 1:2 Archive
			S: 1 OK [COPYUID * 1:2 1:2] *
			C: 2 COPY 1 nowhere
			S: 2 NO [TRYCREATE] *
			C: 3 UID MOVE 2 Archive
			S: [*] OK [COPYUID * 2 3] *
			S: [*] 2 EXPUNGE
			S: 3 OK *
			C: 4 UID COPY 77 Archive
			S: 4 OK *`},
		{"append", `
			C> "1 APPEND INBOX (\\Seen $Work) \" 1-Nov-2026 12:00:00 +0100\" {5+}\r\nA: b\n\r\n"
			S: [*] 4 EXISTS
			S: [*] 1 RECENT
			S: 1 OK [APPENDUID * 4] *
			C: 2 APPEND nowhere {5}
			S: 2 NO [TRYCREATE] *
			C> "3 APPEND Drafts {3+}\r\nabc (\\Draft) {4+}\r\ndefg\r\n"
			S: 3 OK [APPENDUID * 1:2] *
			C: 4 FETCH 4 (FLAGS INTERNALDATE)
			S. * 4 FETCH (FLAGS ($Work \Seen \Recent) INTERNALDATE " 1-Nov-2026 12:00:00 +0100")
			S: 4 OK *
			C: 5 APPEND INBOX {99999999999}
			S: 5 NO [TOOBIG] *`},
		{"search", `
			C: 1 SEARCH ALL
			S. * SEARCH 1 2 3
			S: 1 OK *
			C: 2 UID SEARCH RETURN (MIN MAX COUNT ALL) 1:2
			S. * ESEARCH (TAG "2") UID MIN 1 MAX 2 ALL 1:2 COUNT 2
			S: 2 OK *
			C: 3 SEARCH RETURN (SAVE) 2:3
			S: 3 OK *
			C: 4 UID FETCH $ UID
			S: [*] 2 FETCH (UID 2)
			S: [*] 3 FETCH (UID 3)
			S: 4 OK *
			C: 5 SEARCH CHARSET KOI8-R TEXT x
			S: 5 NO [BADCHARSET *
			C: 6 SEARCH SUBJECT hello UNSEEN
			S. * SEARCH 1 2 3
			S: 6 OK *
			C: 7 SORT (REVERSE ARRIVAL) UTF-8 ALL
			S: [*] SORT *
			S: 7 OK *
			C: 8 UID THREAD REFERENCES UTF-8 ALL
			S: [*] THREAD (*
			S: 8 OK *
			C: 9 SEARCH FROB
			S: 9 BAD *`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			talk(t, imapServer(t, Options{}, plainMessage, plainMessage, plainMessage)).login().selectInbox().play(tc.script)
		})
	}
}
