package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// beside runs scripts of two sessions, a and b, that have INBOX with three messages open. Each step is a script with
// the name of its session before it. setup goes to both before they select.
func beside(t *testing.T, setup string, steps ...string) {
	t.Helper()
	srv := imapServer(t, Options{}, plainMessage, plainMessage, plainMessage)
	sessions := map[string]*talker{}
	for _, name := range []string{"a", "b"} {
		c := talk(t, srv).login()
		for line := range strings.SplitSeq(setup, "\n") {
			if line != "" {
				c.command(line)
			}
		}
		sessions[name] = c.selectInbox()
	}
	for _, step := range steps {
		name, script, _ := strings.Cut(step, " ")
		sessions[name].play(script)
	}
}

// gone removes message 2 in session b.
const gone = "b C: x STORE 2 +FLAGS.SILENT (\\Deleted)\nS: x OK *\nC: y EXPUNGE\nS: [*] 2 EXPUNGE\nS: y OK *"

// TestIMAPOthersExpunge: what a command sees after another session's EXPUNGE (RFC 9051 §7.5.1, RFC 2180).
func TestIMAPOthersExpunge(t *testing.T) {
	tests := []struct {
		name, setup string
		steps       []string
	}{
		{"uid fetch leaves it out", "", []string{gone, `a C: 1 UID FETCH 1:3 BODY.PEEK[TEXT]<0.2>
			S. * 1 FETCH (UID 1 BODY[TEXT]<0> {2}
			S. Hi)
			S. * 3 FETCH (UID 3 BODY[TEXT]<0> {2}
			S. Hi)
			S. * 2 EXPUNGE
			S: 1 OK *`}},
		{"uid store leaves it out", "", []string{gone, `a C: 1 UID STORE 2 +FLAGS (\Seen)
			S. * 2 EXPUNGE
			S: 1 OK *`}},
		{"store after an expunge that was not told", "", []string{"a C: 0 FETCH 1 UID\nS. * 1 FETCH (UID 1)\nS: 0 OK *", gone, `a C: 1 STORE 2:3 +FLAGS (\Seen)
			S. * 3 FETCH (FLAGS (\Seen))
			S: 1 NO [EXPUNGEISSUED] *
			C: 2 NOOP
			S. * 2 EXPUNGE
			S: 2 OK *`}},
		{"copy by number copies nothing", "", []string{gone, `a C: 1 COPY 1:3 Archive
			S. * 2 EXPUNGE
			S: 1 NO [EXPUNGEISSUED] *
			C: 2 STATUS Archive (MESSAGES)
			S. * STATUS "Archive" (MESSAGES 0)
			S: 2 OK *`}},
		{"move by number moves nothing", "", []string{gone, `a C: 1 MOVE 1:3 Archive
			S. * 2 EXPUNGE
			S: 1 NO [EXPUNGEISSUED] *
			C: 2 STATUS Archive (MESSAGES)
			S. * STATUS "Archive" (MESSAGES 0)
			S: 2 OK *`}},
		{"uid copy leaves it out", "", []string{gone, `a C: 1 UID COPY 1:3 Archive
			S. * 2 EXPUNGE
			S: 1 OK [COPYUID * 1,3 1:2] *`}},
		{"sort and thread keep the numbers", "", []string{gone, `a C: 1 SORT (ARRIVAL) UTF-8 ALL
			S. * SORT 1 2 3
			S: 1 OK *
			C: 2 THREAD ORDEREDSUBJECT UTF-8 ALL
			S: [*] THREAD *
			S: 2 OK *
			C: 3 SEARCH 3
			S. * SEARCH 3
			S: 3 OK *
			C: 4 UID SEARCH 1:*
			S: [*] SEARCH 1 2 3
			S. * 2 EXPUNGE
			S: 4 OK *`}},
		{"vanished earlier does not name what is still numbered", "ENABLE QRESYNC", []string{
			"b C: x STORE 2 +FLAGS.SILENT (\\Deleted)\nS: [*] 2 FETCH (UID 2 MODSEQ (*))\nS: x OK *\nC: y EXPUNGE\nS. * VANISHED 2\nS: y OK [HIGHESTMODSEQ *] *",
			`a C: 1 UID FETCH 2 UID (CHANGEDSINCE 1 VANISHED)
			S: [*] 2 FETCH (UID 2 MODSEQ (*))
			S. * VANISHED 2
			S: 1 OK *`}},
		{"the saved result forgets it", "", []string{"a C: 0 SEARCH RETURN (SAVE) 2:3\nS: 0 OK *", gone, `a C: 1 NOOP
			S. * 2 EXPUNGE
			S: 1 OK *
			C: 2 FETCH $ UID
			S. * 2 FETCH (UID 3)
			S: 2 OK *`}},
		{"in idle", "", []string{"a C: 1 IDLE\nS: + *", "b C: x STORE 2 +FLAGS.SILENT (\\Deleted)\nS: x OK *",
			"a S. * 2 FETCH (UID 2 FLAGS (\\Deleted))", "b C: y EXPUNGE\nS: [*] 2 EXPUNGE\nS: y OK *", "a S. * 2 EXPUNGE\nC: dOnE\nS: 1 OK *"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) { beside(t, tc.setup, tc.steps...) })
	}
}

