//go:build unix

package interop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
)

// box is a folder with the same messages as our program wrote them: a Maildir "md"
// and an mbox "box". The last message has been read.
type box struct {
	t   *testing.T
	dir string
	bin string
	uid uint32 // 0: our own
}

// boxSubjects are the subjects of the messages in a box.
var boxSubjects = []string{"one", "two", "three"}

func newBox(t *testing.T, tools ...string) *box {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool, " is not installed: ", err)
		}
	}
	dir, err := os.MkdirTemp("", "mail-box-") // which others can reach
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := &box{t: t, dir: dir, bin: interop.Binary(t)}
	var in strings.Builder
	for i, s := range boxSubjects {
		fmt.Fprintf(&in, "From alice@example.org Mon Jan  %d 00:00:00 2024\nMessage-ID: <%s@example.org>\nFrom: Alice <alice@example.org>\nSubject: %s\n", i+1, s, s)
		if i == len(boxSubjects)-1 {
			in.WriteString("Status: RO\n")
		}
		in.WriteString("\nHello,\n\n>From here to there.\n.\n\n")
	}
	b.write("in", in.String())
	b.run(b.bin, "box", "convert", "in", "maildir:md")
	b.run(b.bin, "box", "convert", "in", "mbox:box")
	return b
}

func (b *box) path(name string) string { return filepath.Join(b.dir, name) }

func (b *box) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// command is a program to be run in the box.
func (b *box) command(args ...string) *exec.Cmd {
	b.t.Helper()
	cmd := interop.Command(b.t, args[0], args[1:]...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "HOME="+b.dir, "TERM=xterm", "LC_ALL=C.UTF-8")
	if b.uid != 0 && args[0] != b.bin {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: b.uid, Gid: b.uid}}
		cmd.Env = append(cmd.Env, "USER=nobody")
	}
	return cmd
}

