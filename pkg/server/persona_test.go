package server

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// personaServer starts a server that plays a persona.
func personaServer(t testing.TB, name string, messages ...string) *Server {
	t.Helper()
	without, faults, err := Persona(name)
	if err != nil {
		t.Fatal(err)
	}
	return imapServer(t, Options{SMTP: "127.0.0.1:0", LMTP: "127.0.0.1:0", POP3: "127.0.0.1:0", Hostname: "mx.example.org", Without: without, Faults: faults}, messages...)
}

func TestPersonaName(t *testing.T) {
	if got, want := strings.Join(Personas(), " "), "coremail courier exchange gmail icloud yahoo"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, f, err := Persona("GMail"); err != nil || f == nil {
		t.Errorf("got %v, %v, want gmail in any case of letters", f, err)
	}
	if _, f, err := Persona("nobody"); err == nil || f != nil || !strings.Contains(err.Error(), `"nobody": want one of coremail, courier`) {
		t.Errorf("got %v, %v, want an error that lists the names", f, err)
	}
	a, _, _ := Persona("gmail")
	a[0] = "changed"
	if b, _, _ := Persona("gmail"); b[0] == "changed" {
		t.Error("two personas share their list")
	}
}

// TestPersonaCapabilities compares what the protocols announce.
func TestPersonaCapabilities(t *testing.T) {
	const user = "SASL=PLAIN,LOGIN USER" // of those whose POP3 has no list, only this is compared
	for _, c := range []struct{ name, before, after, smtp, pop3 string }{
		{"gmail",
			"IMAP4rev1 LITERAL- SASL-IR ID ENABLE STARTTLS AUTH=OAUTHBEARER AUTH=XOAUTH2 AUTH=PLAIN",
			"IMAP4rev1 LITERAL- SASL-IR ID ENABLE NAMESPACE CHILDREN UNSELECT UIDPLUS MOVE IDLE LIST-EXTENDED LIST-STATUS SPECIAL-USE " +
				"CONDSTORE ESEARCH UTF8=ACCEPT QUOTA COMPRESS=DEFLATE X-GM-EXT-1 APPENDLIMIT=268435456",
			"PIPELINING SIZE=268435456 8BITMIME SMTPUTF8 CHUNKING ENHANCEDSTATUSCODES STARTTLS AUTH=OAUTHBEARER,XOAUTH2,PLAIN,LOGIN",
			"TOP UIDL RESP-CODES EXPIRE SASL=OAUTHBEARER,XOAUTH2,PLAIN USER STLS"},
		{"exchange",
			"IMAP4rev1 LITERAL+ SASL-IR ID STARTTLS LOGINDISABLED AUTH=XOAUTH2",
			"IMAP4rev1 LITERAL+ SASL-IR ID NAMESPACE CHILDREN UNSELECT UIDPLUS MOVE IDLE",
			"PIPELINING SIZE=268435456 8BITMIME SMTPUTF8 CHUNKING BINARYMIME DSN ENHANCEDSTATUSCODES STARTTLS AUTH=XOAUTH2",
			"TOP UIDL SASL=XOAUTH2 STLS"},
		{"yahoo",
			"IMAP4rev1 LITERAL+ ID STARTTLS AUTH=PLAIN AUTH=LOGIN",
			"IMAP4rev1 LITERAL+ ID NAMESPACE CHILDREN UIDPLUS MOVE", "", user},
		{"icloud",
			"IMAP4rev1 SASL-IR ID ENABLE STARTTLS AUTH=PLAIN",
			"IMAP4rev1 SASL-IR ID ENABLE NAMESPACE CHILDREN UNSELECT UIDPLUS IDLE BINARY CONDSTORE QRESYNC ESEARCH SEARCHRES " +
				"SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES QUOTA WITHIN", "", ""},
		{"courier",
			"IMAP4rev1 STARTTLS AUTH=PLAIN",
			"IMAP4rev1 NAMESPACE CHILDREN UIDPLUS IDLE SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES QUOTA", "", user},
		{"coremail",
			"IMAP4rev1 LITERAL+ SASL-IR ID STARTTLS AUTH=PLAIN AUTH=LOGIN",
			"IMAP4rev1 LITERAL+ SASL-IR ID UIDPLUS SPECIAL-USE APPENDLIMIT=268435456", "", user},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := personaServer(t, c.name)
			peer := talk(t, srv)
			personaWant(t, "before login", strings.TrimPrefix(peer.command("CAPABILITY")[0], "* CAPABILITY "), c.before)
			if c.name == "exchange" {
				peer.play("C: 1 LOGIN alice secret\nS: 1 NO *\nC: 2 AUTHENTICATE XOAUTH2 dXNlcj1hbGljZQFhdXRoPUJlYXJlciB0b2sBAQ==\nS: 2 OK *")
			} else {
				peer.login()
			}
			personaWant(t, "after login", strings.TrimPrefix(peer.command("CAPABILITY")[0], "* CAPABILITY "), c.after)
			if c.smtp != "" {
				personaWant(t, "smtp", personaLines(t, dialCore(t, srv.Addr("smtp")), "EHLO [127.0.0.1]\r\nQUIT\r\n", `(?m)^250[- ]([A-Z0-9]+)(?: ([A-Z0-9].*))?\r$`), c.smtp)
			}
			if c.pop3 != "" && c.pop3 != user {
				personaWant(t, "pop3", personaLines(t, dialCore(t, srv.Addr("pop3")), "CAPA\r\nQUIT\r\n", `(?m)^([A-Z][A-Z0-9-]+)(?: ([A-Z0-9 -]+))?\r$`),
					strings.Replace(c.pop3, "EXPIRE", "EXPIRE=NEVER", 1))
			}
			if c.pop3 == user {
				got := personaLines(t, dialCore(t, srv.Addr("pop3")), "CAPA\r\nQUIT\r\n", `(?m)^(SASL|USER)(?: ([A-Z0-9 -]+))?\r$`)
				personaWant(t, "pop3", got, user)
			}
		})
	}
}

