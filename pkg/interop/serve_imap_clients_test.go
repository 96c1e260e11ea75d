package interop

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// muttrc is a file for mutt with the URL of a mail store and that of a submission server.
func (m *mailSystem) muttrc(store, submission string) string {
	m.t.Helper()
	return m.config("muttrc", `
set ssl_starttls=yes ssl_force_tls=yes ssl_verify_host=yes ssl_verify_dates=yes
set ssl_ca_certificates_file=$ca certificate_file=$dir/no-certificates
set imap_pass="ses ame" smtp_pass="ses ame" smtp_authenticators=plain smtp_url=`+submission+`
set folder=`+store+` spoolfile=+INBOX record=+Sent from=alice@example.org realname=Alice use_from=yes hostname=example.org
set quit=yes delete=yes copy=yes confirmappend=no confirmcreate=no mark_old=no wait_key=no move=no
set pipe_decode=no pipe_split=yes pipe_sep='' sleep_time=0 beep=no send_charset=utf-8
`)
}

// mutt runs mutt with keys that are pressed in the INBOX of a store. It wants a terminal.
func (m *mailSystem) mutt(store, keys string) {
	m.t.Helper()
	start := m.write("start.muttrc", "source "+m.muttrc(store, "")+"\npush '"+keys+"'\n")
	if seen, err := OnTerminal(m.t, m.command("", "mutt", "-F", start, "-f", "+INBOX")); err != nil {
		m.t.Fatalf("mutt: %v\n%s", err, seen)
	}
}

// TestServeMutt has mutt read, flag, copy, move and delete messages over IMAPS and STARTTLS.
func TestServeMutt(t *testing.T) {
	for _, c := range []struct{ name, store string }{
		{"IMAPS", "imaps://alice@localhost:$imaps/"}, {"STARTTLS", "imap://alice@localhost:$imap/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := serveAll(t, nil)
			want := letters()
			m.put("INBOX", want...)
			m.mutt(c.store, `<tag-pattern>~A<enter><tag-prefix><pipe-message>`+m.mda()+` `+m.dir+`/piped<enter>`+
				`<tag-prefix><copy-message>=Archive<enter>`+
				`<untag-pattern>~A<enter><tag-pattern>~s letter.2<enter><tag-prefix><flag-message>`+
				`<untag-pattern>~A<enter><tag-pattern>~s letter.[34]<enter><tag-prefix><save-message>=Junk<enter>`+
				`<untag-pattern>~A<enter><tag-pattern>~b ^l{990}|end$<enter>`+ // a search on the server or in the bodies
				`<untag-pattern>~A<enter><tag-pattern>~s letter.0<enter><tag-prefix><delete-message><quit>`)
			sameTexts(t, "piped", m.files("piped/*"), want)
			sameTexts(t, "copied on the server", m.texts("Archive"), want)
			sameTexts(t, "moved", m.texts("Junk"), want[3:5])
			sameTexts(t, "left", m.texts("INBOX"), append(want[1:3:3], want[5:]...))
			sameList(t, "flags", m.flags("INBOX"), []string{``, `\Flagged`, ``, ``})
		})
	}
}

// TestServeCurl has curl append files of several sizes, fetch, search and list over IMAPS and STARTTLS. From a pipe it
// cannot append, as it does not know the size before.
func TestServeCurl(t *testing.T) {
	for _, c := range []struct{ name, url string }{{"IMAPS", "imaps://localhost:$imaps/"}, {"STARTTLS", "imap://localhost:$imap/"}} {
		t.Run(c.name, func(t *testing.T) {
			m := serveAll(t, nil)
			url := m.expand(c.url)
			curl := func(args ...string) string {
				t.Helper()
				return m.run("", "curl", append([]string{"-sS", "--ssl-reqd", "--max-time", "20", "--cacert", m.ca, "-u", "alice:ses ame"}, args...)...)
			}
			want := letters()
			for _, text := range want {
				curl("-T", m.write("letter", text), url+"Drafts")
			}
			got := m.texts("Drafts")
			for i, text := range want {
				same(t, "appended", []byte(got[i]), []byte(text))
				same(t, "fetched", []byte(curl(fmt.Sprintf("%sDrafts;UID=%d", url, i+1))), []byte(text))
			}
			header, _, _ := strings.Cut(want[0], "\r\n\r\n")
			same(t, "header", []byte(curl(url+"Drafts;UID=1;SECTION=HEADER")), []byte(header+"\r\n\r\n"))
			same(t, "search", []byte(curl(url+"Drafts?SUBJECT%20%22letter%202%22")), []byte("* SEARCH 3\r\n"))
			curl("-X", `STORE 2 +FLAGS.SILENT \Deleted`, url+"Drafts")
			curl("-X", "EXPUNGE", url+"Drafts")
			sameTexts(t, "left", m.texts("Drafts"), append(want[:1:1], want[2:]...))
			contains(t, curl(url), `"/" "INBOX"`, `\Drafts) "/" "Drafts"`)
			if out, status := m.try(want[0], "curl", "-sS", "--ssl-reqd", "--cacert", m.ca, "-u", "alice:ses ame", "-T", "-", url+"Drafts"); status == 0 {
				sameTexts(t, "from a pipe", m.texts("Drafts"), append(append(want[:1:1], want[2:]...), want[0]))
			} else if !strings.Contains(out, "unknown input file size") {
				t.Errorf("from a pipe: status %d\n%s", status, out)
			}
			m.wantRefusal("curl", "-sS", "--ssl-reqd", "-u", "alice:ses ame", url)
		})
	}
}

