package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// Scripts of sessions with alice's account.
const (
	imapOpening = "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\n" +
		"C: $login AUTHENTICATE PLAIN AGFsaWNlAHMza3JldA==\nS: $login OK [CAPABILITY IMAP4rev1 LITERAL+ UIDPLUS MOVE %CAPS%] in\n"
	imapExamine = "C: $s EXAMINE INBOX\nS: * 3 EXISTS\nS: * OK [UIDVALIDITY 7] ok\nS: $s OK [READ-ONLY] done\n"
	imapSelect  = "C: $s SELECT INBOX\nS: * 3 EXISTS\nS: * OK [UIDVALIDITY 7] ok\nS: $s OK [READ-WRITE] done\n"
	imapBye     = "C? * LOGOUT\n"
)

// imapFind is the search of the UIDs asked, which finds found.
func imapFind(asked, found string) string {
	return "C: $f UID SEARCH UID " + asked + "\nS: * SEARCH " + found + "\nS: $f OK done\n"
}

// imapMessage is the reply of a fetch of whole messages.
func imapMessage(uid, body string) string {
	return "S> \"* 1 FETCH (UID " + uid + " FLAGS (\\\\Seen \\\\Recent todo) INTERNALDATE \\\"17-Jul-1996 02:44:25 +0000\\\" RFC822.SIZE " +
		"99 BODY[] " + body + ")\\r\\n\"\n"
}

const imapWhole = " (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])\n"

// imapCase is one invocation of `mail imap` and what must come of it.
type imapCase struct {
	script string // after the login; "" when no connection may be made
	caps   string
	args   []string
	stdin  string
	code   int
	stdout string
	stderr []string // each must be there
}

// invoke runs the command; change may alter its environment before.
func (tt imapCase) invoke(t *testing.T, change func(*env)) (code int, stdout, stderr string) {
	t.Helper()
	words := append([]string{"mail", "imap"}, tt.args...)
	if tt.script != "" {
		addr := wiretest.Serve(t, strings.ReplaceAll(imapOpening, "%CAPS%", tt.caps)+tt.script+imapBye)
		words = append(words, "--server", "imap+plain://alice@"+addr)
	}
	e, out, errs := testEnv(tt.stdin)
	e.tree = func(e *env) []*cli.Command { return []*cli.Command{e.imapCommand()} }
	e.getenv = func(name string) string { return map[string]string{"MAIL_PASSWORD": "s3kret"}[name] }
	e.now = func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }
	if change != nil {
		change(e)
	}
	code = run(context.Background(), e, words)
	return code, out.String(), errs.String()
}

func (tt imapCase) run(t *testing.T) {
	t.Helper()
	code, stdout, stderr := tt.invoke(t, nil)
	if code != tt.code || stdout != tt.stdout {
		t.Errorf("mail imap %q:\ngot  %d, stdout %q\nwant %d, stdout %q\nstderr %q", tt.args, code, stdout, tt.code, tt.stdout, stderr)
	}
	for _, want := range tt.stderr {
		if !strings.Contains(stderr, want) {
			t.Errorf("mail imap %q: got stderr %q, want %q in it", tt.args, stderr, want)
		}
	}
	if len(tt.stderr) == 0 && stderr != "" {
		t.Errorf("mail imap %q: got stderr %q, want none", tt.args, stderr)
	}
	if strings.Contains(stderr, "s3kret") || strings.Contains(stderr, "AHMza3JldA") {
		t.Errorf("mail imap %q: the password shows: %s", tt.args, stderr)
	}
}

func runIMAP(t *testing.T, cases map[string]imapCase) {
	t.Helper()
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) { tt.run(t) })
	}
}

func TestIMAPUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"no command": {}, "unknown command": {"fetc"}, "list two": {"list", "a", "b"}, "select none": {"select"},
		"search none": {"search"}, "search term": {"search", "INBOX", "foo"}, "search set": {"search", "INBOX", "1:5"},
		"search joined": {"search", "INBOX", "unseen from:x"}, "search raw": {"search", "INBOX", "since:soon"},
		"fetch none": {"fetch"}, "fetch no set": {"fetch", "INBOX"}, "fetch zero": {"fetch", "INBOX", "0"},
		"fetch word": {"fetch", "INBOX", "x"}, "fetch mixed": {"fetch", "INBOX", "1", "unseen"},
		"fetch two ways": {"fetch", "INBOX", "1", "--headers", "--envelope"}, "fetch part and -o": {"fetch", "INBOX", "1", "--part", "1", "-o", "eml:x"},
		"fetch bad part": {"fetch", "INBOX", "1", "--part", "1..2"}, "fetch json": {"fetch", "INBOX", "1", "--json"},
		"fetch raw alone": {"fetch", "INBOX", "1", "--raw"}, "fetch set and raw keys": {"fetch", "INBOX", "1", "--imap", "ALL"},
		"fetch crlf and -o": {"fetch", "INBOX", "1", "--crlf", "-o", "eml:x"}, "fetch bad dest": {"fetch", "INBOX", "1", "-o", "tar:x"},
		"copy no to": {"copy", "INBOX", "1"}, "move no set": {"move", "INBOX", "--to", "x"}, "flag nothing": {"flag", "INBOX", "1"},
		"flag bad": {"flag", "INBOX", "1", "--add", "a b"}, "flag recent": {"flag", "INBOX", "1", "--add", "recent"},
		"flag set and add": {"flag", "INBOX", "1", "--set", "a", "--add", "b"}, "append none": {"append"}, "append date": {"append", "x", "--date", "soon"},
		"append flag": {"append", "x", "--flag", "(a)"}, "rename one": {"rename", "a"}, "create none": {"create"}, "create two": {"create", "a", "b"},
		"seq star comma": {"fetch", "INBOX", "1,,2", "--seq"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := imapCase{args: args}.invoke(t, nil)
			if code != 64 || stdout != "" || !strings.HasPrefix(stderr, "mail: ") {
				t.Errorf("mail imap %q: got %d, stdout %q, stderr %q; want 64 and words", args, code, stdout, stderr)
			}
		})
	}
}

func TestIMAPNoUser(t *testing.T) {
	code, _, stderr := imapCase{args: []string{"list", "--server", "imaps://imap.example.org"}}.invoke(t, nil)
	if code != 78 || !strings.Contains(stderr, "--user") {
		t.Errorf("got %d, %q; want 78 and a hint", code, stderr)
	}
}

func TestIMAPLoginErrors(t *testing.T) {
	for reply, want := range map[string]int{
		"NO no": 77, "NO [AUTHENTICATIONFAILED] no": 77, "NO [UNAVAILABLE] later": 75, "BAD what": 77,
	} {
		addr := wiretest.Serve(t, "S: * OK [CAPABILITY IMAP4rev1] hi\nC: $a LOGIN alice s3kret\nS: $a "+reply+"\n"+imapBye)
		code, stdout, stderr := imapCase{args: []string{"list", "-vvv", "--server", "imap+plain://alice@" + addr}}.invoke(t, nil)
		if code != want || stdout != "" || !strings.Contains(stderr, addr) {
			t.Errorf("%s: got %d, stdout %q, stderr %q; want %d", reply, code, stdout, stderr, want)
		}
		if strings.Contains(stderr, "s3kret") {
			t.Errorf("%s: the password shows: %s", reply, stderr)
		}
	}
}

func TestIMAPList(t *testing.T) {
	long := "C: $a LIST \"\" \"\\*\" RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE))\n" +
		"S: * LIST (\\Subscribed \\Sent) \"/\" Sent\nS: * STATUS Sent (MESSAGES 5 UIDNEXT 9 UIDVALIDITY 7 UNSEEN 2 SIZE 1234)\n" +
		"S: * LIST (\\Noselect) \"/\" x\nS: $a OK done\n"
	const caps = "LIST-EXTENDED LIST-STATUS SPECIAL-USE STATUS=SIZE"
	runIMAP(t, map[string]imapCase{
		"long": {script: long, caps: caps, args: []string{"list", "-l"}, stdout: "Sent\t\\\\Subscribed \\\\Sent\t5\t2\t1234\nx\t\\\\Noselect\t-\t-\t-\n"},
		"json": {script: long, caps: caps, args: []string{"list", "-l", "--json"}, stdout: `{"name":"Sent","role":"sent","delimiter":"/","attributes":["\\Subscribed","\\Sent"],"isSubscribed":true,"totalEmails":5,"unreadEmails":2,"size":1234,"uidValidity":7,"uidNext":9}` + "\n" + `{"name":"x","delimiter":"/","attributes":["\\Noselect"]}` + "\n"},
	})
}