func personaWant(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

// personaLines sends commands and returns what fits the pattern: names, with their parameters behind "=".
func personaLines(t *testing.T, p *corePeer, commands, pattern string) string {
	t.Helper()
	p.send(commands)
	var text strings.Builder
	if _, err := p.r.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text.String(), -1) {
		if m[2] != "" {
			m[1] += "=" + strings.ReplaceAll(m[2], " ", ",")
		}
		list = append(list, m[1])
	}
	return strings.Join(list, " ")
}

// TestPersonaKnown holds that the personas name extensions that the server has, and have rules that can strike.
func TestPersonaKnown(t *testing.T) {
	for name, p := range personas() {
		for _, word := range p.without {
			if !scriptExtension("", word) {
				t.Errorf("%s: no extension is called %s", name, word)
			}
		}
		for protocol, list := range p.offers {
			for word := range strings.FieldsSeq(list) {
				if !scriptExtension(protocol, strings.ToUpper(word)) {
					t.Errorf("%s: no extension of %s is called %s", name, protocol, word)
				}
				if slices.Contains(p.without, word) {
					t.Errorf("%s: %s is offered and switched off", name, word)
				}
			}
		}
		for _, rule := range p.rules {
			if err := rule.scriptCheck(rule.commands()); err != nil || len(rule.commands()) == 0 || rule.Strike.isZero() {
				t.Errorf("%s: %+v cannot strike: %v", name, rule, err)
			}
		}
	}
}

// TestPersonaThrottles counts the commands until a limit is met.
func TestPersonaThrottles(t *testing.T) {
	for _, c := range []struct {
		name, command string
		every         int
		want          Strike
	}{
		{"gmail", "NOOP", 5, Strike{Delay: 200 * time.Millisecond, Reply: "OK Success [THROTTLED]"}},
		{"gmail", "UID FETCH", 200, Strike{Reply: "NO [OVERQUOTA] Account exceeded command or bandwidth limits."}},
		{"exchange", "FETCH", 50, Strike{Reply: "NO Request is throttled. Suggested Backoff Time: 1500 milliseconds"}},
		{"exchange", "APPEND", 20, Strike{Reply: "NO Request is throttled. Suggested Backoff Time: 1500 milliseconds"}},
		{"yahoo", "UID FETCH", 20, Strike{Reply: "NO [UNAVAILABLE] FETCH Server error - Please try again later"}},
	} {
		_, f, err := Persona(c.name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 3*c.every; i++ {
			want := Strike{}
			if i%c.every == 0 {
				want = c.want
			}
			if got := f.Strike(Event{Protocol: "imap", Command: c.command, Session: int64(i)}); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %s number %d: got %+v, want %+v", c.name, c.command, i, got, want)
			}
		}
	}
}