// TestIMAPCondstore: mod-sequences in responses (RFC 7162 §3.1).
func TestIMAPCondstore(t *testing.T) {
	tests := []struct {
		name, setup string
		steps       []string
	}{
		{"a refused store tells what had changed", "ENABLE CONDSTORE", []string{
			"b C: x STORE 2 +FLAGS.SILENT (\\Flagged)\nS: [*] 2 FETCH (MODSEQ (*))\nS: x OK *",
			`a C: 1 STORE 1:2 (UNCHANGEDSINCE 4) +FLAGS.SILENT (\Seen)
			S: [*] 1 FETCH (MODSEQ (*))
			S: [*] 2 FETCH (UID 2 FLAGS (\Flagged) MODSEQ (*))
			S: 1 OK [MODIFIED 2] *`}},
		{"unchangedsince 0 never stores", "ENABLE CONDSTORE", []string{`a C: 1 UID STORE 1:3 (UNCHANGEDSINCE 0) FLAGS ()
			S: 1 OK [MODIFIED 1:3] *`}},
		{"reading a text tells the new mod-sequence", "ENABLE CONDSTORE", []string{`a C: 1 FETCH 1 BODY[TEXT]<0.2>
			S: [*] 1 FETCH (BODY[TEXT]<0> {2}
			S: Hi FLAGS (\Seen) MODSEQ (*))
			S: 1 OK *`}},
		{"a bad command does not switch it on", "", []string{`a C: 1 FETCH 1 (MODSEQ FROB)
			S: 1 BAD *
			C: 2 STORE 1 +FLAGS (\Seen)
			S. * 1 FETCH (FLAGS (\Seen))
			S: 2 OK *
			C: 3 FETCH 1 MODSEQ
			S: [*] OK [HIGHESTMODSEQ *
			S: [*] 1 FETCH (MODSEQ (*))
			S: 3 OK *`}},
		{"sort by mod-sequence switches it on", "", []string{`a C: 1 SORT (ARRIVAL) UTF-8 MODSEQ 1
			S: [*] OK [HIGHESTMODSEQ *
			S: [*] SORT 1 2 3 (MODSEQ *)
			S: 1 OK *`}},
		{"search", "", []string{`a C: 1 SEARCH MODSEQ "/flags/\\draft" all 2
			S: [*] OK [HIGHESTMODSEQ *
			S: [*] SEARCH * (MODSEQ *)
			S: 1 OK *
			C: 2 SEARCH RETURN (MIN) MODSEQ 2
			S: [*] ESEARCH (TAG "2") MIN * MODSEQ *
			S: 2 OK *
			C: 3 SEARCH MODSEQ 9999
			S. * SEARCH
			S: 3 OK *`}},
		{"qresync arguments", "ENABLE QRESYNC", []string{`a C: 1 SELECT INBOX (QRESYNC (1 1 1:2 3:4))
			S: 1 BAD *
			C: 2 SELECT INBOX (QRESYNC (1 1 1:*))
			S: 2 BAD *
			C: 3 SELECT INBOX (QRESYNC (1 0))
			S: 3 BAD *
			C: 4 UID FETCH 1 UID (VANISHED)
			S: 4 BAD *
			C: 5 FETCH 1 UID (CHANGEDSINCE 1 VANISHED)
			S: 5 BAD *`}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) { beside(t, tc.setup, tc.steps...) })
	}
}

// TestIMAPUnsolicitedUID: a FETCH response that nobody asked for says which message it is about (RFC 9051 §7.5.2).
func TestIMAPUnsolicitedUID(t *testing.T) {
	beside(t, "", "b C: 1 STORE 3 +FLAGS.SILENT (\\Seen)\nS: 1 OK *", "a C: 1 NOOP\nS. * 3 FETCH (UID 3 FLAGS (\\Seen))\nS: 1 OK *")
}

