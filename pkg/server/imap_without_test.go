package server

import (
	"slices"
	"strings"
	"testing"
)

// imapSwitches are the extensions that can be switched off: what a session says that uses each, the last command of it
// with the answer of a server that has it and of one that has not. "+" is the request to go on.
var imapSwitches = []struct{ name, setup, command, with, without string }{
	{"LITERAL+", "", "LOGIN {5+}\r\nalice x", "BAD not possible*", "BAD*"},
	{"SASL-IR", "", "", "", ""},
	{"ID", "", "ID NIL", "OK*", "BAD*"},
	{"ENABLE", "", "ENABLE CONDSTORE", "OK*", "BAD*"},
	{"NAMESPACE", "", "NAMESPACE", "OK*", "BAD*"},
	{"CHILDREN", "", `LIST "" INBOX`, `* LIST (\HasNoChildren) "/" "INBOX"`, `* LIST () "/" "INBOX"`},
	{"UNSELECT", "", "UNSELECT", "OK*", "BAD*"},
	{"UIDPLUS", "", "UID EXPUNGE 1", "OK*", "BAD*"},
	{"UIDPLUS", "", "COPY 1 Trash", "OK ?COPYUID*", "OK COPY*"},
	{"MOVE", "", "MOVE 1 Trash", "OK*", "BAD*"},
	{"MOVE", "", "UID MOVE 1 Trash", "OK*", "BAD*"},
	{"IDLE", "", "IDLE\r\nDONE", "OK*", "BAD*"},
	{"MULTIAPPEND", "", "APPEND Trash {1+}\r\na {1+}\r\nb", "OK*", "BAD*"},
	{"BINARY", "", "FETCH 1 BINARY[1]", "OK*", "BAD*"},
	{"BINARY", "", "FETCH 1 BINARY.PEEK[1]", "OK*", "BAD*"},
	{"BINARY", "", "FETCH 1 BINARY.SIZE[1]", "OK*", "BAD*"},
	{"BINARY", "", "APPEND Trash ~{1+}\r\na", "OK*", "BAD*"},
	{"LIST-EXTENDED", "", `LIST (SUBSCRIBED) "" *`, "OK*", "BAD*"},
	{"LIST-EXTENDED", "", `LIST "" (*)`, "OK*", "BAD*"},
	{"LIST-EXTENDED", "", `LIST "" * RETURN (CHILDREN)`, "OK*", "BAD*"},
	{"LIST-STATUS", "", `LIST "" INBOX RETURN (STATUS (UNSEEN))`, "OK*", "BAD*"},
	{"SPECIAL-USE", "", `LIST (SPECIAL-USE) "" *`, "OK*", "BAD*"},
	{"SPECIAL-USE", "", `LIST "" Sent`, `* LIST (\HasNoChildren \Sent) "/" "Sent"`, `* LIST (\HasNoChildren) "/" "Sent"`},
	{"SPECIAL-USE", "", `CREATE x (USE (\All))`, "OK*", "BAD*"},
	{"CREATE-SPECIAL-USE", "", `CREATE x (USE (\All))`, "OK*", "BAD*"},
	{"STATUS=SIZE", "", "STATUS INBOX (SIZE)", "OK*", "BAD*"},
	{"CONDSTORE", "", "FETCH 1 MODSEQ", "OK*", "BAD*"},
	{"CONDSTORE", "", "FETCH 1 UID (CHANGEDSINCE 1)", "OK*", "BAD*"},
	{"CONDSTORE", "", "STORE 1 (UNCHANGEDSINCE 1) FLAGS ()", "OK*", "BAD*"},
	{"CONDSTORE", "", "SEARCH MODSEQ 1", "OK*", "BAD*"},
	{"CONDSTORE", "", "STATUS INBOX (HIGHESTMODSEQ)", "OK*", "BAD*"},
	{"CONDSTORE", "", "SELECT INBOX (CONDSTORE)", "OK*", "BAD*"},
	{"CONDSTORE", "", "ENABLE CONDSTORE", "* ENABLED CONDSTORE", "* ENABLED"},
	{"QRESYNC", "", "ENABLE QRESYNC", "* ENABLED QRESYNC", "* ENABLED"},
	{"QRESYNC", "ENABLE QRESYNC", "SELECT INBOX (QRESYNC (1 1))", "OK*", "BAD*"},
	{"QRESYNC", "ENABLE QRESYNC", "UID FETCH 1 UID (CHANGEDSINCE 1 VANISHED)", "OK*", "BAD*"},
	{"ESEARCH", "", "SEARCH RETURN (MIN) ALL", "OK*", "BAD*"},
	{"ESEARCH", "", "SEARCH RETURN (SAVE) ALL", "OK*", "BAD*"},
	{"SEARCHRES", "", "SEARCH RETURN (SAVE) ALL", "OK*", "BAD*"},
	{"SEARCHRES", "", "FETCH $ UID", "OK*", "BAD*"},
	{"SEARCHRES", "", "SEARCH $", "OK*", "BAD*"},
	{"SEARCHRES", "", "SEARCH UID $", "OK*", "BAD*"},
	{"SORT", "", "SORT (DATE) UTF-8 ALL", "OK*", "BAD*"},
	{"SORT=DISPLAY", "", "SORT (DISPLAYFROM) UTF-8 ALL", "OK*", "BAD*"},
	{"SORT", "", "UID SORT (DATE) UTF-8 ALL", "OK*", "BAD*"},
	{"THREAD=ORDEREDSUBJECT", "", "THREAD ORDEREDSUBJECT UTF-8 ALL", "OK*", "BAD*"},
	{"THREAD=REFERENCES", "", "UID THREAD REFERENCES UTF-8 ALL", "OK*", "BAD*"},
	{"UTF8=ACCEPT", "", "ENABLE UTF8=ACCEPT", "* ENABLED UTF8=ACCEPT", "* ENABLED"},
	{"UTF8=ACCEPT", "ENABLE UTF8=ACCEPT", "APPEND Trash UTF8 (~{1+}\r\na)", "OK*", "BAD*"},
	{"OBJECTID", "", "FETCH 1 EMAILID", "OK*", "BAD*"},
	{"OBJECTID", "", "FETCH 1 THREADID", "OK*", "BAD*"},
	{"OBJECTID", "", "SEARCH EMAILID x", "OK*", "BAD*"},
	{"OBJECTID", "", "SEARCH THREADID x", "OK*", "BAD*"},
	{"OBJECTID", "", "STATUS INBOX (MAILBOXID)", "OK*", "BAD*"},
	{"OBJECTID", "", "CREATE x", "OK ?MAILBOXID*", "OK CREATE*"},
	{"PREVIEW", "", "FETCH 1 PREVIEW", "OK*", "BAD*"},
	{"PREVIEW", "", "FETCH 1 (PREVIEW (LAZY))", "OK*", "BAD*"},
	{"QUOTA", "", `GETQUOTA ""`, "OK*", "BAD*"},
	{"QUOTA", "", "GETQUOTAROOT INBOX", "OK*", "BAD*"},
	{"QUOTA", "", `SETQUOTA "" (STORAGE 1)`, "NO ?NOPERM*", "BAD*"},
	{"QUOTA=RES-STORAGE", "", `GETQUOTA ""`, `* QUOTA "" (STORAGE * MESSAGE *)`, `* QUOTA "" (MESSAGE *)`},
	{"QUOTA=RES-STORAGE", "", "STATUS INBOX (DELETED-STORAGE)", "OK*", "BAD*"},
	{"QUOTA=RES-MESSAGE", "", `GETQUOTA ""`, `* QUOTA "" (STORAGE * MESSAGE *)`, `* QUOTA "" (STORAGE *)`},
	{"WITHIN", "", "SEARCH OLDER 1", "OK*", "BAD*"},
	{"WITHIN", "", "SEARCH NOT YOUNGER 1", "OK*", "BAD*"},
	{"COMPRESS=DEFLATE", "", "COMPRESS LZ77", "BAD only*", "BAD unknown*"},
	{"APPENDLIMIT", "", "STATUS INBOX (APPENDLIMIT)", "OK*", "BAD*"},
	{"IMAP4rev2", "", "ENABLE IMAP4rev2", "* ENABLED IMAP4REV2", "* ENABLED"},
}

