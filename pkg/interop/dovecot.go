package interop

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// DovecotServer is a private Dovecot. Every address is "127.0.0.1:port"; IMAP and POP3
// begin in cleartext and offer STARTTLS, IMAPS and POP3S are implicit TLS. The
// certificate is good for localhost and 127.0.0.1.
type DovecotServer struct {
	IMAP, IMAPS, POP3, POP3S string

	CAFile string         // PEM file of the authority
	CA     *x509.CertPool // the same
	Log    string         // log file
	Master User           // may act as any other (SASL authorization identity), and has no mailbox

	dir   string
	owner owner // of mailboxes
	proc  *process

	mu    sync.Mutex
	users int
	files int
}

// Mechanisms are the SASL mechanisms that both servers offer, in capitals. POP3 has
// APOP besides.
var Mechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}

// User is an account of the servers.
type User struct {
	Name     string // to log in
	Password string
	Address  string // Name at the domain that Postfix delivers
}

// owner is the system user that holds the mailboxes.
type owner struct {
	uid, gid int
	name     string
	group    string
}

// mailOwner is the user himself or, for root, nobody: Dovecot refuses mailboxes of root.
func mailOwner() (owner, error) {
	u, err := user.Current()
	if err == nil && u.Uid == "0" {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return owner{}, err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return owner{}, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return owner{uid, gid, u.Username, g.Name}, errors.Join(err1, err2)
}

var dovecot struct {
	once   sync.Once
	server *DovecotServer
	err    error
}

// Dovecot returns the Dovecot of this test process and starts it at the first call. It
// skips the test, with the reason, where Dovecot cannot run.
func Dovecot(t testing.TB) *DovecotServer {
	t.Helper()
	dovecot.once.Do(func() { dovecot.server, dovecot.err = startDovecot(t) })
	require(t, dovecot.err)
	return dovecot.server
}

// startAttempts is how often new ports are tried: one may be taken by someone else
// between its choice and the server's start.
const startAttempts = 3

func startDovecot(t testing.TB) (*DovecotServer, error) {
	exe, err := findDovecot()
	if err != nil {
		return nil, err
	}
	var d *DovecotServer
	for range startAttempts {
		if d, err = tryDovecot(t, exe); err == nil {
			started.push(d.proc)
			return d, nil
		}
	}
	return nil, err
}

// findDovecot returns the program if its version and modules will do.
func findDovecot() (string, error) {
	exe, err := program("dovecot")
	if err != nil {
		return "", err
	}
	version, err := exec.Command(exe, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("dovecot --version: %w", err)
	}
	if !strings.HasPrefix(string(version), "2.3.") {
		return "", &notInstalled{"dovecot 2.3 is needed, this is " + strings.TrimSpace(string(version))}
	}
	for _, name := range []string{"imap", "pop3"} {
		found := false
		for _, dir := range []string{"/usr/lib/dovecot", "/usr/libexec/dovecot", "/usr/local/libexec/dovecot"} {
			_, err := os.Stat(filepath.Join(dir, name))
			found = found || err == nil
		}
		if !found {
			return "", &notInstalled{"dovecot is installed without its " + name + " program"}
		}
	}
	return exe, nil
}

// tryDovecot makes the folder and starts the server once.
func tryDovecot(t testing.TB, exe string) (*DovecotServer, error) {
	d := &DovecotServer{}
	var err error
	if d.owner, err = mailOwner(); err != nil {
		return nil, err
	}
	if d.dir, err = tempDir("mail-dovecot-"); err != nil {
		return nil, err
	}
	fail := func(err error) (*DovecotServer, error) {
		err = fmt.Errorf("dovecot: %w\n%s", err, tail(d.Log))
		_ = os.RemoveAll(d.dir)
		return nil, err
	}
	d.Log = filepath.Join(d.dir, "log")
	if err := d.prepare(t); err != nil {
		return fail(err)
	}
	d.proc, err = watch(d.dir, d.Log, exe, "-F", "-c", filepath.Join(d.dir, "dovecot.conf"))
	if err != nil {
		return fail(err)
	}
	err = awaitGreeting(d.proc, d.IMAP, "* OK ")
	if err == nil {
		err = awaitGreeting(d.proc, d.POP3, "+OK")
	}
	if err != nil {
		err = fmt.Errorf("dovecot: %w\n%s", err, tail(d.Log))
		return nil, errors.Join(err, d.proc.stop(), os.RemoveAll(d.dir))
	}
	return d, nil
}

// prepare writes what the server reads.
func (d *DovecotServer) prepare(t testing.TB) error {
	addrs, err := freePorts(4)
	if err != nil {
		return err
	}
	d.IMAP, d.IMAPS, d.POP3, d.POP3S = addrs[0], addrs[1], addrs[2], addrs[3]
	for _, dir := range []string{"run", "state", "mail", "users"} {
		if err := os.Mkdir(filepath.Join(d.dir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chown(filepath.Join(d.dir, "mail"), d.owner.uid, d.owner.gid); err != nil {
		return err
	}
	d.Master = User{Name: "master", Password: "pass word-master"}
	if err := os.WriteFile(filepath.Join(d.dir, "masters"), []byte(d.Master.Name+":{PLAIN}"+d.Master.Password+"\n"), 0o644); err != nil {
		return err
	}
	ca := wiretest.CA(t)
	d.CA, d.CAFile = ca.Pool, filepath.Join(d.dir, "ca.pem")
	if err := writeTLS(d.dir, ca); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, "dovecot.conf"), []byte(d.config()), 0o644)
}

// writeTLS puts ca.pem, cert.pem and key.pem into dir.
func writeTLS(dir string, ca *wiretest.Authority) error {
	authority, err := os.ReadFile(ca.File)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(ca.Good.PrivateKey)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"ca.pem":   authority,
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Good.Certificate[0]}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	} {
		mode := os.FileMode(0o644)
		if name == "key.pem" {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, mode); err != nil {
			return err
		}
	}
	return nil
}