func TestPersonaICloud(t *testing.T) {
	c := talk(t, personaServer(t, "icloud", plainMessage)).login().selectInbox()
	c.play("C: 1 ENABLE CONDSTORE\nS. * ENABLED\nS: 1 OK *\nC: 2 FETCH 1 BINARY.SIZE[1]\nS: 2 BAD parse error\n" +
		"C: 3 FETCH 1 (UID MODSEQ)\nS: [*] OK [HIGHESTMODSEQ *\nS: [*] 1 FETCH (UID 1 MODSEQ (*))\nS: 3 OK *\nC: 4 MOVE 1 Trash\nS: 4 BAD *")
}

func TestPersonaCoremail(t *testing.T) {
	srv := personaServer(t, "coremail", plainMessage)
	const unsafe = "Unsafe Login. Please contact postmaster@example.org for help"
	t.Run("ID first", func(t *testing.T) {
		c := talk(t, srv).login()
		c.play("C: 1 SELECT INBOX\nS. 1 NO SELECT " + unsafe + "\nC: 2 EXAMINE INBOX\nS. 2 NO EXAMINE " + unsafe)
		c.command(`ID ("name" "test")`)
		c.selectInbox().play("C: 3 CHECK\nS: 3 OK *")
		talk(t, srv).login().play("C: 1 SELECT INBOX\nS. 1 NO SELECT " + unsafe) // another session
	})
	t.Run("SASL-IR", func(t *testing.T) {
		talk(t, srv).play("C: 1 AUTHENTICATE PLAIN\nS: + *\nC: AGFsaWNlAHNlY3JldA==\nS: 1 OK *")
		talk(t, srv).play("C: 1 AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\nS: 1 BAD Request not ending with *\n" +
			"C: 2 AUTHENTICATE PLAIN\nS: + *\nC: AGFsaWNlAHNlY3JldA==\nS: 2 OK *")
	})
	t.Run("memory", func(t *testing.T) {
		_, f, err := Persona("coremail")
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(3 * personaMemory) {
			f.Strike(Event{Protocol: "imap", Command: "ID", Session: i})
			if i%2 == 0 {
				f.Strike(Event{Protocol: "imap", Command: "LOGOUT", Session: i})
			}
		}
		if n := len(f.(*personaFaults).sessions); n > personaMemory {
			t.Errorf("remembers %d sessions, want at most %d", n, personaMemory)
		}
		if got := f.Strike(Event{Protocol: "imap", Command: "SELECT", Session: 3*personaMemory - 1}); !got.isZero() {
			t.Errorf("got %+v for the newest session, want nothing", got)
		}
	})
}

// TestPersonaClient runs the client engine against all of them.
func TestPersonaClient(t *testing.T) {
	for _, name := range Personas() {
		t.Run(name, func(t *testing.T) {
			srv := personaServer(t, name, plainMessage, plainMessage, plainMessage)
			mechanism := map[string]string{"exchange": "xoauth2"}[name]
			c := dialIMAP(t, srv, mechanism)
			if name != "courier" {
				if _, err := c.ID(t.Context(), []imap.IDField{{Name: "name", Value: "test"}}); err != nil {
					t.Fatal(err)
				}
			}
			sel, err := c.Select(t.Context(), "INBOX", nil)
			if err != nil || sel.Exists != 3 {
				t.Fatalf("got %+v, %v, want three messages", sel, err)
			}
			set, _ := imapwire.ParseUIDSet("1:3")
			n := 0
			if _, err := c.Fetch(t.Context(), set, &imap.FetchOptions{Flags: true, Size: true}, func(*imap.Message) error { n++; return nil }); err != nil || n != 3 {
				t.Errorf("got %d messages, %v, want 3", n, err)
			}
			trash := "Trash"
			if name == "gmail" {
				trash = "[Gmail]/Trash"
			}
			if _, err := c.Move(t.Context(), set, trash); err != nil {
				t.Errorf("move: %v", err)
			}
		})
	}
}
