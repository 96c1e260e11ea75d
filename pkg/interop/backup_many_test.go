package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/interop"
)

// manyAccounts is `mail serve` with n users who have some mail, and a list of them.
func manyAccounts(t *testing.T, n int) (users []account, list string) {
	t.Helper()
	flags, list := []string{}, "name,user,password-file\n"
	for i := range n {
		flags = append(flags, "--user", fmt.Sprintf("user%d:secret", i))
		list += fmt.Sprintf("user%d@example.org,user%d,password\n", i, i)
	}
	env := serveVariables(t, flags...)
	for i := range n {
		var own []string
		for _, kv := range env {
			own = append(own, strings.Replace(kv, "MAIL_USER=alice", fmt.Sprintf("MAIL_USER=user%d", i), 1))
		}
		users = append(users, account{own})
		users[i].change(t, 10, backupBoxes...)
	}
	return users, list
}

// TestBackupParallel has GNU parallel spread accounts over processes.
func TestBackupParallel(t *testing.T) {
	tool, err := exec.LookPath("parallel")
	if err != nil {
		t.Skip("GNU parallel is not installed")
	}
	if out, err := interop.Command(t, tool, "--version").Output(); err != nil || !strings.Contains(string(out), "GNU parallel") {
		t.Skip("the parallel that is installed is not GNU parallel")
	}
	users, list := manyAccounts(t, 12)
	s := users[0].shell(t, t.TempDir())
	s.write("staff.csv", []byte(list))
	s.write("password", []byte("secret\n"))
	for range 2 {
		cmd := interop.Command(t, tool, "-j4", "mail", "backup", "run", "org", "--accounts", "staff.csv", "--shard", "{}/5", ":::", "1", "2", "3", "4", "5")
		cmd.Dir = s.dir
		for _, kv := range s.env {
			if !strings.HasPrefix(kv, "MAIL_PASSWORD=") && !strings.HasPrefix(kv, "PATH=") {
				cmd.Env = append(cmd.Env, kv)
			}
		}
		cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(s.path)+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("parallel: %v: %s", err, out)
		}
		for i, a := range users {
			checkBackup(t, a.shell(t, s.dir), a, fmt.Sprintf("org/user%d@example.org", i))
			a.change(t, 10, backupBoxes...)
		}
	}
}

// TestBackupMaster backs accounts of Dovecot up by a master user.
func TestBackupMaster(t *testing.T) {
	d := interop.Dovecot(t)
	list := "{\"name\":\"nobody\"}\n"
	var users []account
	var names []string
	for range 3 {
		a := dovecotAccount(t)
		name := strings.TrimPrefix(a.env[0], "MAIL_IMAP=imaps://")
		name = name[:strings.Index(name, "@")]
		a.change(t, 10, backupBoxes...)
		users, names = append(users, a), append(names, name)
		list += fmt.Sprintf("{\"name\":%q}\n", name)
	}
	admin := account{[]string{"MAIL_IMAP=imaps://" + d.IMAPS, "MAIL_CA=" + d.CAFile}}
	s := admin.shell(t, t.TempDir())
	s.write("staff.jsonl", []byte(list))
	s.write("password", []byte(d.Master.Password+"\n"))
	r := s.try(nil, "backup", "run", "org", "--accounts", "staff.jsonl", "--master", d.Master.Name, "--password-file", "password")
	if r.code != 77 || !strings.Contains(r.stderr, "nobody") {
		t.Errorf("with an account that is not there: %v", r)
	}
	for i, a := range users {
		checkBackup(t, a.shell(t, s.dir), a, "org/"+names[i])
	}
}
