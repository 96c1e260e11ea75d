package server

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// labelling is a Faults that does nothing but to make mailboxes labels.
type labelling struct{}

func (labelling) Strike(Event) Strike { return Strike{} }
func (labelling) Labels() bool        { return true }

// gmailServer starts a server whose mailboxes are labels, with messages in INBOX that are not recent.
func gmailServer(t testing.TB, store Store, messages ...string) *Server {
	t.Helper()
	srv := imapServer(t, Options{Store: store, Faults: labelling{}, Without: []string{"OBJECTID", "IMAP4rev2"}}, messages...)
	for _, b := range []string{labelAll, "[Gmail]/Starred", "[Gmail]/Trash", "[Gmail]/Spam"} {
		srv.recent.take(imapBox(t, srv, b).State().ID, 1000)
	}
	return srv
}

// gmailIDs are the X-GM-MSGID and X-GM-THRID of a message in INBOX.
func gmailIDs(t testing.TB, srv *Server, i int) (id, thread string) {
	t.Helper()
	box := imapBox(t, srv, "INBOX")
	m := box.Messages()[i]
	body, err := box.Open(m.UID)
	mustDo(t, err)
	defer body.Close()
	h, err := quickHeader(body)
	mustDo(t, err)
	return fmt.Sprint(gmailNumber(m.ID)), fmt.Sprint(gmailThread(m.ID, h))
}