// run runs a program in the box and returns what it prints.
func (b *box) run(args ...string) string {
	b.t.Helper()
	cmd := b.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		b.t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// list is what our program says of a source: subject and keywords of each message.
func (b *box) list(src string) (out []string) {
	b.t.Helper()
	for line := range strings.Lines(b.run(b.bin, "box", "list", "--json", src)) {
		var m struct {
			Subject  string
			Keywords map[string]bool
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			b.t.Fatal(err)
		}
		var words []string
		for w := range m.Keywords {
			words = append(words, w)
		}
		slices.Sort(words)
		out = append(out, strings.Join(append([]string{m.Subject}, words...), " "))
	}
	return out
}

func (b *box) compare(what, got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// TestBoxPython: Python's mailbox module reads what we write and the reverse.
func TestBoxPython(t *testing.T) {
	b := newBox(t, "python3")
	b.write("read.py", `
import mailbox
md = mailbox.Maildir('md', create=False)
print(' '.join(sorted(m['subject'] + m.get_flags() for m in md)))
print(' '.join(m['subject'] + str(m.get_payload().count('From here')) for m in mailbox.mbox('box', create=False)))
`)
	b.compare("Python reads", b.run("python3", "read.py"), "one threeS two\none1 two1 three1\n")
	b.write("write.py", `
import mailbox
md, box = mailbox.Maildir('py-md'), mailbox.mbox('py-box')
box.lock()
for s in ('one', 'two', 'three'):
    for kind, to in ((mailbox.MaildirMessage, md), (mailbox.mboxMessage, box)):
        m = kind('Subject: %s\n\nHello\nFrom here\n' % s)
        m.set_flags('SF' if kind is mailbox.MaildirMessage else 'RF')
        if kind is mailbox.MaildirMessage: m.set_subdir('cur')
        to.add(m)
md.flush(); box.flush(); box.unlock()
`)
	b.run("python3", "write.py")
	want := []string{"one $flagged $seen", "three $flagged $seen", "two $flagged $seen"}
	for _, src := range []string{"py-md", "mboxo:py-box"} {
		got := b.list(src)
		slices.Sort(got)
		b.compare(src, strings.Join(got, ","), strings.Join(want, ","))
		if text := b.run(b.bin, "box", "cat", src, "1"); !strings.HasSuffix(text, "\nHello\nFrom here\n") {
			t.Errorf("%s: got %q", src, text)
		}
	}
}

// TestBoxMblaze: mblaze reads our Maildir and makes one of our mbox.
func TestBoxMblaze(t *testing.T) {
	b := newBox(t, "mlist", "mscan", "mdeliver")
	b.compare("mscan", b.run("sh", "-c", "mlist md | mscan -f '%s' 2>/dev/null | sort"), "one\nthree\ntwo\n")
	b.compare("mlist -S", b.run("sh", "-c", "mlist -S md | wc -l | tr -d ' '"), "1\n")
	b.run("sh", "-c", "mkdir -p bl/cur bl/new bl/tmp && mdeliver -M bl <box")
	got := b.list("bl")
	slices.Sort(got)
	b.compare("mdeliver", strings.Join(got, ","), "one,three $seen,two")
}

// TestBoxMutt: mutt reads our Maildir and mbox, and copies them to its own.
func TestBoxMutt(t *testing.T) {
	b := newBox(t, "mutt")
	for _, src := range []string{"md", "box"} {
		for kind, dest := range map[string]string{"mbox": "mutt-box-" + src, "Maildir": "mutt-md-" + src} {
			b.write("muttrc", "set folder=. copy=no move=no confirmappend=no confirmcreate=no delete=no quit=yes wait_key=no sort=mailbox-order auto_tag=yes\n"+
				fmt.Sprintf("set mbox_type=%s\npush \"<tag-pattern>~A<enter><tag-prefix-cond><copy-message><kill-line>%s<enter><end-cond><quit>\"\n", kind, dest))
			if seen, err := interop.OnTerminal(t, b.command("mutt", "-F", "muttrc", "-f", src)); err != nil {
				t.Fatalf("mutt: %v\n%s", err, seen)
			}
			got := b.list(dest)
			slices.Sort(got)
			want := []string{"one", "three $seen", "two"}
			b.compare(src+" by mutt as "+kind, strings.Join(got, ","), strings.Join(want, ","))
		}
	}
}

// TestBoxDovecot: Dovecot reads what we write, octets, dates and flags, and we read
// what it makes of it, keywords too.
func TestBoxDovecot(t *testing.T) {
	b := newBox(t, "doveadm")
	if os.Getuid() != 0 {
		t.Skip("needs root: Dovecot's mail user is another one")
	}
	const nobody = 65534
	b.uid = nobody
	b.write("conf", fmt.Sprintf("base_dir = %[1]s/run\nstate_dir = %[1]s/state\nlog_path = /dev/stderr\nssl = no\nfirst_valid_uid = 1\n"+
		"mail_location = maildir:%[1]s/md\ndefault_internal_user = nobody\ndefault_login_user = nobody\ndefault_internal_group = nogroup\n", b.dir))
	if err := filepath.WalkDir(b.dir, func(p string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(p, nobody, nobody))
	}); err != nil {
		t.Fatal(err)
	}
	doveadm := func(args ...string) string { return b.run(append([]string{"doveadm", "-c", "conf"}, args...)...) }
	fields := "hdr.subject flags date.received"
	format := func(s string) string { return strings.ReplaceAll(s, ` \Recent`, "") }
	doveadm("fetch", "uid", "all")
	want := []string{"one|2024-01-01 00:00:00", `three|\Seen|2024-01-03 00:00:00`, "two|2024-01-02 00:00:00"}
	var got []string // in no certain order: all arrived in the same second
	for line := range strings.Lines(format(doveadm("-f", "tab", "fetch", fields, "all"))) {
		w := strings.FieldsFunc(strings.TrimSpace(line), func(r rune) bool { return r == '\t' })
		if w[0] != "hdr.subject" {
			got = append(got, strings.ReplaceAll(strings.Join(w, "|"), "|\\Recent", ""))
		}
	}
	slices.Sort(got)
	b.compare("Maildir by Dovecot", strings.Join(got, "\n"), strings.Join(want, "\n"))
	doveadm("flags", "add", `\Flagged work $Junk`, "header", "subject", "two")
	mbox := []string{"-o", "mail_location=mbox:" + b.path("mail") + ":INBOX=" + b.path("box")}
	doveadm(append(mbox, "flags", "add", `\Answered work`, "header", "subject", "one")...)
	b.compare("Maildir after Dovecot", strings.Join(b.list("md"), ","), "one,two $flagged $junk work,three $seen")
	b.compare("mbox after Dovecot", strings.Join(b.list("box"), ","), "one $answered work,two,three $seen")
	doveadm("mailbox", "create", "Entwürfe.2026")
	if out := b.run(b.bin, "box", "list", "--mailboxes", "md"); !strings.Contains(out, "Entwürfe/2026\tmaildir\tmd/.") {
		t.Errorf("folders: got %q", out)
	}
}
