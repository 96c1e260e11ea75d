package interop

import (
	"crypto/x509"
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
	"time"
)

// Domains and addresses that PostfixServer knows.
const (
	Domain        = "local.example"            // delivered to Dovecot's users
	DiscardDomain = "discard.example"          // accepted and thrown away, as any other domain is
	Refused       = "refused@" + Domain        // RCPT: 550 5.1.1
	Deferred      = "deferred@" + Domain       // RCPT: 450 4.2.1
	RefusedData   = "refused-data@" + Domain   // DATA: 554 5.7.1
	DeferredData  = "deferred-data@" + Domain  // DATA: 451 4.7.1
	RefusedSender = "refused-from@example.org" // MAIL: 550 5.7.1
)

// PostfixServer is a private Postfix. SMTP is for anybody, without authentication, and
// offers STARTTLS; Submission wants STARTTLS and authentication, SMTPS (implicit TLS)
// authentication, against Dovecot's users. Every address is "127.0.0.1:port".
type PostfixServer struct {
	SMTP, Submission, SMTPS string

	CAFile string         // PEM file of the authority
	CA     *x509.CertPool // the same
	Log    string         // mail log

	dir     string
	dovecot *DovecotServer
	proc    *process
}

var postfix struct {
	once   sync.Once
	server *PostfixServer
	err    error
}

// Postfix returns the Postfix of this test process, and starts it and Dovecot at the
// first call. It skips the test, with the reason, where one of them cannot run.
func Postfix(t testing.TB) *PostfixServer {
	t.Helper()
	d := Dovecot(t)
	postfix.once.Do(func() { postfix.server, postfix.err = startPostfix(d) })
	require(t, postfix.err)
	return postfix.server
}

func startPostfix(d *DovecotServer) (*PostfixServer, error) {
	postconf, err := program("postconf")
	if err != nil {
		return nil, &notInstalled{"postfix is not installed"}
	}
	if os.Getuid() != 0 {
		return nil, &notInstalled{"postfix runs as root only"}
	}
	build, err := buildSettings(postconf)
	if err != nil {
		return nil, err
	}
	var p *PostfixServer
	for range startAttempts {
		if p, err = tryPostfix(d, build); err == nil {
			started.push(p.proc)
			return p, nil
		}
	}
	return nil, err
}