// TestIMAPWithout switches every extension off in turn: it is not announced, and what it brings is answered as by a
// server that never had it, after which the session goes on.
func TestIMAPWithout(t *testing.T) {
	for _, tc := range imapSwitches {
		t.Run(tc.name+" "+strings.ReplaceAll(tc.command, "\r\n", "|"), func(t *testing.T) {
			for _, without := range [][]string{nil, {tc.name}} {
				want, on := tc.with, without == nil
				if !on {
					want = tc.without
				}
				c := talk(t, imapServer(t, Options{Without: without}, plainMessage)).login().selectInbox()
				announced := strings.Fields(c.command("CAPABILITY")[0])
				has := slices.ContainsFunc(announced, func(word string) bool {
					return word == tc.name || strings.HasPrefix(word, tc.name+"=1") || strings.HasPrefix(word, tc.name+"=2")
				})
				if has != on {
					t.Errorf("without %v: got %v, want %s in it: %v", without, announced, tc.name, on)
				}
				if tc.command == "" {
					continue
				}
				if tc.setup != "" {
					c.command(tc.setup)
				}
				got := c.command(tc.command)
				last := got[len(got)-1]
				match := slices.ContainsFunc(got, func(line string) bool {
					line = strings.TrimPrefix(line, "t ")
					return fits(strings.NewReplacer("* LIST", "[*] LIST", "* QUOTA", "[*] QUOTA", "* ENABLED", "[*] ENABLED", "?", "[").Replace(want), line)
				})
				if !match {
					t.Errorf("without %v: %s: got %q, want %s", without, tc.command, got, want)
				}
				if !strings.HasPrefix(last, "t ") {
					t.Errorf("got %s, want a tagged response", last)
				}
				if got := c.command("NOOP"); got[len(got)-1] != "t OK NOOP completed" {
					t.Errorf("got %q, want the session to go on", got)
				}
			}
		})
	}
}

