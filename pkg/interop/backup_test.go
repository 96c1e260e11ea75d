package interop_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// account is an account on an IMAP server, as environment variables for the commands.
type account struct{ env []string }

// dovecotAccount is a new user of Dovecot.
func dovecotAccount(t testing.TB) account {
	t.Helper()
	d := interop.Dovecot(t)
	u := d.AddUser(t)
	return account{[]string{"MAIL_IMAP=imaps://" + u.Name + "@" + d.IMAPS, "MAIL_POP=pop3s://" + u.Name + "@" + d.POP3S, "MAIL_CA=" + d.CAFile, "MAIL_PASSWORD=" + u.Password}}
}

// served is `mail serve` with alice and bob.
func served(t *testing.T, flags ...string) (alice, bob account) {
	t.Helper()
	env := serveVariables(t, append(flags, "--user", "bob:secret")...)
	for _, kv := range env {
		bob.env = append(bob.env, strings.Replace(kv, "MAIL_USER=alice", "MAIL_USER=bob", 1))
	}
	return account{env}, bob
}

// open is a session of the account.
func (a account) open(t testing.TB) *imap.Client {
	t.Helper()
	getenv := func(name string) string {
		for _, kv := range a.env {
			if value, ok := strings.CutPrefix(kv, name+"="); ok {
				return value
			}
		}
		return ""
	}
	target, err := config.Resolve(wire.IMAP, config.Overrides{PasswordFD: -1, Getenv: getenv})
	if err != nil {
		t.Fatal(err)
	}
	c, err := imap.Dial(t.Context(), target.Endpoint, &imap.Options{Wire: &target.Wire})
	if err == nil {
		err = c.Auth(t.Context(), &target.Credentials)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// shell runs commands for the account in a folder.
func (a account) shell(t testing.TB, dir string) *shell {
	return &shell{t: t, path: interop.Binary(t), dir: dir, env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8"}, a.env...)}
}

// command is `mail args…`, to be started.
func (s *shell) command(args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := interop.Command(s.t, s.path, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

var everyUID = imapwire.SetOfRanges([]imapwire.Range[imap.UID]{{Start: 1, Stop: 1<<32 - 1}})

// contents are all messages of the account, one a line: mailbox, date, flags, digest of the octets.
func (a account) contents(t testing.TB) []string {
	t.Helper()
	c := a.open(t)
	defer func() { _ = c.Close() }()
	boxes, err := c.List(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, box := range boxes {
		if !box.Selectable() {
			continue
		}
		state, err := c.Examine(t.Context(), box.Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if state.Exists == 0 {
			continue
		}
		before := len(all)
		patiently(t, func() error {
			all = all[:before]
			_, err := c.Fetch(t.Context(), everyUID, &imap.FetchOptions{Flags: true, InternalDate: true, Sections: []imap.Section{{}}}, func(m *imap.Message) error {
				b, err := m.Next()
				if err != nil {
					return err
				}
				text, err := io.ReadAll(b)
				all = append(all, messageLine(box.Name, m.InternalDate, m.Flags, text))
				return err
			})
			return err
		})
	}
	slices.Sort(all)
	return all
}

func messageLine(mailbox string, date time.Time, flags []imap.Flag, wire []byte) string {
	var words []string
	for _, f := range flags {
		if word := strings.ToLower(strings.Replace(string(f), `\`, "$", 1)); word != "$recent" {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return fmt.Sprintf("%s %s %q %x", mailbox, date.UTC().Format(time.RFC3339), words, sha256.Sum256(wire))
}

// backupBoxes are mailboxes that change fills.
var backupBoxes = []string{"INBOX", "Work", "Work/2026", "Entwürfe", "lists", "Lists"}

// change makes up to n new messages, some of them the same in several mailboxes, sets flags and expunges a little.
func (a account) change(t testing.TB, n int, boxes ...string) {
	t.Helper()
	c := a.open(t)
	defer func() { _ = c.Close() }()
	for range 1 + rand.IntN(n) {
		text := fmt.Sprintf("Message-ID: <%d@example.org>\r\nSubject: new\r\n\r\n%s", rand.Int64(), strings.Repeat(".line\r\n", rand.IntN(1<<rand.IntN(12))))
		if rand.IntN(10) == 0 {
			text += ">From an mbox\r\nFrom there\r\n"
		}
		if rand.IntN(10) == 0 {
			text += "no end"
		}
		o := &imap.AppendOptions{Date: time.Unix(1_700_000_000+rand.Int64N(90_000_000), 0), Flags: [][]imap.Flag{nil, {`\Seen`}, {`\Flagged`, "work"}}[rand.IntN(3)]}
		for range 1 + rand.IntN(2) {
			a.put(t, c, boxes[rand.IntN(len(boxes))], text, o)
		}
	}
	box := boxes[rand.IntN(len(boxes))]
	if _, err := c.Select(t.Context(), box, nil); err != nil {
		return // not there yet
	}
	uids, err := c.Search(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var some, gone imap.UIDSet
	for uid := range uids.All() {
		if rand.IntN(10) == 0 {
			some.Add(uid)
		} else if rand.IntN(20) == 0 {
			gone.Add(uid)
		}
	}
	if !some.Empty() {
		err = c.Store(t.Context(), some, []imap.StoreOp{imap.AddFlags, imap.RemoveFlags}[rand.IntN(2)], []imap.Flag{`\Answered`, `\Seen`})
	}
	if err == nil && !gone.Empty() {
		if err = c.Store(t.Context(), gone, imap.AddFlags, []imap.Flag{`\Deleted`}); err == nil {
			_, err = c.Expunge(t.Context())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// put appends a message, to a new mailbox if need be.
func (a account) put(t testing.TB, c *imap.Client, box, text string, o *imap.AppendOptions) {
	t.Helper()
	patiently(t, func() error {
		_, err := c.Append(t.Context(), box, int64(len(text)), strings.NewReader(text), o)
		var refused *imap.Error
		if errors.As(err, &refused) && box != "INBOX" && !refused.Temporary() && c.Create(t.Context(), box) == nil {
			_, err = c.Append(t.Context(), box, int64(len(text)), strings.NewReader(text), o)
		}
		return err
	})
}

// patiently does something again when the server asks to wait.
func patiently(t testing.TB, do func() error) {
	t.Helper()
	var err error
	for range 5 {
		if err = do(); err == nil {
			return
		}
		var refused *imap.Error
		if !errors.As(err, &refused) || !refused.Temporary() {
			break
		}
		time.Sleep(max(refused.RetryAfter(), 10*time.Millisecond))
	}
	t.Fatal(err)
}

// listed is a line of `mail backup list --json`.
type listed struct {
	Mailbox    string
	ReceivedAt time.Time
	Keywords   map[string]bool
	Path       string
}

// backedUp are the messages in a snapshot, as contents gives them; the files themselves are read.
func backedUp(t testing.TB, s *shell, dir string, snapshot ...string) []string {
	t.Helper()
	var all []string
	out := s.run(nil, append([]string{"backup", "list", dir, "--mailbox", "*", "--json"}, snapshot...)...)
	for line := range strings.Lines(out) {
		var m listed
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		name, text := fileOf(t, filepath.Join(s.dir, m.Path))
		if !strings.Contains(name, ",X=wire") && !strings.HasSuffix(name, ".eml") {
			text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		}
		var flags []imap.Flag
		for f := range m.Keywords {
			flags = append(flags, imap.Flag(f))
		}
		all = append(all, messageLine(m.Mailbox, m.ReceivedAt, flags, text))
	}
	slices.Sort(all)
	return all
}

var (
	quotedFrom = regexp.MustCompile(`(?m)^>(>*From )`)
	sizeOfFile = regexp.MustCompile(`,S=(\d+)`)
)

// fileOf reads the file of a message. What is in an mbox has a name there.
func fileOf(t testing.TB, path string) (name string, text []byte) {
	t.Helper()
	mbox, place, in := strings.Cut(path, ".mbox@")
	if in {
		path = mbox + ".mbox"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !in {
		return path, text
	}
	at, err := strconv.Atoi(place)
	if err != nil || at > len(text) || !bytes.HasPrefix(text[at:], []byte("From ")) {
		t.Fatalf("%s: no message begins at %s", path, place)
	}
	line, text, _ := bytes.Cut(text[at:], []byte("\n"))
	if end := bytes.Index(text, []byte("\nFrom ")); end >= 0 {
		text = text[:end+1]
	}
	name = strings.Fields(string(line))[1]
	size, err := strconv.Atoi(sizeOfFile.FindStringSubmatch(name)[1])
	text = quotedFrom.ReplaceAll(text, []byte("$1"))
	if rest := len(text) - size; err != nil || rest < 1 || rest > 2 {
		t.Fatalf("%s: %s is followed by %d octets", path, name, rest)
	}
	return name, text[:size]
}

// compareMessages fails unless both are the same, and tells what differs.
func compareMessages(t testing.TB, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	count := map[string]int{}
	for _, line := range got {
		count[line]++
	}
	for _, line := range want {
		count[line]--
	}
	told := 0
	for line, n := range count {
		if n != 0 && told < 10 {
			t.Errorf("%s: %+d %s", what, n, line)
			told++
		}
	}
	t.Errorf("%s: got %d messages, want %d", what, len(got), len(want))
}

var fileOfUID = regexp.MustCompile(`\.(V\d+U\d+|L[0-9a-f]{16})\.`)

// checkTwice fails if a message of the server has two files.
func checkTwice(t testing.TB, dir string) {
	t.Helper()
	seen := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if m := fileOfUID.FindString(e.Name()); err == nil && m != "" && !e.IsDir() {
			key := filepath.Dir(path) + m
			if seen[key] != "" {
				t.Errorf("%s and %s are the same message", path, seen[key])
			}
			seen[key] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkBackup holds that the backup has what the account has, is sound, and has nothing twice.
func checkBackup(t testing.TB, s *shell, a account, dir string) {
	t.Helper()
	compareMessages(t, "backup", backedUp(t, s, dir), a.contents(t))
	s.run(nil, "backup", "verify", dir)
	s.run(nil, "backup", "verify", dir, "--against-server")
	checkTwice(t, filepath.Join(s.dir, dir))
	checkSums(t, s, dir)
}

// checkSums has sha256sum check the files.
func checkSums(t testing.TB, s *shell, dir string) {
	t.Helper()
	sums := s.run(nil, "backup", "sums", dir)
	tool, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Log("sha256sum is not installed")
		return
	}
	cmd := interop.Command(t, tool, "-c", "--quiet", "-")
	cmd.Dir, cmd.Stdin = filepath.Join(s.dir, dir), strings.NewReader(sums)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v: %.1000s", err, out)
	}
}

// backupPeers runs f with an account on Dovecot, and on `mail serve`: whole, with less, and as every persona. n is how
// many messages may be appended at a time.
func backupPeers(t *testing.T, f func(t *testing.T, a account, n int)) {
	t.Run("dovecot", func(t *testing.T) { f(t, dovecotAccount(t), 30) })
	peers := map[string][]string{
		"serve": nil, "without QRESYNC": {"--without", "QRESYNC"}, "without CONDSTORE": {"--without", "CONDSTORE"},
		"without OBJECTID": {"--without", "OBJECTID"}, "without anything": {"--without", "QRESYNC,CONDSTORE,LIST-STATUS,LIST-EXTENDED,ESEARCH,UIDPLUS,OBJECTID,LITERAL+,IMAP4rev2,ENABLE"},
	}
	for _, name := range server.Personas() {
		peers["as "+name] = []string{"--persona", name}
	}
	for name, flags := range peers {
		t.Run(name, func(t *testing.T) {
			n := 30
			if strings.HasPrefix(name, "as ") {
				n = 4 // one of them refuses the twentieth APPEND
			}
			f(t, account{serveVariables(t, flags...)}, n)
		})
	}
}

// TestBackup backs up again and again while the account changes: what is stored is what the server has, and what was
// there stays in its snapshot.
func TestBackup(t *testing.T) {
	backupPeers(t, func(t *testing.T, a account, n int) {
		s := a.shell(t, t.TempDir())
		var first []string
		for round := range 4 {
			a.change(t, n, backupBoxes...)
			args := []string{"backup", "run", "mail", "-j", "2"}
			if round == 3 {
				args = append(args, "--full")
			}
			if out := s.run(nil, args...); !strings.Contains(out, "complete") {
				t.Errorf("got %q, want a receipt", out)
			}
			checkBackup(t, s, a, "mail")
			if round == 0 {
				first = backedUp(t, s, "mail", "latest")
			}
		}
		snapshots := strings.Fields(s.run(nil, "backup", "list", "mail"))
		compareMessages(t, "first snapshot", backedUp(t, s, "mail", snapshots[0]), first)
	})
}

// TestBackupFormats is TestBackup for folders of .eml files, and for mboxes.
func TestBackupFormats(t *testing.T) {
	for _, format := range []string{"eml", "mbox"} {
		t.Run(format, func(t *testing.T) {
			a, to := served(t)
			s := a.shell(t, t.TempDir())
			for range 3 {
				a.change(t, 30, backupBoxes...)
				s.run(nil, "backup", "run", "mail", "--format", format)
				checkBackup(t, s, a, "mail")
			}
			to.shell(t, s.dir).run(nil, "backup", "restore", "mail")
			compareMessages(t, "restored", to.contents(t), a.contents(t))
			s.run(nil, "backup", "forget", "mail", "--keep-last", "1", "--prune")
			checkBackup(t, s, a, "mail")
			if format == "mbox" {
				readMboxes(t, s, filepath.Join(s.dir, "mail"))
			}
		})
	}
}

// readMboxes has Python read the mboxes of a backup: they hold what the backup lists.
func readMboxes(t *testing.T, s *shell, dir string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := interop.Command(t, python, "-c", `
import glob, hashlib, mailbox, re, sys
for name in glob.glob(sys.argv[1] + "/**/messages.mbox", recursive=True):
    box = mailbox.mbox(name, create=False)
    for key in box.keys():
        file = box.get_string(key, from_=True).split(None, 2)[1]
        body = re.sub(rb"(?m)^>(>*From )", rb"\1", box.get_bytes(key))
        print(hashlib.sha256(body[:int(re.search(",S=([0-9]+)", file)[1])]).hexdigest(), file)
`, dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3: %v", err)
	}
	var want []string
	for line := range strings.Lines(s.run(nil, "backup", "list", "mail", "--mailbox", "*", "--json")) {
		var m struct{ SHA256, Path string }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		name, _ := fileOf(t, filepath.Join(s.dir, m.Path))
		want = append(want, m.SHA256+" "+name)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(got)
	if slices.Sort(want); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("Python reads\n%q\nwant\n%q", got, want)
	}
}

// TestBackupRestore restores into an empty account, of this server and of another one.
func TestBackupRestore(t *testing.T) {
	alice, bob := served(t)
	for name, to := range map[string]account{"same server": bob, "dovecot": dovecotAccount(t)} {
		t.Run(name, func(t *testing.T) {
			s := alice.shell(t, t.TempDir())
			alice.change(t, 60, backupBoxes...)
			s.run(nil, "backup", "run", "mail")
			target := to.shell(t, s.dir)
			target.run(nil, "backup", "restore", "mail", "--dry-run")
			if got := to.contents(t); len(got) > 0 {
				t.Errorf("a dry run restored %q", got)
			}
			target.run(nil, "backup", "restore", "mail")
			compareMessages(t, "restored", to.contents(t), alice.contents(t))
			target.run(nil, "backup", "restore", "mail")
			compareMessages(t, "restored again", to.contents(t), alice.contents(t))
		})
	}
}

// TestBackupPOP backs a maildrop up.
func TestBackupPOP(t *testing.T) {
	s, d, user, messages := popShell(t)
	for range 2 {
		s.run(nil, "backup", "run", "mail", "--pop")
		var got, want []string
		for line := range strings.Lines(s.run(nil, "backup", "export", "mail", "--format", "mbox")) {
			if subject, ok := strings.CutPrefix(line, "Subject: "); ok {
				got = append(got, strings.TrimSpace(subject))
			}
		}
		for _, m := range messages {
			_, rest, _ := strings.Cut("\r\n"+string(m), "\r\nSubject: ")
			subject, _, _ := strings.Cut(rest, "\r\n")
			want = append(want, subject)
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("got %q, want %q", got, want)
		}
		s.run(nil, "backup", "verify", "mail")
		checkTwice(t, filepath.Join(s.dir, "mail"))
		checkSums(t, s, "mail")
		late := []byte("Subject: late\r\n\r\nFrom here\r\n")
		d.Put(t, user, late)
		messages = append(messages, late)
	}
}