// TestServeOpenSSL has openssl negotiate STARTTLS and TLS with every listener, and then talks by hand.
func TestServeOpenSSL(t *testing.T) {
	for _, c := range []struct{ listener, starttls, lines, want string }{
		{"smtp", "smtp", "EHLO client.example.org\r\nQUIT\r\n", " PLAIN LOGIN\r\n|\n221 "},
		{"lmtp", "lmtp", "LHLO client.example.org\r\nQUIT\r\n", " PLAIN LOGIN\r\n|\n221 "},
		{"pop3", "pop3", "CAPA\r\nQUIT\r\n", " PLAIN LOGIN\r\n|\n.\r\n+OK "},
		{"imap", "imap", "a CAPABILITY\r\nb LOGOUT\r\n", "AUTH=PLAIN AUTH=LOGIN|a OK |* BYE |b OK "},
		{"smtps", "", "EHLO client.example.org\r\nQUIT\r\n", "220 localhost | PLAIN LOGIN\r\n|\n221 "},
		{"pop3s", "", "QUIT\r\n", "+OK POP3|\n+OK "},
		{"imaps", "", "b LOGOUT\r\n", "* OK [CAPABILITY |* BYE |b OK "},
	} {
		t.Run(c.listener, func(t *testing.T) {
			m := serveAll(t, nil)
			args := []string{"s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost", "-servername", "localhost", "-connect", m.Addr(c.listener)}
			if c.starttls != "" {
				args = append(args, "-starttls", c.starttls)
			}
			contains(t, m.run(c.lines, "openssl", append(args, "-CAfile", m.ca)...), strings.Split(c.want, "|")...)
			m.wantRefusal("openssl", args...)
		})
	}
}

// TestServeFetchmailIdle has fetchmail wait by IDLE: each message is fetched when it comes.
func TestServeFetchmailIdle(t *testing.T) {
	m := serveAll(t, nil)
	rc := m.fetchmailrc("imaps", "imap", `ssl sslcertck sslcertfile "$ca"`, "idle keep")
	cmd := m.command("", "fetchmail", "--nosyslog", "--pidfile", m.dir+"/pid", "-f", rc)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want := letters()
	for n, text := range want {
		m.put("INBOX", text)
		for end := time.Now().Add(60 * time.Second); len(m.files("got/*")) <= n && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
	}
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	sameTexts(t, "fetched", m.files("got/*"), want)
	if t.Failed() {
		t.Logf("fetchmail: %s", &out)
	}
}

// TestServeOfflineIMAP has offlineimap mirror an account into Maildirs, and changes of either side to the other.
func TestServeOfflineIMAP(t *testing.T) {
	m := serveAll(t, nil)
	want := letters()
	m.put("INBOX", want...)
	rc := m.config("offlineimaprc", `
[general]
accounts = a
metadata = $dir/state
ui = quiet
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = $dir/mail
[Repository far]
type = IMAP
remotehost = localhost
remoteport = $imaps
remoteuser = alice
remotepass = ses ame
ssl = yes
sslcacertfile = $ca
folderfilter = lambda name: name in ("INBOX", "Archive")
`)
	sync := func() { t.Helper(); m.run("", "offlineimap", "-o", "-c", rc) }
	sync()
	sameTexts(t, "mirrored", m.files("mail/INBOX/*/*"), want)

	own := "From: alice@example.org\nSubject: own\nDate: Mon, 02 Nov 2026 10:00:00 +0000\nMessage-ID: <own@example.org>\n\n.\nown\n"
	m.write("mail/INBOX/new/1.own.example", own)
	m.put("Archive", want[0])
	if _, err := m.mailbox("alice", "INBOX").Expunge([]uint32{1}); err != nil {
		t.Fatal(err)
	}
	sync()
	sameTexts(t, "on the server", m.texts("INBOX"), append(want[1:len(want):len(want)], own))
	sameTexts(t, "mirrored", m.files("mail/INBOX/*/*"), append(want[1:len(want):len(want)], own))
	sameTexts(t, "archive", m.files("mail/Archive/*/*"), want[:1])
}