func TestGmailDialogues(t *testing.T) {
	tests := []struct{ name, script string }{
		{"mailboxes", `
			C: 1 LIST "" *
			S. * LIST (\HasNoChildren) "/" "INBOX"
			S. * LIST (\Noselect \HasChildren) "/" "[Gmail]"
			S. * LIST (\HasNoChildren \All) "/" "[Gmail]/All Mail"
			S. * LIST (\HasNoChildren \Drafts) "/" "[Gmail]/Drafts"
			S. * LIST (\HasNoChildren \Important) "/" "[Gmail]/Important"
			S. * LIST (\HasNoChildren \Sent) "/" "[Gmail]/Sent Mail"
			S. * LIST (\HasNoChildren \Junk) "/" "[Gmail]/Spam"
			S. * LIST (\HasNoChildren \Flagged) "/" "[Gmail]/Starred"
			S. * LIST (\HasNoChildren \Trash) "/" "[Gmail]/Trash"
			S: 1 OK *
			C: 2 SELECT [Gmail]
			S: 2 NO [NONEXISTENT] *
			C: 3 CREATE [Gmail]/Mine
			S: 3 NO [CANNOT] *
			C: 4 DELETE [Gmail]/Trash
			S: 4 NO [CANNOT] *
			C: 5 RENAME [Gmail]/Trash Bin
			S: 5 NO [CANNOT] *
			C: 6 RENAME INBOX [Gmail]/Old
			S: 6 NO [CANNOT] *
			C: 7 CREATE inbox
			S: 7 NO [ALREADYEXISTS] *
			C: 8 DELETE INBOX
			S: 8 NO [CANNOT] *
			C: 9 RENAME nosuch x
			S: 9 NO [NONEXISTENT] *`},
		{"ids", `
			C: 1 EXAMINE INBOX
			S* 1
			C: 2 FETCH 1 (X-GM-MSGID X-GM-THRID)
			S. * 1 FETCH (X-GM-MSGID $id0 X-GM-THRID $thread0)
			S: 2 OK *
			C: 3 EXAMINE "[Gmail]/All Mail"
			S* 3
			C: 4 UID FETCH 1:* (X-GM-MSGID X-GM-THRID)
			S. * 1 FETCH (UID 1 X-GM-MSGID $id0 X-GM-THRID $thread0)
			S. * 2 FETCH (UID 2 X-GM-MSGID $id1 X-GM-THRID $thread0)
			S: 4 OK *
			C: 5 SEARCH X-GM-MSGID $id1
			S. * SEARCH 2
			S: 5 OK *
			C: 6 UID SEARCH X-GM-THRID $thread0
			S. * SEARCH 1 2
			S: 6 OK *
			C: 7 SEARCH OR X-GM-MSGID 1 X-GM-THRID 1
			S. * SEARCH
			S: 7 OK *`},
		{"a copy is a label", `
			C: 1 CREATE work
			S: 1 OK *
			C: 2 SELECT INBOX
			S* 2
			C: 3 COPY 2 work
			S. * 2 FETCH (UID 2 FLAGS ())
			S: 3 OK [COPYUID * 2 1] *
			C: 4 COPY 2 work
			S: 4 OK [COPYUID * 2 1] *
			C: 5 COPY 1:2 "[Gmail]/All Mail"
			S: 5 OK [COPYUID * 1:2 1:2] *
			C: 6 FETCH 1:2 X-GM-LABELS
			S. * 1 FETCH (X-GM-LABELS ())
			S. * 2 FETCH (X-GM-LABELS (work))
			S: 6 OK *
			C: 7 EXAMINE "[Gmail]/All Mail"
			S* 7
			C: 8 FETCH 1:* (UID X-GM-LABELS)
			S. * 1 FETCH (UID 1 X-GM-LABELS (\Inbox))
			S. * 2 FETCH (UID 2 X-GM-LABELS (\Inbox work))
			S: 8 OK *
			C: 9 STATUS work (MESSAGES)
			S. * STATUS "work" (MESSAGES 1)
			S: 9 OK *`},
		{"expunge removes the label", `
			C: 1 SELECT INBOX
			S* 1
			C: 2 STORE 1 +FLAGS.SILENT (\Deleted)
			S: 2 OK *
			C: 3 EXPUNGE
			S. * 1 EXPUNGE
			S: 3 OK *
			C: 4 SELECT "[Gmail]/All Mail"
			S* 4
			C: 5 FETCH 1:* (UID FLAGS X-GM-LABELS)
			S. * 1 FETCH (UID 1 FLAGS () X-GM-LABELS ())
			S. * 2 FETCH (UID 2 FLAGS () X-GM-LABELS (\Inbox))
			S: 5 OK *
			C: 6 STORE 1 +FLAGS.SILENT (\Deleted)
			S: 6 OK *
			C: 7 UID EXPUNGE 1
			S. * 1 EXPUNGE
			S: 7 OK *
			C: 8 SELECT [Gmail]/Trash
			S* 8
			C: 9 FETCH 1:* (FLAGS X-GM-LABELS X-GM-MSGID)
			S. * 1 FETCH (FLAGS () X-GM-LABELS () X-GM-MSGID $id0)
			S: 9 OK *
			C: a STORE 1 +FLAGS.SILENT (\Deleted)
			S: a OK *
			C: b EXPUNGE
			S. * 1 EXPUNGE
			S: b OK *
			C: c STATUS "[Gmail]/All Mail" (MESSAGES)
			S: [*] STATUS * (MESSAGES 1)
			S: c OK *`},
		{"trash takes out of everything, and a label back", `
			C: 1 SELECT INBOX
			S* 1
			C: 2 STORE 2 +X-GM-LABELS.SILENT (work \Starred)
			S: [*] 2 FETCH (UID 2 FLAGS (\Flagged))
			S: 2 OK *
			C: 3 UID MOVE 2 [Gmail]/Trash
			S: [*] OK [COPYUID * 2 1] moved
			S. * 2 EXPUNGE
			S: 3 OK *
			C: 4 LIST "" (work [Gmail]/Starred "[Gmail]/All Mail" [Gmail]/Trash) RETURN (STATUS (MESSAGES))
			S* 4 [Gmail]/All Mail" (MESSAGES 1)|[Gmail]/Starred" (MESSAGES 0)|[Gmail]/Trash" (MESSAGES 1)|"work" (MESSAGES 0)
			C: 5 SELECT [Gmail]/Trash
			S* 5
			C: 6 MOVE 1 work
			S: [*] OK [COPYUID * 1 2] moved
			S. * 1 EXPUNGE
			S: 6 OK *
			C: 7 EXAMINE work
			S* 7
			C: 8 FETCH 1 (FLAGS X-GM-LABELS X-GM-MSGID)
			S. * 1 FETCH (FLAGS (\Flagged \Recent) X-GM-LABELS (\Starred) X-GM-MSGID $id1)
			S: 8 OK *
			C: 9 STATUS "[Gmail]/All Mail" (MESSAGES)
			S: [*] STATUS * (MESSAGES 2)
			S: 9 OK *`},
		{"flags are shared", `
			C: 1 ENABLE CONDSTORE
			S: [*] ENABLED CONDSTORE
			S: 1 OK *
			C: 2 STATUS "[Gmail]/All Mail" (HIGHESTMODSEQ)
			S. * STATUS "[Gmail]/All Mail" (HIGHESTMODSEQ 3)
			S: 2 OK *
			C: 3 SELECT INBOX
			S* 3
			C: 4 STORE 1 +FLAGS (\Seen \Deleted k)
			S. * 1 FETCH (FLAGS (\Deleted \Seen k) MODSEQ (4))
			S: 4 OK *
			C: 5 SELECT "[Gmail]/All Mail"
			S* 5
			C: 6 FETCH 1:* (FLAGS) (CHANGEDSINCE 3)
			S. * 1 FETCH (FLAGS (\Seen k) MODSEQ (4))
			S: 6 OK *
			C: 7 STORE 1 -FLAGS (k)
			S. * 1 FETCH (FLAGS (\Seen) MODSEQ (5))
			S: 7 OK *
			C: 8 EXAMINE INBOX
			S* 8
			C: 9 FETCH 1 FLAGS
			S. * 1 FETCH (FLAGS (\Deleted \Seen))
			S: 9 OK *`},
		{"star", `
			C: 1 SELECT INBOX
			S* 1
			C: 2 STORE 1 +FLAGS (\Flagged)
			S. * 1 FETCH (FLAGS (\Flagged))
			S: 2 OK *
			C: 3 COPY 2 [Gmail]/Starred
			S: [*] 2 FETCH (UID 2 FLAGS (\Flagged))
			S: 3 OK [COPYUID * 2 2] *
			C: 4 SELECT [Gmail]/Starred
			S* 4
			C: 5 FETCH 1:* (FLAGS X-GM-LABELS)
			S. * 1 FETCH (FLAGS (\Flagged) X-GM-LABELS (\Inbox))
			S. * 2 FETCH (FLAGS (\Flagged) X-GM-LABELS (\Inbox))
			S: 5 OK *
			C: 6 STORE 1 -FLAGS.SILENT (\Flagged)
			S: 6 OK *
			C: 7 UID STORE 2 +FLAGS.SILENT (\Deleted)
			S. * 1 EXPUNGE
			S: 7 OK *
			C: 8 UID EXPUNGE 2
			S. * 1 EXPUNGE
			S: 8 OK *
			C: 9 EXAMINE INBOX
			S* 9
			C: a FETCH 1:2 FLAGS
			S. * 1 FETCH (FLAGS ())
			S. * 2 FETCH (FLAGS ())
			S: a OK *`},
		{"store labels", `
			C: 1 ENABLE CONDSTORE
			S: [*] ENABLED CONDSTORE
			S: 1 OK *
			C: 2 SELECT "[Gmail]/All Mail"
			S* 2
			C: 3 STORE 1 +X-GM-LABELS (work "Muy Importante" "cr&AOo-pes/caf&AOk-" \Important)
			S. * 1 FETCH (X-GM-LABELS (\Inbox "Muy Importante" \Important cr&AOo-pes/caf&AOk- work) MODSEQ (7))
			S: 3 OK *
			C: 4 UID STORE 1 -X-GM-LABELS ("\\Inbox" work nosuch)
			S: [*] 1 FETCH (UID 1 X-GM-LABELS ("Muy Importante" \Important cr&AOo-pes/caf&AOk-) MODSEQ (9))
			S: 4 OK *
			C: 5 STORE 1 X-GM-LABELS NEW
			S: [*] 1 FETCH (X-GM-LABELS (NEW) MODSEQ (*))
			S: 5 OK *
			C: 6 STORE 1 (UNCHANGEDSINCE 3) X-GM-LABELS.SILENT (b)
			S: 6 OK [MODIFIED 1] *
			C: 7 STORE 2 +X-GM-LABELS.SILENT (NEW)
			S: [*] 2 FETCH (MODSEQ (*))
			S: 7 OK *
			C: 8 STORE 2 +X-GM-LABELS.SILENT (NEW)
			S: 8 OK *
			C: 9 STORE 2 +X-GM-LABELS (\Nosuch)
			S: 9 BAD *
			C: a STORE 2 +X-GM-LABELS ("[Gmail]/Spam/x")
			S: a NO [CANNOT] *
			C: b STORE 2 +X-GM-LABELS (x {3}
			S: + *
			C: a b)
			S. * 2 FETCH (X-GM-LABELS (\Inbox NEW "a b" x) MODSEQ (16))
			S: b OK *
			C: c LIST "" %
			S* c "NEW"|"Muy Importante"|"a b"|"x"|"work"`},
		{"the label of the selected mailbox stays", `
			C: 1 SELECT INBOX
			S* 1
			C: 2 STORE 1 -X-GM-LABELS (\Inbox)
			S. * 1 FETCH (X-GM-LABELS ())
			S: 2 OK *
			C: 3 STORE 1 X-GM-LABELS (a b)
			S. * 1 FETCH (X-GM-LABELS (a b))
			S: 3 OK *
			C: 4 UID STORE 1 +X-GM-LABELS (\Trash \Sent)
			S. * 1 EXPUNGE
			S: 4 OK *
			C: 5 SELECT [Gmail]/Trash
			S* 5
			C: 6 UID STORE 1 +X-GM-LABELS (\Inbox c)
			S. * 1 EXPUNGE
			S: 6 OK *
			C: 7 EXAMINE INBOX
			S* 7
			C: 8 FETCH 2 (X-GM-LABELS X-GM-MSGID)
			S. * 2 FETCH (X-GM-LABELS (c) X-GM-MSGID $id0)
			S: 8 OK *
			C: 9 STORE 1 +X-GM-LABELS (d)
			S: 9 NO [READ-ONLY] *`},
		{"append", `
			C: 1 CREATE work
			S: 1 OK *
			C: 2 APPEND work (\Seen \Flagged) {17}
			S: + *
			C: Subject: x

			C: hey
			S: 2 OK [APPENDUID * 1] *
			C: 3 APPEND [Gmail]/Spam {17}
			S: + *
			C: Subject: y

			C: hey
			S: 3 OK [APPENDUID * 1] *
			C: 4 APPEND [Gmail]/Starred {17}
			S: + *
			C: Subject: z

			C: hey
			S: 4 OK [APPENDUID * 2] *
			C: 5 SELECT "[Gmail]/All Mail"
			S* 5
			C: 6 FETCH 3:* (FLAGS X-GM-LABELS)
			S: [*] 3 FETCH (FLAGS (\Flagged \Seen) X-GM-LABELS (\Starred work))
			S: [*] 4 FETCH (FLAGS (\Flagged) X-GM-LABELS (\Starred))
			S: 6 OK *
			C: 7 DELETE work
			S: [*] 3 FETCH (UID 3 FLAGS (\Flagged \Seen))
			S: 7 OK *
			C: 8 FETCH 3 X-GM-LABELS
			S. * 3 FETCH (X-GM-LABELS (\Starred))
			S: 8 OK *`},
		{"searches", `
			C: 1 SELECT "[Gmail]/All Mail"
			S* 1
			C: 2 STORE 2 +X-GM-LABELS.SILENT ("Muy Importante/a")
			S: 2 OK *
			C: 3 SEARCH X-GM-LABELS \Inbox
			S. * SEARCH 1 2
			S: 3 OK *
			C: 4 SEARCH NOT X-GM-LABELS "muy importante/A"
			S. * SEARCH 1
			S: 4 OK *
			C: 5 UID SEARCH RETURN (COUNT) X-GM-RAW "label:muy-importante-a in:inbox -is:read"
			S: [*] ESEARCH (TAG "5") UID COUNT 1
			S: 5 OK *
			C: 6 SEARCH X-GM-RAW nosuchoperator:x
			S. * SEARCH
			S: 6 OK *
			C: 7 SEARCH CHARSET UTF-8 X-GM-LABELS {16+}
			C: Muy Importante/a X-GM-RAW -is:read
			S. * SEARCH 2
			S: 7 OK *
			C: 8 SEARCH X-GM-LABELS R&D
			S. * SEARCH
			S: 8 OK *
			C: 9 SEARCH X-GM-MSGID x
			S: 9 BAD *`},
		{"rename", `
			C: 1 SELECT INBOX
			S* 1
			C: 2 STORE 1 +X-GM-LABELS.SILENT (a/b)
			S: 2 OK *
			C: 3 RENAME a c
			S: [*] 1 FETCH (UID 1 FLAGS ())
			S: 3 OK *
			C: 4 FETCH 1 X-GM-LABELS
			S. * 1 FETCH (X-GM-LABELS (c/b))
			S: 4 OK *
			C: 5 RENAME INBOX old
			S. * 1 EXPUNGE
			S. * 1 EXPUNGE
			S: 5 OK *
			C: 6 EXAMINE old
			S* 6
			C: 7 FETCH 1:* (X-GM-LABELS X-GM-MSGID)
			S. * 1 FETCH (X-GM-LABELS (c/b) X-GM-MSGID $id0)
			S. * 2 FETCH (X-GM-LABELS () X-GM-MSGID $id1)
			S: 7 OK *`},
		{"another session", `
			C: 1 SELECT "[Gmail]/All Mail"
			S* 1
			O: STORE 1 +FLAGS (\Answered)
			C: 2 NOOP
			S. * 1 FETCH (UID 1 FLAGS (\Answered))
			S: 2 OK *
			O: MOVE 1 [Gmail]/Spam
			C: 3 NOOP
			S. * 1 EXPUNGE
			S: 3 OK *`},
	}
	for _, tc := range tests {
		gmailStores(t, tc.name, func(t *testing.T, store Store) {
			srv := gmailServer(t, store, plainMessage, "References: <1@example.org> <2@example.org>\r\n"+strings.Replace(plainMessage, "<1@", "<3@", 1))
			id0, thread := gmailIDs(t, srv, 0)
			id1, _ := gmailIDs(t, srv, 1)
			other := talk(t, srv).login().selectInbox()
			c := talk(t, srv).login()
			gmailPlay(c, other, strings.NewReplacer("$id0", id0, "$id1", id1, "$thread0", thread).Replace(tc.script))
		})
	}
}