// buildSettings asks for the settings that depend on how Postfix was built.
func buildSettings(postconf string) (map[string]string, error) {
	names := []string{"daemon_directory", "command_directory", "mail_owner", "setgid_group", "mail_version"}
	out, err := exec.Command(postconf, append([]string{"-d"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("postconf: %w", err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(line, "=")
		settings[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return settings, nil
}

// tryPostfix makes the folder and starts the server once.
func tryPostfix(d *DovecotServer, build map[string]string) (*PostfixServer, error) {
	dir, err := tempDir("mail-postfix-")
	if err != nil {
		return nil, err
	}
	p := &PostfixServer{dir: dir, dovecot: d, CA: d.CA, CAFile: d.CAFile, Log: filepath.Join(dir, "log")}
	out := filepath.Join(dir, "master.log")
	if err = p.prepare(build); err == nil {
		p.proc, err = watch(dir, out, filepath.Join(build["daemon_directory"], "master"), "-c", filepath.Join(dir, "etc"), "-s")
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("postfix: %w", err)
	}
	err = awaitGreeting(p.proc, p.SMTP, "220 ")
	if err == nil {
		err = awaitGreeting(p.proc, p.Submission, "220 ")
	}
	if err != nil {
		err = fmt.Errorf("postfix: %w\n%s\n%s", err, tail(out), tail(p.Log))
		return nil, errors.Join(err, p.proc.stop(), os.RemoveAll(dir))
	}
	return p, nil
}

// prepare writes the configuration and makes the queue, which otherwise Postfix's own
// start script does, slowly.
func (p *PostfixServer) prepare(build map[string]string) error {
	addrs, err := freePorts(3)
	if err != nil {
		return err
	}
	p.SMTP, p.Submission, p.SMTPS = addrs[0], addrs[1], addrs[2]
	u, err := user.Lookup(build["mail_owner"])
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	if err := p.folders(uid); err != nil {
		return err
	}
	etc := filepath.Join(p.dir, "etc")
	for name, text := range map[string]string{
		"main.cf":   p.mainConfig(build),
		"master.cf": p.masterConfig(),
		"mailboxes": mailboxes(),
	} {
		path := filepath.Join(etc, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		// Postfix waits for seconds when its configuration has only just changed.
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, old, old); err != nil {
			return err
		}
	}
	return nil
}

// mailboxes lists the mailboxes of all users that there may ever be: the delivery agent
// takes no patterns here, and a list is not read twice.
func mailboxes() string {
	var b strings.Builder
	for n := 1; n <= maxUsers; n++ {
		fmt.Fprintf(&b, "user%d@%s user%d/\n", n, Domain, n)
	}
	return b.String()
}

// folders makes the queue's folders. Those that the mail system writes as its own user
// belong to uid.
func (p *PostfixServer) folders(uid int) error {
	for _, name := range []string{"etc", "spool", "spool/pid"} {
		if err := os.Mkdir(filepath.Join(p.dir, name), 0o755); err != nil {
			return err
		}
	}
	own := []string{"data"}
	for _, name := range strings.Fields("active bounce corrupt defer deferred flush hold incoming maildrop private public saved trace") {
		own = append(own, "spool/"+name)
	}
	for _, name := range own {
		path := filepath.Join(p.dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		if err := os.Chown(path, uid, -1); err != nil {
			return err
		}
	}
	return nil
}

// mainConfig is the text of main.cf. Nothing in it may change a message: header
// rewriting and the dropping of fields are off.
func (p *PostfixServer) mainConfig(build map[string]string) string {
	text := `compatibility_level = 3.6
queue_directory = $DIR/spool
data_directory = $DIR/data
command_directory = $COMMANDS
daemon_directory = $DAEMONS
mail_owner = $OWNER
setgid_group = $GROUP
myhostname = mx.local.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = $DOMAIN
virtual_mailbox_base = $MAIL
virtual_mailbox_maps = texthash:$DIR/etc/mailboxes, inline:{{$REFDATA=void/},{$DEFDATA=void/}}
virtual_mailbox_limit = 0
virtual_uid_maps = static:$UID
virtual_gid_maps = static:$GID
virtual_minimum_uid = 1
default_transport = discard:
notify_classes =
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
local_header_rewrite_clients =
message_drop_headers =
message_size_limit = 1500000000
header_size_limit = 1048576
smtpd_client_restrictions =
smtpd_sender_restrictions = check_sender_access inline:{{$REFSENDER=550 5.7.1 sender refused}}
smtpd_recipient_restrictions = check_recipient_access inline:{{$REFUSED=550 5.1.1 no such user},{$DEFERRED=450 4.2.1 mailbox busy, try again}}, permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_data_restrictions = check_recipient_access inline:{{$REFDATA=554 5.7.1 message refused},{$DEFDATA=451 4.7.1 not now}}
smtpd_tls_cert_file = $CERTS/cert.pem
smtpd_tls_key_file = $CERTS/key.pem
smtpd_tls_security_level = may
smtpd_tls_session_cache_database =
smtpd_sasl_type = dovecot
smtpd_sasl_path = $CERTS/sasl
smtpd_sasl_security_options = noanonymous
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 10000
smtpd_hard_error_limit = 10000
smtpd_junk_command_limit = 10000
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_process_limit = 50
in_flow_delay = 0
maillog_file = $DIR/log
maillog_file_prefixes = $DIR
`
	d := p.dovecot
	return strings.NewReplacer("$DIR", p.dir, "$COMMANDS", build["command_directory"], "$DAEMONS", build["daemon_directory"],
		"$OWNER", build["mail_owner"], "$GROUP", build["setgid_group"], "$MAIL", filepath.Join(d.dir, "mail"), "$CERTS", d.dir,
		"$UID", strconv.Itoa(d.owner.uid), "$GID", strconv.Itoa(d.owner.gid), "$DOMAIN", Domain,
		"$REFUSED", Refused, "$DEFERRED", Deferred, "$REFDATA", RefusedData, "$DEFDATA", DeferredData, "$REFSENDER", RefusedSender).Replace(text)
}

// masterConfig is the text of master.cf.
func (p *PostfixServer) masterConfig() string {
	text := `$SMTP inet n - n - - smtpd
$SUBMISSION inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o mynetworks=192.0.2.0/24
$SMTPS inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o mynetworks=192.0.2.0/24
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
	return strings.NewReplacer("$SMTPS", p.SMTPS, "$SMTP", p.SMTP, "$SUBMISSION", p.Submission).Replace(text)
}
