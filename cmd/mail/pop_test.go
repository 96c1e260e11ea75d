package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// Scripts of sessions with alice's maildrop.
const (
	popBare  = "S: +OK\nS: PIPELINING\nS: .\n" // the capabilities of a server with neither UIDL nor TOP
	popLogin = "S: +OK ready\nC: CAPA\nS: +OK\nS: USER\nS: UIDL\nS: TOP\nS: PIPELINING\nS: .\n" +
		"C: USER alice\nC: PASS s3kret\nS: +OK\nS: +OK\nC: CAPA\n"
	popCaps = "S: +OK\nS: PIPELINING\nS: UIDL\nS: TOP\nS: .\n"
	popList = "C: LIST\n" + popCaps + "S: +OK\nS: 1 120\nS: 2 2000\nS: 4 30\nS: .\n"
	popUIDs = "C: UIDL\nS: +OK\nS: 1 aaa\nS: 2 bbb\nS: 4 ccc\nS: .\n"
	popBye  = "C? QUIT\nS: +OK bye\n"
)

// popCase is one invocation of `mail pop` and what must come of it.
type popCase struct {
	script string // after the login; "" when no connection may be made
	args   []string
	stdin  string
	code   int
	stdout string
	stderr []string // each must be there
}

// invoke runs the command; change may alter its environment before.
func (tt popCase) invoke(t *testing.T, change func(*env)) (code int, stdout, stderr string) {
	t.Helper()
	words := append([]string{"mail", "pop"}, tt.args...)
	if tt.script != "" {
		words = append(words, "--server", "pop3+plain://alice@"+wiretest.Serve(t, popLogin+tt.script))
	}
	e, out, errs := testEnv(tt.stdin)
	e.tree = func(e *env) []*cli.Command { return []*cli.Command{e.popCommand()} }
	e.getenv = func(name string) string { return map[string]string{"MAIL_PASSWORD": "s3kret"}[name] }
	if change != nil {
		change(e)
	}
	code = run(context.Background(), e, words)
	return code, out.String(), errs.String()
}

func (tt popCase) run(t *testing.T) {
	t.Helper()
	code, stdout, stderr := tt.invoke(t, nil)
	if code != tt.code || stdout != tt.stdout {
		t.Errorf("mail pop %q:\ngot  %d, stdout %q\nwant %d, stdout %q\nstderr %q", tt.args, code, stdout, tt.code, tt.stdout, stderr)
	}
	tt.words(t, stderr)
}

// words checks standard error.
func (tt popCase) words(t *testing.T, stderr string) {
	t.Helper()
	for _, want := range tt.stderr {
		if !strings.Contains(stderr, want) {
			t.Errorf("mail pop %q: got stderr %q, want %q in it", tt.args, stderr, want)
		}
	}
	if len(tt.stderr) == 0 && stderr != "" {
		t.Errorf("mail pop %q: got stderr %q, want none", tt.args, stderr)
	}
}

func runPop(t *testing.T, cases map[string]popCase) {
	t.Helper()
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) { tt.run(t) })
	}
}

func TestPopUsage(t *testing.T) {
	usage := func(words ...string) popCase {
		return popCase{args: words, code: 64, stderr: []string{"mail: "}}
	}
	cases := map[string]popCase{
		"no command":      usage(),
		"unknown command": usage("fetc"),
		"stat operand":    usage("stat", "1"),
		"retr no name":    usage("retr"),
		"dele no name":    usage("dele"),
		"top no name":     usage("top"),
		"top three":       usage("top", "1", "2", "3"),
		"top lines":       usage("top", "1", "-5"),
		"top lines words": usage("top", "1", "many"),
	}
	for _, bad := range []string{"0", "-1", "x", "1:", ":2", "1:x", "1::2", "uidl:", "", "1,,2", "2147483648", "1 2", "+1", "1.0", "ALL", "uid:7"} {
		cases["name "+bad] = usage("list", "--", bad)
		cases["dele name "+bad] = usage("dele", "--", bad)
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			e, stdout, stderr := testEnv("")
			e.tree = func(e *env) []*cli.Command { return []*cli.Command{e.popCommand()} }
			code := run(context.Background(), e, append([]string{"mail", "pop"}, tt.args...))
			if code != 64 || stdout.Len() > 0 || stderr.Len() == 0 {
				t.Errorf("mail pop %q: got %d, stdout %q, stderr %q; want 64 and words", tt.args, code, stdout, stderr)
			}
		})
	}
}

