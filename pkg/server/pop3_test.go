package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// popMail are the messages of the tests; dots and line ends of every kind stand in them.
var popMail = []string{
	"Subject: one\r\n\r\nhello\r\n",
	"Subject: dots\r\n\r\n.\r\n..\r\n...x\r\n.y\r\nend\r\n.\r\n",
	"Subject: no end\r\n\r\n.no line end",
	".first: dot\r\n\r\n",
	"Subject: bare\r\n\r\na\nb\rc\n.\r\n\r.\r\nd\r\r\n.e\r\n\x00\xff\r\n",
	"",
}

// popFaults strikes by function.
type popFaults func(Event) Strike

func (f popFaults) Strike(e Event) Strike { return f(e) }

// startPOP starts a server with alice's mail, and with the options that change sets.
func startPOP(t testing.TB, change func(*Options)) *Server {
	t.Helper()
	o := Options{
		POP3: "127.0.0.1:0", POP3S: "127.0.0.1:0", Store: NewMemory(), AllowCleartextLogin: true,
		Users: []User{{Name: "alice", Password: "sesame", Token: "tok"}, {Name: "bob", Password: "b ob"}},
	}
	if change != nil {
		change(&o)
	}
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	putMail(t, o.Store, "alice", popMail...)
	srv, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close(); _ = o.Store.Close() })
	return srv
}

func putMail(t testing.TB, store Store, user string, mail ...string) {
	t.Helper()
	account, err := store.Account(user)
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := account.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range mail {
		if _, err := inbox.Append(t.Context(), []NewMessage{{Body: strings.NewReader(text)}}); err != nil {
			t.Fatal(err)
		}
	}
}

// inbox is what the INBOX of user holds.
func popInbox(t testing.TB, srv *Server, user string) (texts []string) {
	t.Helper()
	account, err := srv.store.Account(user)
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := account.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range inbox.Messages() {
		body, err := inbox.Open(m.UID)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
		_ = body.Close()
		texts = append(texts, string(text))
	}
	return texts
}

// popPeer is a client of lines.
type popPeer struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func dialPOP(t testing.TB, srv *Server) *popPeer {
	t.Helper()
	nc, err := net.Dial("tcp", srv.Addr("pop3"))
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second))
	t.Cleanup(func() { _ = nc.Close() })
	return &popPeer{t, nc, bufio.NewReader(nc)}
}

func (p *popPeer) send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.nc, line+"\r\n"); err != nil {
		p.t.Fatalf("sending %q: %v", line, err)
	}
}

func (p *popPeer) line() string {
	p.t.Helper()
	line, err := p.r.ReadString('\n')
	if err != nil {
		return "EOF " + line
	}
	return strings.TrimSuffix(line, "\r\n")
}

// talk plays a dialogue: "C:" lines are sent, "S:" lines must come; a "*" at their end matches any rest.
func (p *popPeer) talk(script string) {
	p.t.Helper()
	for _, step := range strings.Split(strings.TrimSpace(script), "\n") {
		kind, text, _ := strings.Cut(strings.TrimLeft(step, "\t "), " ")
		switch kind {
		case "":
			continue
		case "C:":
			p.send(text)
			continue
		}
		got := p.line()
		if prefix, ok := strings.CutSuffix(text, "*"); got != text && !(ok && strings.HasPrefix(got, prefix)) {
			p.t.Fatalf("after %q:\n got %q\nwant %q", step, got, text)
		}
	}
}

// body reads a text to its dot, unstuffed.
func (p *popPeer) body() string {
	p.t.Helper()
	var b strings.Builder
	for whole := ""; ; {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("text cut: %v", err)
		}
		if whole += line; !strings.HasSuffix(whole, "\r\n") {
			continue
		}
		if whole == ".\r\n" {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(whole, "."))
		whole = ""
	}
}

const popLogin = "S: +OK *\nC: USER alice\nS: +OK*\nC: PASS sesame\nS: +OK*\n"

