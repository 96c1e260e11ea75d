package server

import (
	"strings"
	"testing"
)

// oddMessage has a part whose transfer encoding nobody knows.
const oddMessage = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nAGhpDQo=\r\n" +
	"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-odd\r\n\r\nabc\r\n--b--\r\n"

// TestIMAPFetchSections: what stands between the brackets, and behind them.
func TestIMAPFetchSections(t *testing.T) {
	tests := []struct{ name, script string }{
		{"a piece needs a length", "C: 1 FETCH 1 BODY[]<0>\nS: 1 BAD *\nC: 2 FETCH 1 BODY[]<5>\nS: 2 BAD *\nC: 3 FETCH 1 BODY[]<0.0>\nS: 3 BAD *"},
		{"a piece from the start", "C: 1 FETCH 1 BODY.PEEK[]<0.4>\nS. * 1 FETCH (BODY[]<0> {4}\nS. From)\nS: 1 OK *"},
		{"a piece behind the end", "C: 1 FETCH 1 BODY.PEEK[]<9999.4>\nS. * 1 FETCH (BODY[]<9999> {0}\nS. )\nS: 1 OK *"},
		{"a piece over the end", "C: 1 FETCH 1 BODY.PEEK[TEXT]<9.4294967295>\nS. * 1 FETCH (BODY[TEXT]<9> {2}\nS. \nS. )\nS: 1 OK *"},
		{"no fields", "C: 1 FETCH 1 BODY[HEADER.FIELDS ()]\nS: 1 BAD *"},
		{"mime of the whole", "C: 1 FETCH 1 BODY[MIME]\nS: 1 BAD *"},
		{"part 0", "C: 1 FETCH 1 BODY[0]\nS: 1 BAD *"},
		{"binary header", "C: 1 FETCH 1 BINARY[HEADER]\nS: 1 BAD *"},
		{"size of a piece", "C: 1 FETCH 1 BINARY.SIZE[1]<0.5>\nS: 1 BAD *\nC: 2 FETCH 1 BINARY.SIZE[1]<0>\nS: 2 BAD *"},
		{"binary", "C: 1 FETCH 2 (BINARY.PEEK[1] BINARY.SIZE[1])\nS. * 2 FETCH (BINARY[1] ~{5}\nS. \x00hi\nS.  BINARY.SIZE[1] 5)\nS: 1 OK *"},
		{"a piece of binary", "C: 1 FETCH 2 BINARY.PEEK[1]<1.2>\nS. * 2 FETCH (BINARY[1]<1> ~{2}\nS. hi)\nS: 1 OK *"},
		{"unknown encoding", "C: 1 FETCH 2 BINARY.PEEK[2]\nS. * 2 FETCH (BINARY[2] NIL)\nS: 1 NO [UNKNOWN-CTE] *"},
		{"unknown encoding behind a literal", "C: 1 FETCH 2:3 (BODY.PEEK[2] BINARY.PEEK[2])\nS. * 2 FETCH (BODY[2] {3}\nS. abc BINARY[2] NIL)\n" +
			"S. * 3 FETCH (BODY[2] NIL BINARY[2] NIL)\nS: 1 NO [UNKNOWN-CTE] *"},
		{"preview", "C: 1 FETCH 1 (PREVIEW (LAZY) UID)\nS. * 1 FETCH (PREVIEW \"Hi Alice.\" UID 1)\nS: 1 OK *\nC: 2 FETCH 1 PREVIEW (LAZY)\nS: [*] 1 FETCH (PREVIEW *\nS: 2 OK *\nC: 3 FETCH 1 (PREVIEW (FROB))\nS: 3 BAD *"},
		{"thread id", "C: 1 FETCH 1 THREADID\nS. * 1 FETCH (THREADID NIL)\nS: 1 OK *\nC: 2 SEARCH THREADID x\nS. * SEARCH\nS: 2 OK *"},
		{"macro in a list", "C: 1 FETCH 1 (ALL)\nS: 1 BAD *"},
		{"a mark in a word that cannot be", "C: 1 FETCH 1 BODY.PEEK\nS: 1 BAD *"},
	}
	srv := imapServer(t, Options{}, plainMessage, oddMessage, plainMessage)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) { talk(t, srv).login().selectInbox().play(tc.script) })
	}
}

// TestIMAPSavedResult: what "$" stands for after a search (RFC 5182 §2.1).
func TestIMAPSavedResult(t *testing.T) {
	tests := []struct{ name, search, want string }{
		{"all", "SEARCH RETURN (SAVE) 1:3", "1 2 3"},
		{"with all", "SEARCH RETURN (SAVE ALL MIN) 1:3", "1 2 3"},
		{"with count", "SEARCH RETURN (SAVE COUNT MAX) 1:3", "1 2 3"},
		{"with min", "SEARCH RETURN (SAVE MIN) 2:3", "2"},
		{"with max", "SEARCH RETURN (SAVE MAX) 1:3", "3"},
		{"with both", "SEARCH RETURN (SAVE MIN MAX) 1:3", "1 3"},
		{"nothing", "SEARCH RETURN (SAVE) DELETED", ""},
		{"after a NO it is empty", "SEARCH RETURN (SAVE) CHARSET KOI8-R TEXT x", ""},
		{"after a BAD it is what it was", "SEARCH RETURN (SAVE) FROB", "2"},
	}
	c := talk(t, imapServer(t, Options{}, plainMessage, plainMessage, plainMessage)).login().selectInbox()
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c.command("SEARCH RETURN (SAVE) 2")
			c.command(tc.search)
			if got := c.command("SEARCH $")[0]; got != strings.TrimSpace("* SEARCH "+tc.want) {
				t.Errorf("got %q, want %q", got, "* SEARCH "+tc.want)
			}
		})
	}
}

