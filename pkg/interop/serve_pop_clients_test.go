package interop

import (
	"strings"
	"testing"
)

// TestServeMpop has mpop fetch by POP3S and STLS: keep, only what is new, delete.
func TestServeMpop(t *testing.T) {
	m := serveAll(t, nil)
	want := letters()
	m.put("INBOX", want...)
	m.maildir("kept")
	m.maildir("taken")
	rc := m.config("mpoprc", `
defaults
host localhost
user alice
passwordeval "echo 'ses ame'"
tls on
uidls_file ${dir}/uidls-%H
received_header off
account tls
port ${pop3s}
tls_starttls off
tls_trust_file ${ca}
delivery maildir ${dir}/kept
keep on
account stls : tls
port ${pop3}
tls_starttls on
keep off
uidls_file ${dir}/uidls2
delivery maildir ${dir}/taken
account distrust : tls
tls_trust_file /etc/ssl/certs/ca-certificates.crt
`)
	m.run("", "mpop", "-C", rc, "tls")
	sameTexts(t, "kept", m.files("kept/new/*"), want)
	sameTexts(t, "on the server", m.texts("INBOX"), want)
	more := "Subject: new\r\n\r\nnews\r\n"
	m.put("INBOX", more)
	m.run("", "mpop", "-C", rc, "tls")
	sameTexts(t, "kept", m.files("kept/new/*"), append(want, more))
	m.run("", "mpop", "-C", rc, "stls")
	sameTexts(t, "taken", m.files("taken/new/*"), append(want, more))
	sameTexts(t, "on the server", m.texts("INBOX"), nil)
	m.wantRefusal("mpop", "-C", rc, "distrust")
}

// mda is a program that puts what it reads into a file of its own in a folder.
func (m *mailSystem) mda() string {
	return m.write("mda", "#!/bin/sh\nmkdir -p \"$1\" && cat >\"$(mktemp \"$1/XXXXXX\")\"\n")
}

// fetchmailrc is the file of fetchmail for one listener.
func (m *mailSystem) fetchmailrc(listener, proto, ssl, more string) string {
	m.mda()
	return m.config("fetchmailrc", `
set invisible
poll localhost protocol `+proto+` service $`+listener+` timeout 20 bad-header accept
  user alice password "ses ame" `+ssl+`
  mda "$dir/mda $dir/got" nostripcr pass8bits no rewrite batchlimit 0 expunge 0 `+more+"\n")
}

// TestServeFetchmail has fetchmail hand everything to a delivery program, by POP3 and IMAP: keep, only what is new,
// delete.
func TestServeFetchmail(t *testing.T) {
	for _, c := range []struct{ name, listener, proto, ssl string }{
		{"POP3S", "pop3s", "pop3 uidl", "ssl"},
		{"STLS", "pop3", "pop3 uidl", `sslproto "TLS1.2+"`},
		{"IMAPS", "imaps", "imap", "ssl"},
		{"STARTTLS", "imap", "imap", `sslproto "TLS1.2+"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := serveAll(t, nil)
			want := letters()
			m.put("INBOX", want...)
			args := []string{"--nosyslog", "--pidfile", m.dir + "/pid", "--idfile", m.dir + "/ids", "-f"}
			trust := c.ssl + ` sslcertck sslcertfile "$ca"`
			distrust := m.fetchmailrc(c.listener, c.proto, c.ssl+" sslcertck", "")
			m.wantRefusal("fetchmail", append(args, distrust)...)

			keep := m.fetchmailrc(c.listener, c.proto, trust, "keep")
			m.run("", "fetchmail", append(args, keep)...)
			sameTexts(t, "fetched", m.files("got/*"), want)
			sameTexts(t, "on the server", m.texts("INBOX"), want)
			if _, status := m.try("", "fetchmail", append(args, keep)...); status != 1 {
				t.Errorf("nothing is new: status %d, want 1", status)
			}
			more := letters()[0]
			m.put("INBOX", more)
			m.run("", "fetchmail", append(args, keep)...)
			sameTexts(t, "fetched", m.files("got/*"), append(want, more))

			take := m.fetchmailrc(c.listener, c.proto, trust, "nokeep fetchall")
			m.run("", "fetchmail", append(args, take)...)
			sameTexts(t, "fetched again", m.files("got/*"), append(append(want, more), append(want, more)...))
			sameTexts(t, "on the server", m.texts("INBOX"), nil)
		})
	}
}

// TestServeGetmail has getmail fetch by POP3S and IMAPS, keep and delete.
func TestServeGetmail(t *testing.T) {
	for _, c := range []struct{ listener, retriever string }{{"pop3s", "SimplePOP3SSLRetriever"}, {"imaps", "SimpleIMAPSSLRetriever"}} {
		t.Run(c.retriever, func(t *testing.T) {
			m := serveAll(t, nil)
			want := letters()
			m.put("INBOX", want...)
			rc := func(del string) string {
				return m.config("getmail-"+del, `
[retriever]
type = `+c.retriever+`
server = localhost
port = $`+c.listener+`
username = alice
password = ses ame
ca_certs = $ca
timeout = 20
[destination]
type = MDA_external
path = `+m.mda()+`
arguments = ("$dir/`+del+`",)
unixfrom = false
allow_root_commands = true
[options]
delete = `+del+`
read_all = false
delivered_to = false
received = false
`)
			}
			got := func(dir string) []string {
				list := m.files(dir + "/*")
				for i := range list {
					list[i] = strings.Replace(list[i], "X-getmail-retrieved-from-mailbox: INBOX\n", "", 1)
				}
				return list
			}
			keep, take := rc("false"), rc("true")
			m.run("", "getmail", "-g", m.dir, "-r", keep)
			sameTexts(t, "kept", got("false"), want)
			sameTexts(t, "on the server", m.texts("INBOX"), want)
			m.run("", "getmail", "-g", m.dir, "-r", keep)
			sameTexts(t, "kept", got("false"), want)
			m.run("", "getmail", "-g", m.dir, "-r", take, "--all")
			sameTexts(t, "taken", got("true"), want)
			sameTexts(t, "on the server", m.texts("INBOX"), nil)
		})
	}
}