func TestPopNoUser(t *testing.T) {
	e, _, stderr := testEnv("")
	e.tree = func(e *env) []*cli.Command { return []*cli.Command{e.popCommand()} }
	code := run(context.Background(), e, []string{"mail", "pop", "stat", "--server", "pop3s://pop.example.org"})
	if code != 78 || !strings.Contains(stderr.String(), "--user") {
		t.Errorf("got %d, %q; want 78 and a hint", code, stderr)
	}
}

func TestPopList(t *testing.T) {
	runPop(t, map[string]popCase{
		"by id":     {script: popList + popUIDs + popBye, args: []string{"list", "uidl:ccc"}, stdout: "4 30\n"},
		"stdin":     {script: popList + popUIDs + popBye, args: []string{"list", "-"}, stdin: "2 bbb\n\nuidl:aaa\n", stdout: "2 2000\n1 120\n"},
		"bad stdin": {args: []string{"list", "-"}, stdin: "x\n", code: 64, stderr: []string{`"x"`}},
		"ambiguous id": {script: popList + "C: UIDL\nS: +OK\nS: 1 aaa\nS: 2 aaa\nS: .\n" + popBye, args: []string{"list", "uidl:aaa"},
			code: 66, stderr: []string{"2 messages have the id"}},
		"json": {script: popList + popUIDs + popBye, args: []string{"list", "--json", "2:4"},
			stdout: `{"number":2,"id":"bbb","size":2000}` + "\n" + `{"number":4,"id":"ccc","size":30}` + "\n"},
	})
}

func TestPopListHeaders(t *testing.T) {
	headers := popList + `
		C: TOP 1 0
		C: TOP 2 0
		C: TOP 4 0
		S> "+OK\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\nFrom: =?utf-8?Q?B=C3=B6b?= <bob@example.org>\r\nSubject: =?utf-8?B?w6TDtg==?= a\tb\\c\r\n\r\n.\r\n"
		S> "+OK\r\nFrom: not an address\r\nSubject: \x1b[2Jred\r\n\r\n.\r\n+OK\r\n.\r\n"
		` + popBye
	runPop(t, map[string]popCase{
		"plain": {script: headers, args: []string{"list", "--headers"},
			stdout: "1\t120\t2026-11-02T10:00:00+01:00\tBöb <bob@example.org>\täö a\\tb\\\\c\n" +
				"2\t2000\t\tnot an address\t\\x1b[2Jred\n" + "4\t30\t\t\t\n"},
		"json": {script: strings.Replace(headers, "C: TOP 1 0", popUIDs+"C: TOP 1 0", 1), args: []string{"list", "--headers", "--json"},
			stdout: `{"number":1,"id":"aaa","size":120,"sentAt":"2026-11-02T10:00:00+01:00","from":[{"name":"Böb","email":"bob@example.org"}],"subject":"äö a\tb\\c"}` + "\n" +
				`{"number":2,"id":"bbb","size":2000,"subject":"\u001b[2Jred"}` + "\n" + `{"number":4,"id":"ccc","size":30,"subject":""}` + "\n"},
		"one refused": {script: popList + "C: TOP 1 0\nC: TOP 2 0\nS> \"-ERR gone\\r\\n+OK\\r\\nSubject: two\\r\\n\\r\\n.\\r\\n\"\n" + popBye,
			args: []string{"list", "--headers", "1:2"}, code: 3, stdout: "1\t120\t\t\t\n2\t2000\t\t\ttwo\n", stderr: []string{"message 1", "gone"}},
		"cut": {script: popList + "C: TOP 1 0\nS> \"+OK\\r\\nSubj\"\nCLOSE", args: []string{"list", "--headers", "1"}, code: 75, stderr: []string{"closed"}},
	})
}

func TestO1_PopOnTerminal(t *testing.T) {
	tt := popCase{args: []string{"uidl", "1", "-q"}, script: popList + `C: UIDL
		S> "+OK\r\n1 a\x1b]0;x\x07\r\n.\r\n"
		` + popBye}
	code, stdout, _ := tt.invoke(t, func(e *env) { e.stdoutTTY = true })
	if want := `1 a\x1b]0;x\x07` + "\n"; code != 0 || stdout != want {
		t.Errorf("got %d, %q; want %q", code, stdout, want)
	}
}