// gmailStores runs f with a store of each kind.
func gmailStores(t *testing.T, name string, f func(*testing.T, Store)) {
	t.Run(name+", memory", func(t *testing.T) { f(t, NewMemory()) })
	t.Run(name+", Maildir", func(t *testing.T) {
		store, err := openMaildir(t.TempDir(), new(faultPlan).fault)
		mustDo(t, err)
		t.Cleanup(func() { mustDo(t, store.Close()) })
		f(t, store)
	})
}

// gmailPlay is play with "S* tag part|part": lines up to a tagged OK, with these parts in them, and "O: " for a command
// of another session.
func gmailPlay(c, other *talker, script string) {
	c.t.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		line = strings.TrimLeft(line, "\t")
		switch {
		case line == "":
			c.play(`C> "\r\n"`)
		case strings.HasPrefix(line, "O: "):
			other.command(line[3:])
		case strings.HasPrefix(line, "S* "):
			tag, parts, _ := strings.Cut(line[3:], " ")
			all := c.line() + "\n"
			for !strings.HasPrefix(all[strings.LastIndexByte(all[:len(all)-1], '\n')+1:], tag+" ") {
				all += c.line() + "\n"
			}
			for part := range strings.SplitSeq(parts, "|") {
				if !strings.Contains(all, part) || !strings.Contains(all, tag+" OK") {
					c.t.Fatalf("got %s, want %q in it", all, part)
				}
			}
		default:
			c.play(line)
		}
	}
}