func TestPOP3Dialogues(t *testing.T) {
	off := func(names ...string) func(*Options) { return func(o *Options) { o.Without = names } }
	for _, c := range []struct {
		name   string
		change func(*Options)
		script string
	}{
		{"transaction", nil, popLogin + `
			C: STAT
			S: +OK 6 153
			C: LIST
			S: +OK 6 messages (153 octets)
			S: 1 23
			S: 2 42
			S: 3 31
			S: 4 15
			S: 5 42
			S: 6 0
			S: .
			C: list 3
			S: +OK 3 31
			C: UIDL 1
			S: +OK 1 *
			C: DELE 1
			S: +OK*
			C: LIST 1
			S: -ERR message 1 is deleted
			C: RETR 1
			S: -ERR*
			C: DELE 1
			S: -ERR*
			C: STAT
			S: +OK 5 130
			C: RSET
			S: +OK*
			C: STAT
			S: +OK 6 153
			C: NOOP
			S: +OK
			C: TOP 2 1
			S: +OK*
			S: Subject: dots
			S: 
			S: ..
			S: .
			C: QUIT
			S: +OK bye
			S: EOF *`},
		{"capabilities", nil, `S: +OK *
			C: CAPA
			S: +OK*
			S: TOP
			S: UIDL
			S: RESP-CODES
			S: AUTH-RESP-CODE
			S: PIPELINING
			S: EXPIRE NEVER
			S: UTF8 USER
			S: LANG
			S: SASL OAUTHBEARER XOAUTH2 SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN
			S: USER
			S: STLS
			S: IMPLEMENTATION mail
			S: .`},
		{"cleartext refused", func(o *Options) { o.AllowCleartextLogin = false }, `S: +OK *
			C: USER alice
			S: -ERR a password is taken only under TLS*
			C: PASS sesame
			S: -ERR *
			C: AUTH PLAIN AGFsaWNlAHNlc2FtZQ==
			S: -ERR no such mechanism here
			C: CAPA
			S: +OK*
			S: TOP
			S: UIDL
			S: RESP-CODES
			S: AUTH-RESP-CODE
			S: PIPELINING
			S: EXPIRE NEVER
			S: UTF8 USER
			S: LANG
			S: SASL SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5
			S: STLS
			S: IMPLEMENTATION mail
			S: .`},
		{"extensions off", off("UIDL", "TOP", "PIPELINING", "SASL", "USER", "UTF8", "LANG", "EXPIRE", "RESP-CODES", "AUTH-RESP-CODE", "IMPLEMENTATION", "STLS"), `S: +OK *
			C: CAPA
			S: +OK*
			S: .
			C: AUTH PLAIN
			S: -ERR unknown command
			C: USER alice
			S: -ERR unknown command
			C: STLS
			S: -ERR unknown command
			C: APOP alice 00
			S: -ERR wrong user name, password or token`},
		{"no apop", off("APOP"), `S: +OK POP3 server ready
			C: APOP alice 00
			S: -ERR unknown command`},
		{"nobody has a password", func(o *Options) { o.Users = []User{{Name: "alice", Token: "tok"}} }, `S: +OK POP3 server ready
			C: APOP alice 00
			S: -ERR unknown command`},
		{"no capa", off("CAPA"), "S: +OK *\nC: CAPA\nS: -ERR unknown command"},
		{"sasl", nil, `S: +OK *
			C: AUTH PLAIN
			S: + 
			C: AGFsaWNlAHNlc2FtZQ==
			S: +OK maildrop has 6 messages`},
		{"sasl, refused and again", nil, `S: +OK *
			C: AUTH PLAIN AGFsaWNlAHdyb25n
			S: -ERR [AUTH] wrong user name, password or token
			C: AUTH plain AGV2ZQB3cm9uZw==
			S: -ERR [AUTH] wrong user name, password or token
			C: AUTH PLAIN *
			S: -ERR not base64
			C: AUTH PLAIN =
			S: -ERR [AUTH] *
			C: AUTH LOGIN
			S: + VXNlcm5hbWU6
			C: *
			S: -ERR authentication cancelled
			C: AUTH LOGIN
			S: + VXNlcm5hbWU6
			C: !!
			S: -ERR not base64
			C: AUTH LOGIN
			S: + VXNlcm5hbWU6
			C: YWxpY2U=
			S: + UGFzc3dvcmQ6
			C: c2VzYW1l
			S: +OK*
			C: AUTH LOGIN
			S: -ERR not after login`},
		{"user and pass", nil, `S: +OK *
			C: PASS sesame
			S: -ERR USER comes first
			C: USER alice
			S: +OK*
			C: PASS wrong
			S: -ERR [AUTH] *
			C: PASS sesame
			S: -ERR USER comes first
			C: USER nobody
			S: +OK*
			C: PASS x
			S: -ERR [AUTH] *
			C: USER bob
			S: +OK*
			C: PASS b ob
			S: +OK maildrop has 0 messages
			C: LIST
			S: +OK 0 messages (0 octets)
			S: .
			C: UIDL
			S: +OK
			S: .
			C: RETR 1
			S: -ERR no such message, only 0 in the maildrop`},
		{"states and grammar", nil, `S: +OK *
			C: STAT
			S: -ERR log in first
			C: 
			S: -ERR unknown command
			C: QUIT now
			S: -ERR wrong arguments for QUIT
			C: USER
			S: -ERR wrong arguments for USER
			C: USER alice
			S: +OK*
			C: PASS sesame
			S: +OK*
			C: USER alice
			S: -ERR not after login
			C: UTF8
			S: -ERR not after login
			C: RETR
			S: -ERR wrong arguments for RETR
			C: RETR 1 2
			S: -ERR wrong arguments for RETR
			C: RETR  1
			S: -ERR wrong arguments for RETR
			C: RETR 1 
			S: -ERR wrong arguments for RETR
			C: RETR +1
			S: -ERR not a message number
			C: RETR -1
			S: -ERR not a message number
			C: RETR 0
			S: -ERR no such message*
			C: RETR 99999999999999999999
			S: -ERR not a message number
			C: RETR 2147483648
			S: -ERR not a message number
			C: TOP 1 x
			S: -ERR not a number of lines
			C: TOP 1
			S: -ERR wrong arguments for TOP
			C:  STAT
			S: -ERR unknown command
			C: XTND
			S: -ERR unknown command
			C: ` + "LIST\x01" + `
			S: -ERR unknown command
			C: ` + "LIST \x01" + `
			S: -ERR control*
			C: ` + "LIST \xff" + `
			S: -ERR control*
			C: ` + "LIST " + strings.Repeat("1", 300) + `
			S: -ERR line too long
			C: noop
			S: +OK`},
		{"language", nil, `S: +OK *
			C: LANG
			S: +OK languages
			S: en English
			S: .
			C: LANG *
			S: +OK en*
			C: LANG EN
			S: +OK en*
			C: LANG fr
			S: -ERR no such language
			C: UTF8
			S: +OK*
			C: STLS
			S: -ERR STLS comes before UTF8`},
		{"codes off", off("RESP-CODES"), "S: +OK *\nC: USER eve\nS: +OK*\nC: PASS x\nS: -ERR wrong user name, password or token"},
		{"too many logins", nil, "S: +OK *\n" + strings.Repeat("C: AUTH PLAIN AGV2ZQB3cm9uZw==\nS: -ERR [AUTH] *\n", maxFailures) + "S: EOF *"},
		{"bare LF", nil, "S: +OK *\nC: CAPA x\nS: -ERR*\nC: NOOP\rNOOP\nS: -ERR lines end with CR LF\nS: EOF *"},
		{"line of 255", nil, "S: +OK *\nC: USER " + strings.Repeat("x", 248) + "\nS: +OK *\nC: USER " + strings.Repeat("x", 249) + "\nS: -ERR line too long\nC: CAPA x\nS: -ERR wrong*"},
		{"too many errors", nil, "S: +OK *\n" + strings.Repeat("C: X\nS: -ERR *\n", popMaxErrors) + "S: -ERR too many errors\nS: EOF *"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dialPOP(t, startPOP(t, c.change)).talk(c.script)
		})
	}
}