// TestIMAPSubscriptions: names that are subscribed to, also without their mailbox (RFC 3501 §6.3.9, RFC 5258 §3.1).
func TestIMAPSubscriptions(t *testing.T) {
	c := talk(t, imapServer(t, Options{})).login()
	for _, command := range []string{"CREATE p/q", "SUBSCRIBE p/q", "CREATE p/r", "CREATE old", "SUBSCRIBE old", "DELETE old", "CREATE inboxes", "CREATE INBOX/x"} {
		c.command(command)
	}
	c.play(`
		C: 1 LSUB "" p%
		S. * LSUB (\Noselect) "/" "p"
		S: 1 OK *
		C: 2 LSUB "" p*
		S. * LSUB () "/" "p/q"
		S: 2 OK *
		C: 3 LSUB "" o*
		S. * LSUB (\Noselect) "/" "old"
		S: 3 OK *
		C: 4 LIST (SUBSCRIBED) "" o*
		S. * LIST (\NonExistent \HasNoChildren \Subscribed) "/" "old"
		S: 4 OK *
		C: 5 LIST "" o*
		S: 5 OK *
		C: 6 LIST (SUBSCRIBED RECURSIVEMATCH) "" p%
		S. * LIST (\HasChildren) "/" "p" ("CHILDINFO" ("SUBSCRIBED"))
		S: 6 OK *
		C: 7 LIST "" inboxes
		S. * LIST (\HasNoChildren) "/" "inboxes"
		S: 7 OK *
		C: 8 LIST "" inbox/%
		S. * LIST (\HasNoChildren) "/" "INBOX/x"
		S: 8 OK *
		C: 9 LIST (REMOTE RECURSIVEMATCH) "" *
		S: 9 BAD *
		C: 10 CREATE folder/
		S: 10 OK [MAILBOXID (*)] *`)
}

// TestIMAPMultiAppend: all messages of one APPEND or none (RFC 3502).
func TestIMAPMultiAppend(t *testing.T) {
	tests := []struct{ name, script string }{
		{"the second is too big", "C> \"1 APPEND Drafts {3+}\\r\\nabc {2000}\\r\\n\"\nS: 1 NO [TOOBIG] *"},
		{"the second is empty", "C> \"1 APPEND Drafts {3+}\\r\\nabc {0+}\\r\\n\\r\\n\"\nS: 1 NO *"},
		{"a bad flag", "C> \"1 APPEND Drafts {3+}\\r\\nabc (\\\\Frob) {3+}\\r\\nabc\\r\\n\"\nS: 1 BAD *"},
		{"no end", "C> \"1 APPEND Drafts {3+}\\r\\nabc {3+}\\r\\nabcd\\r\\n\"\nS: 1 BAD *"},
		{"a space too many", "C> \"1 APPEND Drafts {3+}\\r\\nabc \\r\\n\"\nS: 1 BAD *"},
		{"literal8 and UTF8 not enabled", "C> \"1 APPEND Drafts UTF8 (~{3+}\\r\\nabc)\\r\\n\"\nS: 1 BAD *"},
		{"UTF8 wants a literal8", "C: 0 ENABLE UTF8=ACCEPT\nS: [*] ENABLED *\nS: 0 OK *\nC> \"1 APPEND Drafts UTF8 ({3+}\\r\\nabc)\\r\\n\"\nS: 1 BAD *"},
	}
	srv := imapServer(t, Options{MaxMessage: 1000})
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := talk(t, srv).login()
			c.play(tc.script + "\nC: 2 STATUS Drafts (MESSAGES)\nS. * STATUS \"Drafts\" (MESSAGES 0)\nS: 2 OK *")
		})
	}
	talk(t, srv).login().play("C: 0 ENABLE UTF8=ACCEPT\nS: [*] ENABLED *\nS: 0 OK *\nC> \"1 APPEND Drafts UTF8 (~{3+}\\r\\nabc) {1+}\\r\\nx\\r\\n\"\n" +
		"S: 1 OK [APPENDUID * 1:2] *\nC> \"2 SELECT \\\"\\xff\\\"\\r\\n\"\nS: 2 BAD *")
}

// TestIMAPPipelined: commands sent together are answered one after the other, each with what came before it done.
func TestIMAPPipelined(t *testing.T) {
	c := talk(t, imapServer(t, Options{}, plainMessage, plainMessage, plainMessage))
	c.play(`
		C> "1 LOGIN alice secret\r\n2 SELECT Trash\r\n3 UNSELECT\r\n4 FETCH 1 UID\r\n5 SELECT Archive\r\n6 CLOSE\r\n7 LOGOUT\r\n8 NOOP\r\n"
		S: 1 OK *`)
	want := []string{"2 OK", "3 OK", "4 BAD", "5 OK", "6 OK", "7 OK"}
	for len(want) > 0 {
		if line := c.line(); strings.HasPrefix(line, want[0]) {
			want = want[1:]
		} else if line[0] != '*' {
			t.Fatalf("got %q, want %s", line, want[0])
		}
	}
	c.play("EOF")
}
