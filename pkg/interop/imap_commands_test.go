package interop_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/server"
)

// everyExtension is what `mail serve` can do without in IMAP.
const everyExtension = "LITERAL+,LITERAL-,SASL-IR,ID,ENABLE,IMAP4REV2,NAMESPACE,CHILDREN,UNSELECT,UIDPLUS,MOVE,IDLE,MULTIAPPEND,BINARY," +
	"LIST-EXTENDED,LIST-STATUS,SPECIAL-USE,CREATE-SPECIAL-USE,STATUS=SIZE,CONDSTORE,QRESYNC,ESEARCH,SEARCHRES,SORT,SORT=DISPLAY," +
	"THREAD=ORDEREDSUBJECT,THREAD=REFERENCES,UTF8=ACCEPT,OBJECTID,PREVIEW,QUOTA,QUOTA=RES-STORAGE,QUOTA=RES-MESSAGE,WITHIN," +
	"COMPRESS=DEFLATE,APPENDLIMIT"

// TestIMAPCommandsAnywhere runs the same script of commands against Dovecot and against `mail serve` with every
// extension, with none, and with the quirks of each provider: what it prints must be the same.
func TestIMAPCommandsAnywhere(t *testing.T) {
	servers := map[string]func(t *testing.T) []string{
		"dovecot":         dovecotVariables,
		"every extension": func(t *testing.T) []string { return serveVariables(t) },
		"no extension":    func(t *testing.T) []string { return serveVariables(t, "--without", everyExtension) },
		"no UTF-8, no SORT": func(t *testing.T) []string {
			return serveVariables(t, "--without", "SORT,THREAD=ORDEREDSUBJECT,THREAD=REFERENCES", "--script", "testdata/no-utf8.script")
		},
	}
	for _, name := range server.Personas() {
		servers[name] = func(t *testing.T) []string { return serveVariables(t, "--persona", name) }
	}
	want, err := os.ReadFile(filepath.Join("testdata", "imap-commands.want"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs(filepath.Join("testdata", "imap-commands.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for name, variables := range servers {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := interop.Command(t, "sh", script)
			cmd.Dir = dir
			cmd.Env = append(variables(t), "PATH="+filepath.Dir(interop.Binary(t))+":"+os.Getenv("PATH"), "HOME="+dir, "LC_ALL=C.UTF-8", "TZ=UTC")
			var words strings.Builder
			cmd.Stderr = &words
			got, err := cmd.Output()
			if err != nil || string(got) != string(want) {
				t.Errorf("%v\nstderr:\n%s\ngot:\n%s\nwant:\n%s", err, words.String(), got, want)
			}
		})
	}
}

func dovecotVariables(t *testing.T) []string {
	d := interop.Dovecot(t)
	u := d.AddUser(t)
	return []string{"MAIL_IMAP=imaps://" + d.IMAPS, "MAIL_USER=" + u.Name, "MAIL_PASSWORD=" + u.Password, "MAIL_CA=" + d.CAFile}
}

// serveVariables runs `mail serve` until the test ends.
func serveVariables(t *testing.T, flags ...string) []string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	cmd := interop.Command(t, interop.Binary(t), append([]string{"serve", "--user", "alice:secret", "--ca-out", ca}, flags...)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	var facts struct{ IMAPS, Token string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &facts)
	}
	if err != nil {
		t.Fatalf("mail serve: %v", err)
	}
	variables := []string{"MAIL_IMAP=imaps://" + facts.IMAPS, "MAIL_USER=alice", "MAIL_CA=" + ca}
	if strings.Join(flags, " ") == "--persona exchange" { // tokens only
		return append(variables, "MAIL_TOKEN="+facts.Token)
	}
	return append(variables, "MAIL_PASSWORD=secret")
}