// config is the text of dovecot.conf.
func (d *DovecotServer) config() string {
	text := `base_dir = $DIR/run
state_dir = $DIR/state
log_path = $DIR/log
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <$DIR/cert.pem
ssl_key = <$DIR/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 apop
auth_failure_delay = 0
mail_location = maildir:$DIR/mail/%u
mail_uid = $UID
mail_gid = $GID
first_valid_uid = 1
first_valid_gid = 1
mail_fsync = never
mail_max_userip_connections = 200
passdb {
  driver = passwd-file
  args = $DIR/masters
  master = yes
  result_success = continue
}
passdb {
  driver = passwd-file
  # A file for each user: one file for all is not read again within a second.
  args = username_format=%u $DIR/users/%u
}
userdb {
  driver = static
  args = uid=$UID gid=$GID home=$DIR/mail/%u
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox Drafts {
    special_use = \Drafts
    auto = create
  }
  mailbox Sent {
    special_use = \Sent
    auto = subscribe
  }
  mailbox Trash {
    special_use = \Trash
    auto = subscribe
  }
}
protocol imap {
  mail_plugins = imap_zlib
}
service imap-login {
  inet_listener imap {
    port = $IMAP
  }
  inet_listener imaps {
    port = $SIMAP
    ssl = yes
  }
  service_count = 0
  $NOCHROOT
}
service pop3-login {
  inet_listener pop3 {
    port = $POP3
  }
  inet_listener pop3s {
    port = $SPOP3
    ssl = yes
  }
  service_count = 0
  $NOCHROOT
}
service imap {
  process_limit = 250
}
service pop3 {
  process_limit = 250
}
service auth {
  unix_listener $DIR/sasl {
    mode = 0666
  }
}
service anvil {
  # No growing delays after failed logins.
  unix_listener anvil-auth-penalty {
    mode = 0
  }
  $NOCHROOT
}
`
	noChroot := ""
	if os.Getuid() != 0 {
		noChroot = "chroot ="
		text += "default_login_user = $USER\ndefault_internal_user = $USER\ndefault_internal_group = $GROUP\n"
	}
	return strings.NewReplacer("$DIR", d.dir, "$UID", strconv.Itoa(d.owner.uid), "$GID", strconv.Itoa(d.owner.gid),
		"$IMAP", port(d.IMAP), "$SIMAP", port(d.IMAPS), "$POP3", port(d.POP3), "$SPOP3", port(d.POP3S),
		"$NOCHROOT", noChroot, "$USER", d.owner.name, "$GROUP", d.owner.group).Replace(text)
}

// maxUsers is the number of accounts that Postfix knows from its start.
const maxUsers = 1000

// AddUser makes a fresh account with an empty mailbox. Without a password it gets one
// of its own.
func (d *DovecotServer) AddUser(t testing.TB, password ...string) User {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users++; d.users > maxUsers {
		t.Fatalf("more than %d users in one test process", maxUsers)
	}
	name := "user" + strconv.Itoa(d.users)
	u := User{Name: name, Password: "pass word-" + name, Address: name + "@" + Domain}
	if len(password) > 0 {
		u.Password = password[0]
	}
	// Dovecot's authentication service, which is not root, reads this.
	line := name + ":{PLAIN.b64}" + base64.StdEncoding.EncodeToString([]byte(u.Password)) + "\n"
	if err := os.WriteFile(filepath.Join(d.dir, "users", name), []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	return u
}

// Maildir returns the folder that holds the user's INBOX.
func (d *DovecotServer) Maildir(u User) string { return filepath.Join(d.dir, "mail", u.Name) }