func TestIMAPSelect(t *testing.T) {
	script := "C: $a STATUS INBOX (UNSEEN)\nS: * STATUS INBOX (UNSEEN 2)\nS: $a OK done\nC: $b EXAMINE INBOX\nS: * 5 EXISTS\nS: * OK [UIDVALIDITY 7] ok\n" +
		"S: * OK [UIDNEXT 12] ok\nS: * FLAGS (\\Seen x)\nS: $b OK done\n"
	runIMAP(t, map[string]imapCase{
		"rows":    {script: script, args: []string{"select", "INBOX"}, stdout: "messages\t5\nunseen\t2\nuidvalidity\t7\nuidnext\t12\nflags\t\\\\Seen x\n"},
		"json":    {script: script, args: []string{"select", "INBOX", "--json"}, stdout: `{"name":"INBOX","attributes":[],"totalEmails":5,"unreadEmails":2,"uidValidity":7,"uidNext":12,"flags":["\\Seen","x"]}` + "\n"},
		"missing": {script: "C: $a STATUS x *\nS: $a NO\nC: $b EXAMINE x\nS: $b NO no such mailbox\n", args: []string{"select", "x"}, code: 66, stderr: []string{`examine "x": NO no such mailbox`}},
	})
}

func TestIMAPSearch(t *testing.T) {
	runIMAP(t, map[string]imapCase{
		"found":     {script: imapExamine + "C: $a UID SEARCH UNSEEN FROM \"bot\" SINCE 15-Nov-2026\nS: * SEARCH 9 4\nS: $a OK done\n", args: []string{"search", "INBOX", "unseen", "from:bot", "since:7d"}, stdout: "4\n9\n"},
		"injection": {script: imapExamine, args: []string{"search", "INBOX", "--imap", "ALL\r\nA1 DELETE INBOX"}, code: 65, stderr: []string{"control character"}},
		"literal":   {script: imapExamine, args: []string{"search", "INBOX", "--imap", "SUBJECT {5}"}, code: 65, stderr: []string{"literal"}},
	})
}

// imapFrom is the first line of a message in an mboxrd stream.
const imapFrom = "From MAILER-DAEMON Wed Jul 17 02:44:25 1996\n"