func TestPOP3Bodies(t *testing.T) {
	p := dialPOP(t, startPOP(t, nil))
	p.talk(popLogin)
	for i, want := range popMail {
		p.send(fmt.Sprintf("RETR %d", i+1))
		if got := p.line(); got != fmt.Sprintf("+OK %d octets", len(want)) {
			t.Errorf("message %d: got %q", i+1, got)
		}
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if got := p.body(); got != want {
			t.Errorf("message %d: got %q, want %q", i+1, got, want)
		}
	}
	for lines, want := range map[int]string{0: "Subject: dots\r\n\r\n", 2: "Subject: dots\r\n\r\n.\r\n..\r\n", 99: popMail[1]} {
		p.send(fmt.Sprintf("TOP 2 %d", lines))
		p.line()
		if got := p.body(); got != want {
			t.Errorf("TOP 2 %d: got %q, want %q", lines, got, want)
		}
	}
}

// TestPOP3DotWriter compares the writer, fed in pieces of every size, with the rule applied to the whole.
func TestPOP3DotWriter(t *testing.T) {
	srv := startPOP(t, nil)
	alphabet, count := "\r\n.x", 0
	var text []byte
	var grow func(n int)
	check := func() {
		want := strings.ReplaceAll("\r\n"+string(text), "\r\n.", "\r\n..")[2:]
		if len(text) > 0 && !bytes.HasSuffix(text, []byte("\r\n")) {
			want += "\r\n"
		}
		want += ".\r\n"
		for _, step := range []int{1, 2, 3, 100} {
			a, b := net.Pipe()
			s := newSession(srv, &listener{proto: "pop3"}, a, 1)
			got := make(chan string, 1)
			go func() { all, _ := io.ReadAll(b); got <- string(all) }()
			out := &dotWriter{conn: s.conn, ended: 2}
			for p := text; len(p) > 0; p = p[min(step, len(p)):] {
				if _, err := out.Write(p[:min(step, len(p))]); err != nil {
					t.Fatal(err)
				}
			}
			if err := out.finish(); err != nil {
				t.Fatal(err)
			}
			_ = s.conn.Flush()
			_ = s.conn.Close()
			s.cancel()
			if g := <-got; g != want {
				t.Fatalf("%q in pieces of %d: got %q, want %q", text, step, g, want)
			}
			_ = b.Close()
		}
		count++
	}
	grow = func(n int) {
		check()
		if n == 0 {
			return
		}
		for i := range len(alphabet) {
			text = append(text, alphabet[i])
			grow(n - 1)
			text = text[:len(text)-1]
		}
	}
	grow(5)
	if count != 1365 {
		t.Errorf("%d texts, want 1365", count)
	}
}