// TestGmailOff: servers without labels know nothing of the extension, and with labels it can be switched off.
func TestGmailOff(t *testing.T) {
	for _, o := range []Options{{}, {Faults: labelling{}, Without: []string{"X-GM-EXT-1"}}} {
		c := talk(t, imapServer(t, o, plainMessage)).login().selectInbox()
		if got := c.command("CAPABILITY")[0]; strings.Contains(got, "X-GM") {
			t.Errorf("got %s, want no X-GM-EXT-1", got)
		}
		for _, command := range []string{"FETCH 1 X-GM-MSGID", "FETCH 1 (UID X-GM-LABELS)", "FETCH 1 X-GM-THRID", "STORE 1 +X-GM-LABELS (x)",
			"SEARCH X-GM-RAW x", "SEARCH X-GM-LABELS x", "SEARCH X-GM-MSGID 1", "SEARCH X-GM-THRID 1"} {
			if got := c.command(command); !strings.HasPrefix(got[0], "t BAD") {
				t.Errorf("%s: got %q, want BAD", command, got)
			}
		}
	}
}

// TestGmailRaw compares what queries find.
func TestGmailRaw(t *testing.T) {
	attached := "From: carol@example.org\r\nCc: dave@example.org\r\nSubject: the dinner\r\nMessage-ID: <a@example.org>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee below\r\n--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=menu.txt\r\n\r\nsoup\r\n--b--\r\n"
	srv := gmailServer(t, NewMemory(), plainMessage, attached, "From: crepes@example.org\r\nSubject: movie night\r\n\r\n"+strings.Repeat("popcorn ", 300)+"\r\n")
	c := talk(t, srv).login()
	c.command(`SELECT "[Gmail]/All Mail"`)
	c.command(`STORE 2 +X-GM-LABELS (work/food \Starred)`)
	c.command(`STORE 3 +FLAGS (\Seen)`)
	c.command(`STORE 3 +X-GM-LABELS ("Muy Importante")`)
	c.command(`STORE 1 +X-GM-LABELS (\Important)`)
	c.command(`STORE 3 -X-GM-LABELS (\Inbox)`)
	for _, tc := range []struct{ query, want string }{
		{"", "1 2 3"}, {"from:bob", "1"}, {"FROM:bob@example.org hello", "1"}, {"to:dave", "2"}, {"cc:dave", "2"}, {"bcc:dave", ""}, {"subject:dinner", "2"},
		{`subject:"the dinner"`, "2"}, {`subject:"dinner the"`, ""}, {"subject:(dinner the)", "2"}, {"subject:(dinner movie)", ""}, {"-subject:(dinner movie)", "1 2 3"}, {"subject:(dinner OR movie)", "2 3"},
		{"dinner OR movie", "2 3"}, {"OR movie", "3"}, {"movie OR", "3"}, {"example.org dinner OR hello", "1 2"}, {"-dinner", "1 3"}, {"-subject:dinner -movie", "1"},
		{"has:attachment", "2"}, {"-has:attachment in:anywhere", "1 3"}, {"is:unread", "1 2"}, {"is:read", "3"}, {"is:starred", "2"}, {"is:unstarred", "1 3"},
		{"in:inbox", "1 2"}, {"-in:inbox", "3"}, {"in:sent", ""}, {"in:work-food", "2"}, {"label:work-food", "2"}, {"label:WORK/food", "2"}, {`label:"work/food"`, "2"},
		{"label:inbox", "1 2"}, {"rfc822msgid:<1@example.org>", "1"}, {"rfc822msgid:1@example.org", "1"}, {"larger:2K", "3"}, {"smaller:500", "1 2"},
		{"after:2026/10/31 before:2026-11-2", "1 2 3"}, {"after:2026/11/02", ""}, {"older_than:1y", ""}, {"newer_than:1y", "1 2 3"},
		{"popcorn", "3"}, {"soup", "2"}, {"nothing:here", ""}, {"after:yesterday", ""}, {`"`, "1 2 3"}, {"((", "1 2 3"}, {"from:", "1 2 3"}, {"is:lost", ""},
		{`dinner "OR" movie`, ""}, {"dinner AND carol", "2"}, {"dinner AND movie", ""},
		{"(dinner movie) OR hello", "1"}, {"hello OR (dinner carol)", "1 2"}, {"(hello OR dinner) OR movie", "1 2 3"}, {"dinner OR movie -crepes", "2"},
		{"-(dinner movie)", "1 2 3"}, {"-(dinner OR movie)", "1"}, {"-(dinner carol)", "1 3"}, {"-{dinner movie}", "1"}, {"-(-dinner)", "2"}, {"hello -(dinner)", "1"},
		{"-subject:(dinner OR movie)", "1"}, {"-subject:{dinner movie}", "1"}, {"subject:{dinner movie}", "2 3"}, {"{dinner movie}", "2 3"},
		{"{from:bob (dinner carol)}", "1 2"}, {"subject:((dinner) carol)", ""}, {"subject:((dinner) from:carol)", "2"}, {"from:(bob OR subject:movie)", "1 3"},
		{"subject:(dinner) carol", "2"}, {"()", "1 2 3"}, {"-()", "1 2 3"}, {"{}", "1 2 3"}, {"from:() hello", "1"}, {"hello) OR movie", "1 3"}, {"(hello OR", "1"},
		{"label:starred", "2"}, {"label:sent", ""}, {`label:"muy importante"`, "3"}, {"label:muy-importante", "3"}, {`-in:"Muy Importante"`, "1 2"},
		{"label:important", "1"}, {"label:drafts", ""}, {"after:10/31/2026", "1 2 3"}, {"before:11/01/2026", ""}, {"after:2026/02/30", ""},
		{"newer_than:99999d", ""}, {"newer_than:65535y", "1 2 3"}, {"larger:9999999999999999999M", ""}, {"larger:1kM", ""}, {"-", "1 2 3"}, {"- dinner", "2"},
	} {
		t.Run(tc.query, func(t *testing.T) {
			got := c.command("SEARCH X-GM-RAW " + string(imapQuote(nil, tc.query, false)))
			if want := strings.TrimSpace("* SEARCH " + tc.want); got[0] != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestS4_GmailRawLimits: what is too much is refused, and the session goes on.
func TestS4_GmailRawLimits(t *testing.T) {
	c := talk(t, gmailServer(t, NewMemory(), plainMessage)).login().selectInbox()
	words := func(n int) (query string) {
		for i := range n {
			query += fmt.Sprint(i, " ")
		}
		return query
	}
	for _, tc := range []struct{ name, query, want string }{
		{"nested", strings.Repeat("(", maxSearchDepth-2) + "hello", "* SEARCH 1"},
		{"nested too deep", strings.Repeat("-(", maxSearchDepth) + "hello", "t BAD"},
		{"as many words as may be", words(maxSearchTexts), "* SEARCH"},
		{"too many different words", words(maxSearchTexts + 1), "t BAD"},
		{"too many words", strings.Repeat("a ", maxSearchKeys+1), "t BAD"},
		{"too long", strings.Repeat("a", maxSearchText+1), "t BAD"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := c.command(fmt.Sprintf("SEARCH X-GM-RAW {%d+}\r\n%s", len(tc.query), tc.query))
			if !strings.HasPrefix(got[0], tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// countedBody counts the octets that are read.
type countedBody struct {
	Body
	octets int
}

func (b *countedBody) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.Body.ReadAt(p, off)
	b.octets += n
	return n, err
}

// TestS2_GmailAttachments: the parts of a message are looked at once, however often a query asks for attachments.
func TestS2_GmailAttachments(t *testing.T) {
	box := userMailbox(t, NewMemory(), "alice", "INBOX")
	info := putAll(t, box, plainMessage)[0]
	read := func(query string) int {
		t.Helper()
		p := &searchParser{o: searchContext{Now: time.Now()}}
		body, err := box.Open(info.UID)
		mustDo(t, err)
		counted := &countedBody{Body: body}
		_, err = imapQuery{root: p.gmailQuery(query)}.Match(info, 1, func() (Body, error) { return counted, nil })
		mustDo(t, err)
		return counted.octets
	}
	if once, often := read("-has:attachment"), read(strings.Repeat("-has:attachment ", 100)); often != once || once == 0 {
		t.Errorf("read %d octets, want %d", often, once)
	}
}

// FuzzGmailQuery matches any query, and what is in parentheses behind "-" the other way round.
func FuzzGmailQuery(f *testing.F) {
	for _, seed := range []string{`from:bob -subject:(a "b c") OR {x y}`, `"`, "-(", "is:", `a"b"c`, "label:a in:b OR has:attachment", "older_than:1d {after:2026/1/1 size:1}"} {
		f.Add(seed)
	}
	box := userMailbox(f, NewMemory(), "alice", "INBOX")
	info := putAll(f, box, plainMessage)[0]
	match := func(t *testing.T, query string) (found, known bool) {
		p := &searchParser{o: searchContext{Now: info.Date, Labels: func(string) []string { return []string{"a", "INBOX"} }}}
		root := p.gmailQuery(query)
		found, err := imapQuery{root: root, texts: p.texts, o: p.o}.Match(info, 1, func() (Body, error) { return box.Open(info.UID) })
		if err != nil || p.keys > len(query)+1 {
			t.Errorf("%q: %d keys, %v", query, p.keys, err)
		}
		return found, p.err == nil && (root.op != opAnd || len(root.sub) > 0)
	}
	f.Fuzz(func(t *testing.T, query string) {
		found, known := match(t, query)
		if not, also := match(t, "-("+query+")"); known && also && not == found && !strings.ContainsAny(query, `"(){}`) {
			t.Errorf("%q: got %v, and %v with a minus", query, found, not)
		}
	})
}

// TestGmailClient runs the client engine's side of the extension.
func TestGmailClient(t *testing.T) {
	srv := personaServer(t, "gmail", plainMessage, plainMessage)
	c, ctx := dialIMAP(t, srv, ""), context.Background()
	_, err := c.Select(ctx, "INBOX", nil)
	mustDo(t, err)
	one, _ := imapwire.ParseUIDSet("1")
	mustDo(t, c.StoreLabels(ctx, one, imap.AddFlags, []string{"crêpes & café", `\Starred`, "a"}))
	mustDo(t, c.StoreLabels(ctx, one, imap.RemoveFlags, []string{"a"}))
	tell := func() (text string) {
		t.Helper()
		all, _ := imapwire.ParseUIDSet("1:*")
		_, err := c.Fetch(ctx, all, &imap.FetchOptions{Flags: true, Gmail: true}, func(m *imap.Message) error {
			if m.GmailID == 0 || m.GmailThread == 0 {
				t.Errorf("got %d and %d, want ids", m.GmailID, m.GmailThread)
			}
			flags := slices.DeleteFunc(slices.Clone(m.Flags), func(f imap.Flag) bool { return f == imapwire.FlagRecent })
			text += fmt.Sprintf("%d %q %q\n", m.UID, flags, m.Labels)
			return nil
		})
		mustDo(t, err)
		return text
	}
	want := "1 [\"\\\\Flagged\"] [\"\\\\Starred\" \"crêpes & café\"]\n2 [] []\n"
	if got := tell(); got != want {
		t.Errorf("INBOX:\ngot  %s\nwant %s", got, want)
	}
	_, err = c.Select(ctx, labelAll, nil)
	mustDo(t, err)
	want = strings.ReplaceAll(want, "[\"\\\\Starred\"", "[\"\\\\Inbox\" \"\\\\Starred\"")
	if got := tell(); got != strings.Replace(want, "[] []", "[] [\"\\\\Inbox\"]", 1) {
		t.Errorf("all mail:\ngot  %s", got)
	}
	for key, want := range map[string]imap.SearchKey{"1": imap.SearchGmail("is:starred hello"), "2": imap.SearchNot(imap.SearchLabel("crêpes & café")), "1:2": imap.SearchLabel(`\Inbox`)} {
		if found, err := c.Search(ctx, want); err != nil || found.String() != key {
			t.Errorf("got %s, %v, want %s", found.String(), err, key)
		}
	}
	mustDo(t, c.StoreLabels(ctx, one, imap.SetFlags, nil))
	if got := tell(); !strings.HasPrefix(got, "1 [] []\n") {
		t.Errorf("labels replaced by none: got %s", got)
	}
}

// TestGmailDelivery: what is delivered to two users is in the mailbox of all mail of each, once.
func TestGmailDelivery(t *testing.T) {
	o := Options{Faults: labelling{}, IMAP: "127.0.0.1:0", Users: []User{{Name: "alice"}, {Name: "bob"}}, Store: NewMemory()}
	srv, err := Start(t.Context(), o)
	mustDo(t, err)
	defer srv.Close()
	var mail []delivery
	for i := range o.Users {
		mail = append(mail, delivery{&o.Users[i], strings.NewReader("Subject: x\r\n\r\nx\r\n")})
	}
	mustDo(t, srv.deliver(t.Context(), mail))
	for _, user := range []string{"alice", "bob"} {
		for _, name := range []string{"INBOX", labelAll} {
			if n := len(userMailbox(t, srv.Store(), user, name).Messages()); n != 1 {
				t.Errorf("%s %s has %d messages, want 1", user, name, n)
			}
		}
	}
	a, err := srv.Store().Account("alice")
	mustDo(t, err)
	if octets, n := a.Usage(); n != 1 || octets == 0 {
		t.Errorf("got a usage of %d octets in %d messages, want 1", octets, n)
	}
}

// TestGmailJoined: faults of a script do not hide those that make labels.
func TestGmailJoined(t *testing.T) {
	for want, list := range map[bool][]Faults{true: {&Rules{}, labelling{}}, false: {&Rules{}, &Rules{}}} {
		if l, ok := JoinFaults(list...).(Labeller); !ok || l.Labels() != want {
			t.Errorf("%T: got %v, want %v", list, ok, want)
		}
	}
}

// TestGmailStore: a store of others has no labels.
func TestGmailStore(t *testing.T) {
	if _, err := Start(t.Context(), Options{Store: struct{ Store }{NewMemory()}, Faults: labelling{}, IMAP: "127.0.0.1:0"}); err == nil {
		t.Error("got no error")
	}
}

// TestGmailOlderAccount: an account that was there before gets the system's mailboxes; what was there are labels.
func TestGmailOlderAccount(t *testing.T) {
	s := NewMemory()
	putAll(t, userMailbox(t, s, "alice", "Archive"), "Subject: old\r\n\r\n")
	a, err := newLabelStore(s.(*localStore)).Account("alice")
	mustDo(t, err)
	if n := len(testMailbox(t, a, labelAll).Messages()); n != 1 {
		t.Errorf("got %d messages, want 1", n)
	}
	for _, info := range a.List() {
		if info.Name == "Archive" && info.SpecialUse != "" {
			t.Errorf("got %+v, want no special use", info)
		}
	}
	if !slices.ContainsFunc(a.List(), func(i MailboxInfo) bool { return i.Name == labelAll && i.SpecialUse == `\All` && i.Subscribed }) {
		t.Errorf("got %+v", a.List())
	}
}

// TestGmailPython speaks with Python's imaplib.
func TestGmailPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	srv := gmailServer(t, NewMemory(), plainMessage)
	const program = `
import imaplib, sys
host, port = sys.argv[1].split(":")
m = imaplib.IMAP4(host, int(port))
m.login("alice", "secret")
m.select("INBOX")
print(m.store("1", "+X-GM-LABELS", "(work \\Starred)"))
print(m.uid("STORE", "1", "-X-GM-LABELS", '"\\\\Starred"'))
print(m.fetch("1", "(X-GM-LABELS)"))
print(m.search(None, "X-GM-RAW", '"is:unread label:work"'))
m.logout()
`
	out, err := exec.Command(python, "-c", program, srv.Addr("imap")).CombinedOutput()
	want := `('OK', [b'1 (X-GM-LABELS (\\Starred work))', b'1 (UID 1 FLAGS (\\Flagged))'])
('OK', [b'1 (UID 1 X-GM-LABELS (work))', b'1 (UID 1 FLAGS ())'])
('OK', [b'1 (X-GM-LABELS (work))'])
('OK', [b'1'])
`
	if err != nil || string(out) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, out, want)
	}
}