func TestIMAPFetch(t *testing.T) {
	fetch := func(set string) string { return "C: $a UID FETCH " + set + imapWhole }
	const done = "S: $a OK done\n"
	runIMAP(t, map[string]imapCase{
		"one":            {script: imapExamine + fetch("7") + imapMessage("7", `{10}\r\nA: b\r\n\r\nx\n`) + done, args: []string{"fetch", "INBOX", "7", "--crlf"}, stdout: "A: b\r\n\r\nx\n"},
		"several":        {script: imapExamine + imapFind("7:8", "7 8") + fetch("7:8") + imapMessage("7", `{6}\r\nA: b\r\n`) + imapMessage("8", `{10}\r\n\r\nFrom x\r\n`) + done, args: []string{"fetch", "INBOX", "7,8"}, stdout: imapFrom + "A: b\n\n" + imapFrom + "\n>From x\n\n"},
		"stdin, nothing": {args: []string{"fetch", "INBOX", "-"}},
		"stdin, garbage": {args: []string{"fetch", "INBOX", "-"}, stdin: "8\nx\n", code: 65, stderr: []string{"line 2"}},
		"missing, NIL":   {script: imapExamine + fetch("7") + imapMessage("7", "NIL") + done, args: []string{"fetch", "INBOX", "7"}, code: 66, stderr: []string{"no message with UID 7"}},
		"vanished":       {script: imapExamine + imapFind("7:9", "7 9") + fetch("7,9") + imapMessage("9", `{8}\r\nA: b\r\n\r\n`) + done, args: []string{"fetch", "INBOX", "7:9"}, code: 3, stdout: imapFrom + "A: b\n\n\n", stderr: []string{"no message with UID 7"}},
		"part, qp":       {script: imapExamine + "C: $a UID FETCH 7 (UID BODYSTRUCTURE BODY.PEEK[1.2])\nS: * 1 FETCH (UID 7 BODYSTRUCTURE (((\"A\" \"B\" NIL NIL NIL \"7BIT\" 8)(\"TEXT\" \"PLAIN\" NIL NIL NIL \"QUOTED-PRINTABLE\" 8 1) \"MIXED\") \"MIXED\") BODY[1.2] \"caf=C3=A9\")\n" + done, args: []string{"fetch", "INBOX", "7", "--part", "1.2"}, stdout: "café"},
		"mark seen":      {script: imapSelect + "C: $a UID FETCH 7 (UID FLAGS INTERNALDATE RFC822.SIZE BODY[])\n" + imapMessage("7", `{6}\r\nA: b\r\n`) + done, args: []string{"fetch", "INBOX", "7", "--mark-seen"}, stdout: "A: b\n"},
		"structure": {script: imapExamine + "C: $a UID FETCH 7 (UID RFC822.SIZE BODYSTRUCTURE)\nS: * 1 FETCH (UID 7 RFC822.SIZE 99 BODYSTRUCTURE ((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 8 1)(\"IMAGE\" \"PNG\" NIL NIL NIL \"BASE64\" 50 NIL (\"ATTACHMENT\" (\"FILENAME\" \"a.png\"))) \"MIXED\"))\n" + done,
			args: []string{"fetch", "INBOX", "7", "--structure"}, stdout: "7\t\tmultipart/mixed\t\t\t\t\n7\t1\ttext/plain\t7bit\t8\t\t\n7\t2\timage/png\tbase64\t50\tattachment\ta.png\n"},
		"envelope, json": {script: imapExamine + "C: $a UID FETCH 7 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)\nS: * 1 FETCH (UID 7 FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 +0000\" RFC822.SIZE 9 ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700\" \"s\" ((\"Al\" NIL \"al\" \"example.org\")) NIL NIL NIL NIL NIL NIL \"<id@x>\"))\n" + done,
			args: []string{"fetch", "INBOX", "7", "--envelope", "--json"}, stdout: `{"uid":7,"size":9,"receivedAt":"1996-07-17T02:44:25Z","sentAt":"1996-07-17T02:23:25-07:00","keywords":{"$seen":true},"messageId":["id@x"],"from":[{"name":"Al","email":"al@example.org"}],"subject":"s"}` + "\n"},
	})
}