func TestR1_POP3Update(t *testing.T) {
	for _, c := range []struct {
		name, script string
		left         int
	}{
		{"quit", "C: DELE 1\nS: +OK*\nC: DELE 3\nS: +OK*\nC: QUIT\nS: +OK bye\nS: EOF *", 4},
		{"reset, then quit", "C: DELE 1\nS: +OK*\nC: RSET\nS: +OK*\nC: DELE 2\nS: +OK*\nC: QUIT\nS: +OK bye", 5},
		{"no quit", "C: DELE 1\nS: +OK*", 6},
		{"quit cut", "C: DELE 1\nS: +OK*\nQUIT\r", 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := startPOP(t, nil)
			p := dialPOP(t, srv)
			script, half, _ := strings.Cut(c.script, "\nQUIT")
			p.talk(popLogin + script)
			if half != "" {
				_, _ = io.WriteString(p.nc, "QUIT\r")
			}
			_ = p.nc.Close()
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := popInbox(t, srv, "alice"); len(got) != c.left {
				t.Errorf("%d messages left, want %d", len(got), c.left)
			}
		})
	}
}

func TestPOP3Lock(t *testing.T) {
	srv := startPOP(t, nil)
	first := dialPOP(t, srv)
	first.talk(popLogin)
	second := dialPOP(t, srv)
	second.talk("S: +OK *\nC: USER alice\nS: +OK*\nC: PASS sesame\nS: -ERR [IN-USE] *\nC: USER bob\nS: +OK*\nC: PASS b ob\nS: +OK*\nC: QUIT\nS: +OK bye")
	first.talk("C: DELE 1\nS: +OK*\nC: QUIT\nS: +OK bye")
	third := dialPOP(t, srv) // at once: the lock is free before the reply to QUIT is sent
	third.talk(popLogin + "C: STAT\nS: +OK 5 130")
	_ = third.nc.Close()
	for range 200 { // a session that broke off frees it too
		p := dialPOP(t, srv)
		p.talk("S: +OK *\nC: USER alice\nS: +OK*\nC: PASS sesame")
		if strings.HasPrefix(p.line(), "+OK") {
			return
		}
		_ = p.nc.Close()
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the maildrop stays locked after its session broke off")
}

func TestPOP3APOP(t *testing.T) {
	p := dialPOP(t, startPOP(t, nil))
	greeting := p.line()
	_, stamp, ok := strings.Cut(greeting, "<")
	if !ok {
		t.Fatalf("greeting %q has no timestamp", greeting)
	}
	sum := md5.Sum([]byte("<" + stamp + "sesame"))
	p.talk("C: APOP alice 00112233445566778899aabbccddeeff\nS: -ERR [AUTH] *")
	p.talk("C: APOP eve " + hex.EncodeToString(sum[:]) + "\nS: -ERR [AUTH] *")
	p.talk("C: APOP alice " + hex.EncodeToString(sum[:]) + "\nS: +OK maildrop has 6 messages")
}

func TestPOP3Vanished(t *testing.T) {
	srv := startPOP(t, nil)
	p := dialPOP(t, srv)
	p.talk(popLogin)
	account, _ := srv.store.Account("alice")
	inbox, _ := account.Mailbox("INBOX")
	if _, err := inbox.Expunge([]uint32{inbox.Messages()[0].UID}); err != nil {
		t.Fatal(err)
	}
	putMail(t, srv.store, "alice", "Subject: new\r\n\r\n")
	p.talk("C: STAT\nS: +OK 6 153\nC: RETR 1\nS: -ERR [SYS/TEMP] the message is gone\nC: DELE 1\nS: +OK*\nC: DELE 2\nS: +OK*\nC: QUIT\nS: +OK bye")
	if got := popInbox(t, srv, "alice"); len(got) != 5 {
		t.Errorf("%d messages left, want 5", len(got))
	}
}

func TestT9_POP3STLS(t *testing.T) {
	srv := startPOP(t, func(o *Options) { o.AllowCleartextLogin = false })
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(srv.CA())
	p := dialPOP(t, srv)
	p.talk("S: +OK *\nC: STLS\nS: +OK*")
	conn := tls.Client(p.nc, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	p.nc, p.r = conn, bufio.NewReader(conn)
	p.talk("C: STLS\nS: -ERR TLS is on already\nC: USER alice\nS: +OK*\nC: PASS sesame\nS: +OK*\nC: STLS\nS: -ERR not after login\nC: QUIT\nS: +OK bye")

	inject := dialPOP(t, srv)
	inject.line()
	_, _ = io.WriteString(inject.nc, "STLS\r\nUSER alice\r\n")
	inject.talk("S: EOF*")
}

func TestPOP3Pipelining(t *testing.T) {
	srv := startPOP(t, func(o *Options) { o.Faults = popFaults(func(Event) Strike { return Strike{} }) })
	p := dialPOP(t, srv)
	var all strings.Builder
	all.WriteString("CAPA\r\nAUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00alice\x00sesame")) + "\r\n")
	for range 200 {
		all.WriteString("RETR 2\r\n")
	}
	all.WriteString("DELE 1\r\nQUIT\r\n")
	go func() { _, _ = io.WriteString(p.nc, all.String()) }()
	p.line()
	p.line()
	p.body()
	if got := p.line(); got != "+OK maildrop has 6 messages" {
		t.Fatalf("login: got %q", got)
	}
	for i := range 200 {
		p.line()
		if got := p.body(); got != popMail[1] {
			t.Fatalf("text %d: got %q", i, got)
		}
	}
	p.talk("S: +OK message 1 marked\nS: +OK bye\nS: EOF *")
}

