package interop_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// oddMessages are messages that lack what every message should have, in wire form.
var oddMessages = map[string]string{
	"empty":                   "",
	"only CRLF":               "\r\n",
	"blank lines":             "\r\n\r\n\r\n",
	"no header":               "just words\r\nand more\r\n",
	"no body":                 "Subject: x\r\n",
	"header and blank line":   "Subject: x\r\n\r\n",
	"no line end at the end":  "Subject: x\r\n\r\nend",
	"colon first":             ": x\r\n\r\nbody\r\n",
	"From line":               "From alice Sun Nov 22 10:00:00 2026\r\nSubject: x\r\n\r\nbody\r\n",
	"bare CR and LF":          "Subject: x\r\n\r\na\rb\nc\r\r\n",
	"NUL and octets over 127": "Subject: \xff\xfe\r\n\r\n\x00\x80\r\n",
}

// TestS9_FetchOddMessages fetches each of them over IMAP from a server that gives it out as it is, into every kind of
// destination.
func TestS9_FetchOddMessages(t *testing.T) {
	binary := interop.Binary(t)
	for name, message := range oddMessages {
		t.Run(name, func(t *testing.T) {
			s := &shell{t: t, path: binary, dir: t.TempDir(), env: []string{"PATH=" + os.Getenv("PATH"), "MAIL_PASSWORD=secret"}}
			fetch := func(args ...string) result {
				addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] ready\nC: $a EXAMINE *\nS: * 1 EXISTS\nS: * OK [UIDVALIDITY 1] ok\n"+
					"S: $a OK [READ-ONLY] done\nC: $b UID FETCH 1 *\nS> "+
					strconv.Quote("* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"22-Nov-2026 10:00:00 +0000\" BODY[] {"+strconv.Itoa(len(message))+"}\r\n"+message+")\r\n")+
					"\nS: $b OK done\nC? * LOGOUT")
				return s.try(nil, append([]string{"imap", "fetch", "INBOX", "1", "--server", "imap+plain://alice@" + addr}, args...)...)
			}
			if r := fetch("--crlf"); r.code != 0 || r.stdout != message {
				t.Errorf("to standard output in wire form: %v", r)
			}
			if r := fetch("-o", "eml:eml"); r.code != 0 {
				t.Errorf("to .eml: %v", r)
			} else if got := s.read(strings.TrimSpace(r.stdout)); string(got) != message {
				t.Errorf(".eml holds %q", got)
			}
			for _, dest := range []string{"maildir:box", "mbox:box.mbox"} {
				if r := fetch("-o", dest); r.code != 0 {
					t.Errorf("-o %s: %v", dest, r)
				}
			}
			lf := strings.ReplaceAll(message, "\r\n", "\n")
			if r := fetch(); r.code != 0 || r.stdout != lf && r.stdout != message {
				t.Errorf("to standard output: %v", r)
			}
			checkMaildir(t, filepath.Join(s.dir, "box"), lf, message)
		})
	}
}

// checkMaildir finds one message that is one of the two forms.
func checkMaildir(t *testing.T, dir, lf, wire string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "new", "*"))
	if err != nil || len(names) != 1 {
		t.Errorf("files in the Maildir: %q, %v", names, err)
		return
	}
	got, err := os.ReadFile(names[0])
	want := lf
	if strings.Contains(names[0], ",X=wire") {
		want = wire
	}
	if err != nil || string(got) != want {
		t.Errorf("the Maildir holds %q, %v; want %q", got, err, want)
	}
}

// TestS9_RetrieveOddMessages does the same over POP3, whose texts always end in CRLF.
func TestS9_RetrieveOddMessages(t *testing.T) {
	binary := interop.Binary(t)
	for name, message := range oddMessages {
		if message != "" && !strings.HasSuffix(message, "\r\n") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := &shell{t: t, path: binary, dir: t.TempDir(), env: []string{"PATH=" + os.Getenv("PATH"), "MAIL_PASSWORD=secret"}}
			addr := wiretest.Serve(t, "S: +OK hello\nC: CAPA\nS> \"+OK\\r\\nUSER\\r\\n.\\r\\n\"\nC: USER alice\nS: +OK\nC: PASS secret\nS: +OK\n"+
				"C: LIST*\nS> \"+OK\\r\\n1 "+strconv.Itoa(len(message))+"\\r\\n.\\r\\n\"\nC: RETR 1\nS> "+
				strconv.Quote("+OK\r\n"+message+".\r\n")+"\nC: QUIT\nS: +OK bye")
			r := s.try(nil, "pop", "retr", "1", "--crlf", "--server", "pop3+plain://alice@"+addr)
			if r.code != 0 || r.stdout != message {
				t.Errorf("got %v, want %q", r, message)
			}
		})
	}
}