func TestIMAPFetchIntoFolders(t *testing.T) {
	dir := t.TempDir()
	script := imapExamine + imapFind("7:8", "7 8") + "C: $a UID FETCH 7:8" + imapWhole + imapMessage("7", `{6}\r\nA: b\r\n`) + imapMessage("8", `{3}\r\na\x00b`) + "S: $a OK done\n"
	code, stdout, stderr := imapCase{script: script, args: []string{"fetch", "INBOX", "7:8", "-o", "eml:" + dir}}.invoke(t, nil)
	paths := strings.Fields(stdout)
	if code != 0 || len(paths) != 2 || stderr != "" {
		t.Fatalf("got %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for i, want := range []string{"A: b\r\n", "a\x00b"} {
		if got, err := os.ReadFile(paths[i]); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", paths[i], got, err, want)
		}
	}
	box := filepath.Join(dir, "box")
	code, stdout, stderr = imapCase{script: script, args: []string{"fetch", "INBOX", "7:8", "-o", "maildir:" + box, "--json"}}.invoke(t, nil)
	if code != 0 || strings.Count(stdout, `"mailbox":"INBOX"`) != 2 || !strings.Contains(stdout, `"keywords":{"$seen":true,"todo":true}`) || !strings.Contains(stdout, `"path":"`+box) {
		t.Errorf("got %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	cur, _ := filepath.Glob(filepath.Join(box, "cur", "*S*"))
	if len(cur) != 2 {
		t.Errorf("got %q, want two messages that were seen", cur)
	}
}

func TestIMAPFetchLocalFailure(t *testing.T) {
	code, stdout, stderr := imapCase{script: imapExamine, args: []string{"fetch", "INBOX", "7", "-o", "eml:/dev/null/x"}}.invoke(t, nil)
	if code != 73 && code != 74 || stdout != "" || strings.Contains(stderr, "127.0.0.1") {
		t.Errorf("got %d, stdout %q, stderr %q, want 73 without the server's name", code, stdout, stderr)
	}
}

func TestIMAPCopyAndMove(t *testing.T) {
	const uidplus = "S: $a OK [COPYUID 9 5:6 20:21] done\n"
	find := imapFind("5:6", "5 6")
	runIMAP(t, map[string]imapCase{
		"copy":           {script: imapExamine + find + "C: $a UID COPY 5:6 Trash\n" + uidplus, args: []string{"copy", "INBOX", "5:6", "--to", "Trash"}, stdout: "20\n21\n"},
		"copy, create":   {script: imapExamine + find + "C: $a UID COPY 5:6 x\nS: $a NO [TRYCREATE] no\nC: $b CREATE x\nS: $b OK done\nC: $c UID COPY 5:6 x\nS: $c OK done\n", args: []string{"copy", "INBOX", "5:6", "--to", "x", "--create"}},
		"move":           {script: imapSelect + find + "C: $a UID MOVE 5:6 Trash\nS: * OK [COPYUID 9 5:6 20:21] x\nS: $a OK done\n", args: []string{"move", "INBOX", "5:6", "--to", "Trash"}, stdout: "20\n21\n"},
		"move, readonly": {script: "C: $s SELECT INBOX\nS: $s OK [READ-ONLY] done\n", args: []string{"move", "INBOX", "5:6", "--to", "x"}, code: 77, stderr: []string{"can only be read"}},
	})
}

// A server without MOVE and UIDPLUS keeps the messages, marked.
func TestIMAPMoveWithoutUIDPlus(t *testing.T) {
	addr := wiretest.Serve(t, "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\nC: $l AUTHENTICATE PLAIN *\nS: $l OK [CAPABILITY IMAP4rev1] in\n"+imapSelect+
		imapFind("5", "5")+imapFind("5", "5")+"C: $a UID COPY 5 Trash\nS: $a OK done\nC: $b UID STORE 5 +FLAGS.SILENT (\\Deleted)\nS: $b OK done\n"+imapBye)
	code, stdout, stderr := imapCase{args: []string{"move", "INBOX", "5", "--to", "Trash", "--server", "imap+plain://alice@" + addr}}.invoke(t, nil)
	if code != 3 || stdout != "" || !strings.Contains(stderr, "copied and marked") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("got %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestIMAPFlag(t *testing.T) {
	find := imapFind("5:6", "5 6")
	runIMAP(t, map[string]imapCase{
		"add and remove": {script: imapSelect + find + "C: $a UID STORE 5:6 +FLAGS.SILENT (\\Seen todo)\nS: $a OK done\nC: $b UID STORE 5:6 -FLAGS.SILENT (\\Flagged)\nS: $b OK done\n", args: []string{"flag", "INBOX", "5:6", "--add", "seen", "--add", "todo", "--remove", "flagged"}},
		"set":            {script: imapSelect + find + "C: $a UID STORE 5:6 FLAGS.SILENT (\\Draft)\nS: $a OK done\n", args: []string{"flag", "INBOX", "5:6", "--set", "draft", "--json"}, stdout: "{\"uid\":5}\n{\"uid\":6}\n"},
	})
}

func TestIMAPAppend(t *testing.T) {
	runIMAP(t, map[string]imapCase{
		"json":      {script: "C: $a APPEND x (\\Seen \\$Junk) \"*1-Nov-2026 12:00:00 +0000\" {8+}\nC{8}\nC:\nS: $a OK [APPENDUID 7 99] done\n", args: []string{"append", "x", "--flag", "seen", "--flag", "$Junk", "--date", "2026-11-01T12:00:00Z", "--json"}, stdin: "A: b\n\n", stdout: `{"uid":99,"mailbox":"x","uidValidity":7,"size":8,"keywords":{"$junk":true,"$seen":true}}` + "\n"},
		"several":   {script: "C: $a APPEND x *{6+}\nC{6} \"A: b\\r\\n\"\nC:\nS: $a OK [APPENDUID 7 1] done\nC: $b APPEND x *{6+}\nC{6} \"C: d\\r\\n\"\nC:\nS: $b OK done\n", args: []string{"append", "x"}, stdin: imapFrom + "A: b\n\n" + imapFrom + "C: d\n\n", stdout: "1\n"},
		"create":    {script: "C: $b CREATE x\nS: $b NO [ALREADYEXISTS] is there\nC: $c APPEND x {6+}\nC{6} \"A: b\\r\\n\"\nC:\nS: $c OK done\n", args: []string{"append", "x", "--create"}, stdin: "A: b\n"},
		"too large": {caps: "APPENDLIMIT=5", script: "# nothing more\n", args: []string{"append", "x"}, stdin: "A: b\n", code: 69, stderr: []string{"TOOBIG"}},
	})
}

func TestIMAPExpunge(t *testing.T) {
	runIMAP(t, map[string]imapCase{
		"all":        {script: imapSelect + "C: $a EXPUNGE\nS: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: $a OK done\n", args: []string{"expunge", "INBOX", "--json"}, stdout: `{"mailbox":"INBOX","expunged":2}` + "\n"},
		"set":        {script: imapSelect + imapFind("5:6", "5 6") + "C: $a UID EXPUNGE 5:6\nS: $a OK done\n", args: []string{"expunge", "INBOX", "5:6"}},
		"stdin none": {args: []string{"expunge", "INBOX", "-"}},
	})
}

func TestIMAPMailboxes(t *testing.T) {
	runIMAP(t, map[string]imapCase{
		"create":   {script: "C: $a CREATE Entw&APw-rfe\nS: $a OK done\n", args: []string{"create", "Entwürfe"}},
		"bad name": {script: "# nothing more\n", args: []string{"create", "a\xffb"}, code: 65, stderr: []string{"UTF-8"}},
	})
}

// Hostile words of a server stay words on a terminal.
func TestO1_IMAPOnATerminal(t *testing.T) {
	tt := imapCase{script: "C: $a LIST \"\" \"\\*\"\nS> \"* LIST (\\\\Sent) \\\"/\\\" {9}\\r\\na\\x1b]0;x\\x07b\\r\\n\"\nS: $a OK done\n", args: []string{"list"}}
	code, stdout, stderr := tt.invoke(t, func(e *env) { e.stdoutTTY, e.stderrTTY = true, true })
	if code != 0 || strings.ContainsAny(stdout+stderr, "\x1b\x07") || !strings.Contains(stdout, "x1b") {
		t.Errorf("got %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// The clock on the wall jumps while the computer sleeps; the one of the process does not.
func TestIMAPWatchSeesSleep(t *testing.T) {
	for name, jump := range map[string]time.Duration{"sleep": time.Hour, "none": 0, "clock set back": -time.Hour} {
		start, calls := time.Now(), 0
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		slept := false
		watchClock(ctx, clock{step: 5 * time.Millisecond, now: func() time.Time {
			if calls++; calls > 2 {
				return start.Add(jump + time.Since(start))
			}
			return start.Add(time.Since(start))
		}}, func() { slept = true })
		cancel()
		if want := jump > 0; slept != want {
			t.Errorf("%s: got %v, want %v", name, slept, want)
		}
	}
}

// A session that ends leaves nothing running.
func TestIMAPWatchSessionEnds(t *testing.T) {
	endpoint, err := wire.ParseEndpoint("imap+plain://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	var looked atomic.Bool
	now := func() time.Time {
		time.Sleep(100 * time.Millisecond)
		looked.Store(true)
		return time.Now()
	}
	w := &imapWatching{call: &call{env: &env{now: now}}, target: &config.Target{Endpoint: endpoint}}
	if err := w.session(t.Context()); err == nil || !looked.Load() {
		t.Errorf("got %v, the clock was looked at: %v, want an error and true", err, looked.Load())
	}
}

// What may pass is tried again, what will not is not.
func TestIMAPWatchAgain(t *testing.T) {
	w := &imapWatching{call: &call{}}
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"bye":        {&imap.Error{Status: "BYE"}, true},
		"suspended":  {errSuspended, true},
		"no network": {&net.DNSError{IsNotFound: true}, true},
		"usage":      {usagef("x"), false},
		"ours":       {&localError{errNothing}, false},
		"lacking":    {&imap.CapabilityError{Capability: "NOTIFY"}, false},
		"output":     {&outputError{errNothing}, false},
	} {
		if got := w.again(tt.err); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	for n, want := range []bool{true, true, false} {
		if got := w.again(&auth.Error{Err: auth.ErrRefused}); got != want {
			t.Errorf("login %d refused: got %v, want %v", n, got, want)
		}
	}
}