func TestPOP3Faults(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	var faults []func(Event) Strike
	srv := startPOP(t, func(o *Options) {
		o.Faults = popFaults(func(e Event) Strike {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, strings.TrimSpace(e.Command+" "+e.Arg))
			for _, f := range faults {
				if s := f(e); s.Reply != "" || s.Drop || s.CutAt > 0 {
					return s
				}
			}
			return Strike{}
		})
	})
	on := func(command string, s Strike) {
		mu.Lock()
		defer mu.Unlock()
		faults, seen = []func(Event) Strike{func(e Event) Strike {
			if e.Command == command {
				return s
			}
			return Strike{}
		}}, nil
	}
	on("GREETING", Strike{Reply: "-ERR [SYS/TEMP] closed"})
	dialPOP(t, srv).talk("S: -ERR [SYS/TEMP] closed\nS: EOF *")
	on("STAT", Strike{Reply: "-ERR [SYS/TEMP] later\n+OK and an answer too many"})
	p := dialPOP(t, srv)
	p.talk(popLogin + "C: STAT\nS: -ERR [SYS/TEMP] later\nS: +OK and an answer too many\nC: QUIT\nS: +OK bye")
	mu.Lock()
	for _, line := range seen {
		if strings.Contains(line, "sesame") {
			t.Errorf("event shows the password: %q", line)
		}
	}
	if want := []string{"USER alice", "PASS", "STAT", "QUIT"}; !slices.Equal(seen[2:], want) {
		t.Errorf("events %q, want them to end with %q", seen, want)
	}
	mu.Unlock()
	on("RETR", Strike{CutAt: 20})
	p = dialPOP(t, srv)
	p.talk(popLogin + "C: RETR 2\nS: +OK 42 octets")
	if rest, _ := io.ReadAll(p.r); len(rest) > 24 {
		t.Errorf("cut at 20: %q came", rest)
	}
	on("QUIT", Strike{Drop: true})
	p = dialPOP(t, srv)
	p.talk("S: +OK *")
	for range 200 { // until the session before has ended
		p.talk("C: USER alice\nS: +OK*\nC: PASS sesame")
		if strings.HasPrefix(p.line(), "+OK") {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.talk("C: DELE 1\nS: +OK*\nC: QUIT\nS: EOF *")
	if got := popInbox(t, srv, "alice"); len(got) != 6 {
		t.Errorf("%d messages left after a lost QUIT, want 6", len(got))
	}
}

func TestS2_POP3LongLine(t *testing.T) {
	srv := startPOP(t, nil)
	p := dialPOP(t, srv)
	p.talk("S: +OK *")
	go func() { _, _ = io.Copy(p.nc, strings.NewReader(strings.Repeat("x", 1<<20))) }()
	if rest, _ := io.ReadAll(p.r); len(rest) > 0 {
		t.Errorf("got %q, want the end of the session", rest)
	}
	dialPOP(t, srv).talk(popLogin)
}

// FuzzPOP3Command lets a client send anything before and after login: no panic, an answer for each line, the session
// goes on, and nothing is deleted without QUIT.
func FuzzPOP3Command(f *testing.F) {
	for _, line := range []string{"LIST 1", "TOP 1 1", "UIDL", "RETR 2", "AUTH PLAIN =", "AUTH LOGIN", "USER x", "PASS x", "APOP a b", "LANG *", "DELE 1", "\x00", "CAPA"} {
		f.Add(line, "*", true)
		f.Add(line, "", false)
	}
	store := NewMemory()
	defer store.Close()
	putMail(f, store, "alice", popMail...)
	srv, err := newServer(context.Background(), Options{Store: store, AllowCleartextLogin: true, Users: []User{{Name: "alice", Password: "sesame"}}})
	if err != nil {
		f.Fatal(err)
	}
	serve := popServer()
	f.Fuzz(func(t *testing.T, first, second string, login bool) {
		if strings.Contains(strings.ToUpper(first+second), "QUIT") || strings.Contains(strings.ToUpper(first+second), "STLS") || len(first)+len(second) > 8000 {
			return
		}
		if strings.ContainsAny(first+second, "\r\n") {
			return // other lines, or the end of the session
		}
		if strings.HasPrefix(first, "\x15") || strings.HasPrefix(first, "\x16") {
			return // looks like TLS, and package wire says so
		}
		a, b := net.Pipe()
		s := newSession(srv, &listener{proto: "pop3"}, a, 1)
		done := make(chan error, 1)
		go func() { err := serve(srv, s); _ = s.conn.Flush(); _ = s.conn.Close(); s.cancel(); done <- err }()
		all := first + "\r\n" + second + "\r\n*\r\nRSET\r\nQUIT\r\n"
		if login {
			all = "USER alice\r\nPASS sesame\r\n" + all
		}
		go func() { _, _ = io.WriteString(b, all) }()
		_ = b.SetDeadline(time.Now().Add(60 * time.Second))
		out, err := io.ReadAll(b)
		_ = b.Close()
		if e := <-done; err != nil || e != nil || !bytes.HasSuffix(out, []byte("+OK bye\r\n")) {
			t.Errorf("%q: %v, %v, got %q", all, err, e, out)
		}
		if got := popInbox(t, srv, "alice"); len(got) != len(popMail) {
			t.Errorf("%q: %d messages left", all, len(got))
		}
	})
}

func BenchmarkPOP3Retr(b *testing.B) {
	srv := startPOP(b, func(o *Options) { o.Store = NewMemory() })
	const size = 64 << 20
	putMail(b, srv.store, "bob", "Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78))
	p := dialPOP(b, srv)
	p.talk("S: +OK *\nC: USER bob\nS: +OK*\nC: PASS b ob\nS: +OK*")
	_ = p.nc.SetDeadline(time.Time{})
	b.SetBytes(size)
	buf := make([]byte, 256<<10)
	for b.Loop() {
		p.send("RETR 1")
		for n := 0; n < size; {
			m, err := p.nc.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			if n += m; bytes.HasSuffix(buf[:m], []byte("\r\n.\r\n")) {
				break
			}
		}
	}
}