// TestIMAPWithoutParts: what is a part of IMAP4rev2 (RFC 9051 §1, appendix E) cannot be gone while that is announced,
// and what stands on another extension goes with it.
func TestIMAPWithoutParts(t *testing.T) {
	tests := []struct{ off, gone string }{
		{"NAMESPACE", "IMAP4rev2"}, {"UNSELECT", "IMAP4rev2"}, {"UIDPLUS", "IMAP4rev2"}, {"ESEARCH", "IMAP4rev2 SEARCHRES"}, {"SEARCHRES", "IMAP4rev2"},
		{"ENABLE", "IMAP4rev2 QRESYNC UTF8=ACCEPT"}, {"IDLE", "IMAP4rev2"}, {"SASL-IR", "IMAP4rev2"}, {"LIST-EXTENDED", "IMAP4rev2 LIST-STATUS"},
		{"LIST-STATUS", "IMAP4rev2"}, {"MOVE", "IMAP4rev2"}, {"BINARY", "IMAP4rev2"}, {"SPECIAL-USE", "IMAP4rev2 CREATE-SPECIAL-USE"},
		{"STATUS=SIZE", "IMAP4rev2"}, {"CONDSTORE", "QRESYNC"}, {"QUOTA", "QUOTA=RES-STORAGE QUOTA=RES-MESSAGE"}, {"SORT", "SORT=DISPLAY"},
	}
	for _, tc := range tests {
		t.Run(tc.off, func(t *testing.T) {
			c := talk(t, imapServer(t, Options{Without: []string{tc.off}})).login()
			announced := strings.Fields(c.command("CAPABILITY")[0])
			for _, name := range strings.Fields(tc.gone) {
				if slices.Contains(announced, name) {
					t.Errorf("got %v, want no %s", announced, name)
				}
			}
		})
	}
}

// TestIMAPWithoutBeforeLogin switches off what matters before a login.
func TestIMAPWithoutBeforeLogin(t *testing.T) {
	tests := []struct{ off, script string }{
		{"STARTTLS", "C: 1 STARTTLS\nS: 1 BAD *"},
		{"SASL-IR", "C: 1 AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\nS: 1 BAD *\nC: 2 AUTHENTICATE PLAIN\nS. + \nC: AGFsaWNlAHNlY3JldA==\nS: 2 OK *"},
		{"AUTH=PLAIN", "C: 1 AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\nS: 1 NO *"},
		{"AUTH", "C: 1 AUTHENTICATE CRAM-MD5\nS: 1 NO *"},
		{"LOGIN", "C: 1 LOGIN alice secret\nS: 1 NO *"},
		{"LITERAL+", "C> \"1 LOGIN {5000+}\\r\\n" + strings.Repeat("x", 5000) + " y\\r\\n\"\nS: 1 BAD *\nC> \"2 LOGIN {5+}\\r\\nalice secret\\r\\n\"\nS: 2 OK *"},
		{"LITERAL+,LITERAL-", "C> \"1 LOGIN {5+}\\r\\nalice secret\\r\\n\"\nS: 1 BAD *\nC: 2 NOOP\nS: 2 OK *"},
	}
	for _, tc := range tests {
		t.Run(tc.off, func(t *testing.T) {
			c := talk(t, imapServer(t, Options{Without: strings.Split(tc.off, ",")}))
			got := " " + c.command("CAPABILITY")[0] + " "
			for name := range strings.SplitSeq(tc.off, ",") {
				if strings.Contains(got, " "+name+" ") || name == "LOGIN" && !strings.Contains(got, " LOGINDISABLED ") {
					t.Errorf("got %s, want no %s", got, name)
				}
			}
			c.play(tc.script)
		})
	}
}