func TestPopUidl(t *testing.T) {
	runPop(t, map[string]popCase{
		"some": {script: popList + popUIDs + popBye, args: []string{"uidl", "4", "uidl:aaa"}, stdout: "4 ccc\n1 aaa\n"},
		"flaws": {script: popList + "C: UIDL\nS: +OK\nS: 1 aaa\nS: 2 aaa\nS: 4 a b\nS: .\n" + popBye, args: []string{"uidl"},
			stdout: "1 aaa\n2 aaa\n4 a b\n", stderr: []string{"message 1: duplicate id", "message 2: duplicate id", "message 4: malformed id"}},
		"flaws, json": {script: popList + "C: UIDL\nS: +OK\nS: 1 aaa\nS: 4 a b\nS: .\n" + popBye, args: []string{"uidl", "4", "--json", "-q"},
			stdout: `{"number":4,"idFlaw":"malformed id","size":30}` + "\n"},
	})
}

func TestPopTop(t *testing.T) {
	runPop(t, map[string]popCase{
		"lines": {script: popList + "C: TOP 2 7\nS> \"+OK\\r\\nA: b\\r\\n\\r\\n..x\\r\\n.\\r\\n\"\n" + popBye, args: []string{"top", "2", "7"}, stdout: "A: b\n\n.x\n"},
		"crlf":  {script: popList + "C: TOP 4 0\nS> \"+OK\\r\\nA: b\\r\\n\\r\\n.\\r\\n\"\n" + popBye, args: []string{"top", "*", "--crlf"}, stdout: "A: b\r\n\r\n"},
		"json": {script: popList + "C: TOP 2 0\nS> \"+OK\\r\\nA: \\xff\\r\\n\\r\\n.\\r\\n\"\n" + popBye, args: []string{"top", "2", "--json"},
			stdout: `{"number":2,"size":2000,"text":"A: ` + "\uFFFD" + `\n\n"}` + "\n"},
		"cut": {script: popList + "C: TOP 2 0\nS> \"+OK\\r\\nSubject: x\\r\\n\"\nCLOSE", args: []string{"top", "2"}, code: 75, stderr: []string{"closed"}},
	})
}

const (
	popTwo = "C: RETR 1\nC: RETR 4\n"
	// one has lines that look like a dot line and like the beginning of a message in an mbox
	popOne  = `S> "+OK\r\nSubject: one\r\n\r\n..dot\r\nFrom me\r\n>From you\r\n.\r\n"` + "\n"
	popFour = `S> "+OK\r\nSubject: four\r\n\r\nx\r\n.\r\n"` + "\n"
)

func TestPopRetr(t *testing.T) {
	from := `From MAILER-DAEMON \w{3} \w{3} [ 0-9]{2} \d\d:\d\d:\d\d \d{4}\n`
	one, four := "Subject: one\n\n.dot\nFrom me\n>From you\n", "Subject: four\n\nx\n"
	stuffed := strings.ReplaceAll(strings.ReplaceAll(one, "\n>From ", "\n>>From "), "\nFrom ", "\n>From ")
	for name, tt := range map[string]popCase{
		"one":         {script: popList + "C: RETR 1\n" + popOne + popBye, args: []string{"retr", "1"}, stdout: one},
		"two":         {script: popList + popTwo + popOne + popFour + popBye, args: []string{"retr", "1", "4"}, stdout: "FROM" + stuffed + "\nFROM" + four + "\n"},
		"bare LF":     {script: popList + "C: RETR 1\n" + `S> "+OK\r\na: b\r\n\r\nx\ny\r\n.\r\n"` + "\n" + popBye, args: []string{"retr", "1"}, stdout: "a: b\r\n\r\nx\ny\r\n"},
		"one refused": {script: popList + popTwo + "S: -ERR gone\n" + popFour + popBye, args: []string{"retr", "1", "4"}, code: 3, stdout: "FROM" + four + "\n", stderr: []string{"message 1", "gone"}},
		"cut in the second": {script: popList + popTwo + popOne + "S: +OK\nS: half\nCLOSE", args: []string{"retr", "1", "4"}, code: 75,
			stdout: "FROM" + stuffed + "\n", stderr: []string{"message 4", "closed"}},
		"size lies": {script: popList + "C: RETR 1\n" + popOne + popBye, args: []string{"retr", "1", "-v"}, stdout: one,
			stderr: []string{"message 1 has 42 octets, the server had said 120"}},
		"no path":        {args: []string{"retr", "1", "-o", "mbox:"}, code: 64, stderr: []string{"maildir:DIR"}},
		"crlf to a file": {args: []string{"retr", "1", "-o", "mbox:x", "--crlf"}, code: 64, stderr: []string{"--crlf"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := tt.invoke(t, nil)
			want := "^" + strings.ReplaceAll(regexp.QuoteMeta(tt.stdout), "FROM", from) + "$"
			if code != tt.code || !regexp.MustCompile(want).MatchString(stdout) {
				t.Errorf("got %d, %q; want %d, %q; stderr %q", code, stdout, tt.code, want, stderr)
			}
			tt.words(t, stderr)
		})
	}
}