// TestIMAPHighestModSeq: what SELECT calls the highest mod-sequence is that of what it has told, whatever comes
// meanwhile.
func TestIMAPHighestModSeq(t *testing.T) {
	srv := imapServer(t, Options{}, plainMessage)
	late := &lateMailbox{Mailbox: imapBox(t, srv, "INBOX"), before: func() { imapFill(t, srv, "INBOX", plainMessage) }}
	v := newIMAPView(late, false)
	if got, want := v.state.HighestModSeq, v.msgs[len(v.msgs)-1].ModSeq; got > want {
		t.Errorf("mod-sequence: got %d, want at most %d, that of the last message told", got, want)
	}
	if got, last := v.state.UIDNext, v.msgs[len(v.msgs)-1].UID; got <= last {
		t.Errorf("UIDNEXT: got %d, want more than %d", got, last)
	}
}

// lateMailbox is a mailbox to which mail comes between two looks at it.
type lateMailbox struct {
	Mailbox
	looks  int
	before func()
}

func (m *lateMailbox) look() {
	if m.looks++; m.looks == 2 {
		m.before()
	}
}

func (m *lateMailbox) State() MailboxState {
	m.look()
	return m.Mailbox.State()
}

func (m *lateMailbox) Messages() []MessageInfo {
	m.look()
	return m.Mailbox.Messages()
}

// TestIMAPMaildirOutside: mail that another program puts into the folder is told by the next command.
func TestIMAPMaildirOutside(t *testing.T) {
	dir := t.TempDir()
	store, err := OpenMaildir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	srv := imapServer(t, Options{Store: store}, plainMessage)
	c := talk(t, srv).login().selectInbox()
	if err := os.WriteFile(filepath.Join(dir, "alice", "new", "1.a.b"), []byte("A: b\n\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(c.command("NOOP"), "\n")
	if !strings.Contains(got, "* 2 EXISTS") {
		t.Errorf("got %q, want 2 EXISTS", got)
	}
}

// TestIMAPRecent: a message is \Recent in the first session that is told of it, and in no other (RFC 3501 §2.3.2).
func TestIMAPRecent(t *testing.T) {
	srv := imapServer(t, Options{})
	imapFill(t, srv, "INBOX", plainMessage, plainMessage)
	a := talk(t, srv).login()
	a.play("C: 1 STATUS INBOX (RECENT)\nS. * STATUS \"INBOX\" (RECENT 2)\nS: 1 OK *")
	count := func(c *talker, command, want string) {
		t.Helper()
		if got := strings.Join(c.command(command), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: got %s\nwant %s in it", command, got, want)
		}
	}
	count(a, "EXAMINE INBOX", "* 2 RECENT")
	count(a, "SELECT INBOX", "* 2 RECENT")
	a.play("C: 2 FETCH 1 FLAGS\nS. * 1 FETCH (FLAGS (\\Recent))\nS: 2 OK *")
	b := talk(t, srv).login()
	count(b, "STATUS INBOX (RECENT)", "(RECENT 0)")
	count(b, "SELECT INBOX", "* 0 RECENT")
	b.play("C: 2 FETCH 1 FLAGS\nS. * 1 FETCH (FLAGS ())\nS: 2 OK *\nC: 3 SEARCH RECENT\nS. * SEARCH\nS: 3 OK *")
	imapFill(t, srv, "INBOX", plainMessage)
	b.play("C: 4 NOOP\nS. * 3 EXISTS\nS. * 1 RECENT\nS: 4 OK *\nC: 5 SEARCH RECENT\nS. * SEARCH 3\nS: 5 OK *")
	a.play(`
		C: 3 NOOP
		S. * 3 EXISTS
		S. * 2 RECENT
		S: 3 OK *
		C: 4 STORE 1 +FLAGS (\Seen)
		S. * 1 FETCH (FLAGS (\Seen \Recent))
		S: 4 OK *
		C: 5 SEARCH NEW
		S. * SEARCH 2
		S: 5 OK *
		C: 6 SEARCH OLD
		S. * SEARCH 3
		S: 6 OK *
		C: 7 STORE 2 FLAGS (\Deleted)
		S. * 2 FETCH (FLAGS (\Deleted \Recent))
		S: 7 OK *
		C: 8 EXPUNGE
		S. * 2 EXPUNGE
		S: 8 OK *`)
	rev2 := talk(t, srv).login()
	rev2.command("ENABLE IMAP4rev2")
	imapFill(t, srv, "INBOX", plainMessage)
	rev2.selectInbox().play("C: 1 FETCH 3 FLAGS\nS. * 3 FETCH (FLAGS ())\nS: 1 OK *\nC: 2 SEARCH RECENT\nS: 2 BAD *")
}