func TestPopRetrStored(t *testing.T) {
	dir := t.TempDir()
	both := popList + popTwo + popOne + popFour + popBye
	tt := popCase{script: both, args: []string{"retr", "1", "4", "-o", "maildir:" + dir + "/box"}}
	code, stdout, stderr := tt.invoke(t, nil)
	paths := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if code != 0 || len(paths) != 2 || stderr != "" {
		t.Fatalf("got %d, %q, %q; want two paths", code, stdout, stderr)
	}
	if text, err := os.ReadFile(paths[0]); err != nil || string(text) != "Subject: one\n\n.dot\nFrom me\n>From you\n" {
		t.Errorf("got %q, %v in the first file", text, err)
	}
	tt = popCase{script: strings.Replace(both, popTwo, popUIDs+popTwo, 1), args: []string{"retr", "1", "4", "--json", "-o", "eml:" + dir + "/eml"}}
	code, stdout, stderr = tt.invoke(t, nil)
	objects := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if code != 0 || len(objects) != 2 || stderr != "" {
		t.Fatalf("got %d, %q, %q; want two objects", code, stdout, stderr)
	}
	var o popObject
	if err := json.Unmarshal([]byte(objects[1]), &o); err != nil || o.Number != 4 || o.ID != "ccc" {
		t.Errorf("got %s, %v; want number 4 and its id", objects[1], err)
	}
	if text, err := os.ReadFile(o.Path); err != nil || string(text) != "Subject: four\r\n\r\nx\r\n" {
		t.Errorf("got %q, %v in the second file", text, err)
	}
	tt = popCase{script: popList + popBye, args: []string{"retr", "1", "-o", "maildir:" + dir + "/no/such/parent"}}
	if code, stdout, stderr = tt.invoke(t, nil); code != 73 && code != 66 || stdout != "" || strings.Contains(stderr, "127.0.0.1") {
		t.Errorf("no parent: got %d, %q, %q", code, stdout, stderr)
	}
	tt = popCase{script: popList + "C: RETR 1\nS: +OK\nS: half\nCLOSE", args: []string{"retr", "1", "-o", "maildir:" + dir + "/cut"}}
	code, stdout, stderr = tt.invoke(t, nil)
	left, err := filepath.Glob(dir + "/cut/*/*")
	if code != 75 || stdout != "" || len(left) > 0 || err != nil {
		t.Errorf("cut: got %d, %q, %q, files %v; want 75 and none", code, stdout, stderr, left)
	}
}

func TestPopDele(t *testing.T) {
	runPop(t, map[string]popCase{
		"dry run": {script: popList + popBye, args: []string{"dele", "1", "4", "--dry-run"},
			stderr: []string{"would delete message 1 (120 octets)", "would delete message 4"}},
		"cut before QUIT": {script: popList + "C: DELE 1\nC: DELE 4\nS: +OK\nCLOSE", args: []string{"dele", "1", "4"}, code: 75,
			stderr: []string{"nothing was deleted"}},
		"all refused": {script: popList + "C: DELE 1\nS: -ERR gone\n" + popBye, args: []string{"dele", "1"}, code: 66, stderr: []string{"gone"}},
	})
}

// fullOutput is a standard output without room.
func fullOutput(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestO7_PopFullDisk(t *testing.T) {
	for _, tt := range []popCase{
		{script: "C: STAT\n" + popCaps + "S: +OK 3 2150\n" + popBye, args: []string{"stat"}},
		{script: popList + popBye, args: []string{"list"}},
		{script: popList + "C: RETR 1\n" + popOne + popBye, args: []string{"retr", "1"}},
		{script: popList + popTwo + popOne + popFour + popBye, args: []string{"retr", "1", "4"}},
		{script: popList + "C: TOP 2 0\nS> \"+OK\\r\\nA: b\\r\\n\\r\\n.\\r\\n\"\n" + popBye, args: []string{"top", "2"}},
	} {
		code, _, stderr := tt.invoke(t, func(e *env) { e.stdout = fullOutput(t) })
		if code != 74 || !strings.Contains(stderr, "no space left") || strings.Contains(stderr, "127.0.0.1") {
			t.Errorf("mail pop %q: got %d, %q; want 74", tt.args, code, stderr)
		}
	}
}
