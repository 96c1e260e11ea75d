package wiretest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeTB collects what a peer reports, so that deviations can be tested.
type fakeTB struct {
	testing.TB
	mu       sync.Mutex
	errors   []string
	cleanups []func()
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic(f)
}

func (f *fakeTB) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }

// end runs the cleanups and returns the reports.
func (f *fakeTB) end() string {
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
	return strings.Join(f.errors, "\n")
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	return c
}

// converse plays the client: "<" reads that many bytes, ">" sends, "!" closes.
func converse(t *testing.T, c net.Conn, steps []string) {
	t.Helper()
	for _, s := range steps {
		switch s[0] {
		case '>':
			if _, err := io.WriteString(c, s[1:]); err != nil {
				t.Logf("client: write %q: %v", s[1:], err)
			}
		case '<':
			buf := make([]byte, len(s)-1)
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Logf("client: read: %v", err)
			} else if string(buf) != s[1:] {
				t.Errorf("client got %q, want %q", buf, s[1:])
			}
		}
	}
	_ = c.Close()
}

var conversations = []struct {
	name   string
	script string
	client []string
	opts   []Option
	want   string // part of the report; "" means none
}{
	{"smtp", "S: 220 ready\n C: EHLO *\n S: 250 ok\nC: QUIT", []string{"<220 ready\r\n", ">EHLO me\r\n", "<250 ok\r\n", ">QUIT\r\n"}, nil, ""},
	{"comment and blank", "# a comment\n\n\tS: hi\n", []string{"<hi\r\n"}, nil, ""},
	{"wrong line", "C: NOOP", []string{">QUIT\r\n"}, nil, `script line 1: C: NOOP: the client sent "QUIT"`},
	{"nothing sent", "C: NOOP", nil, nil, "the client closed the connection instead"},
	{"half a line", "C: NOOP", []string{">NO"}, nil, `closed after the half line "NO"`},
	{"bare line feed", "C: NOOP", []string{">NOOP\n"}, nil, `ended "NOOP\n" with a bare line feed`},
	{"more than the script", "C: NOOP", []string{">NOOP\r\nQUIT\r\n"}, nil, `sent more: "QUIT\r\n"`},
	{"optional line sent", "C? QUIT", []string{">QUIT\r\n"}, nil, ""},
	{"optional line not sent", "C? QUIT", nil, nil, ""},
	{"optional line wrong", "C? QUIT", []string{">RSET\r\n"}, nil, `the client sent "RSET"`},
	{"after an optional line", "C? QUIT\nS: 221 bye", []string{">QUIT\r\n", "<221 bye\r\n"}, nil, ""},
	{"raw", `S> "\x00\xff\r"` + "\n" + `C> "a\nb"`, []string{"<\x00\xff\r", ">a\nb"}, nil, ""},
	{"raw wrong", `C> "ab"`, []string{">ac"}, nil, `the client sent "ac"`},
	{"raw short", `C> "ab"`, []string{">a"}, nil, `unexpected EOF after "a"`},
	{"tag", "C: $tag NOOP\nS: $tag OK done", []string{">x9 NOOP\r\n", "<x9 OK done\r\n"}, nil, ""},
	{"two tags", "C: $A1 NOOP\nC: $A2 CHECK\nS: $A2 OK\nS: $A1 OK", []string{">q NOOP\r\n>w CHECK\r\n"[:7], ">", ">w CHECK\r\n"}, nil, `the client sent "q NOO`},
	{"pipelined tags", "C: $A1 NOOP\nC: $A2 CHECK\nS: $A2 OK\nS: $A1 OK", []string{">q NOOP\r\nw CHECK\r\n", "<w OK\r\nq OK\r\n"}, nil, ""},
	{"same value again", "C: $tag IDLE\nC: ${tag} DONE", []string{">a IDLE\r\na DONE\r\n"}, nil, ""},
	{"other value", "C: $tag IDLE\nC: ${tag} DONE", []string{">a IDLE\r\nb DONE\r\n"}, nil, `the client sent "b DONE"`},
	{"a word has no space", "C: $tag NOOP", []string{">a b NOOP\r\n"}, nil, `the client sent "a b NOOP"`},
	{"stars and dollars", `C: \* \$x *y` + "\nS: * OK \\$Junk 5$ \\*", []string{">* $x  y\r\n", "<* OK $Junk 5$ \\*\r\n"}, nil, ""},
	{"bytes over 127", "C: \xff*\xfe", []string{">\xff\x80\xfe\r\n"}, nil, ""},
	{"meta characters", "C: a.c (b|[x]) +?", []string{">a.c (b|[x]) +?\r\n"}, nil, ""},
	{"a dot is a dot", "C: a.c", []string{">abc\r\n"}, nil, `the client sent "abc"`},
	{"repeat and base64", `S: ${rep:3:ab}${b64:\x00u\x00p}`, []string{"<abababAHUAcA==\r\n"}, nil, ""},
	{"literal", "C: $t APPEND INBOX {$n}\nS: + go\nC{$n}\nC: \nS: $t OK", []string{">a APPEND INBOX {5}\r\n", "<+ go\r\n", ">hello\r\n", "<a OK\r\n"}, nil, ""},
	{"literal plus", "C: $t APPEND INBOX {$n}\nC{$n} \"hello\"\nC: ", []string{">a APPEND INBOX {5+}\r\nhello\r\n"}, nil, ""},
	{"octets wrong", `C{2} "ab"`, []string{">ax"}, nil, `the client sent "ax"`},
	{"octets not a number", "C: X $n\nC{$n}", []string{">X five\r\n"}, nil, `variable $n is no count: "five"`},
	{"body", "C.\nS: 250 ok", []string{">a\r\n..b\r\n.\r\n", "<250 ok\r\n"}, nil, ""},
	{"empty body", "C.", []string{">.\r\n"}, nil, ""},
	{"body with bare LF", "C.", []string{">a\n.\r\n.\r\n\r\n.\r\n"}, nil, "bare line end"},
	{"body with bare CR", "C.", []string{">a\rb\r\n.\r\n"}, nil, "bare line end"},
	{"body cut", "C.", []string{">a\r\n.\r"}, nil, "in the body after"},
	{"quiet", "QUIET 20ms\nS: go\nC: NOOP", []string{"<go\r\n", ">NOOP\r\n"}, nil, ""},
	{"not quiet", "QUIET 2s", []string{">NOOP\r\n"}, nil, `the client sent "NOOP\r\n"`},
	{"split", "SPLIT 1\nS: abc\nSPLIT 0\nS: d", []string{"<abc\r\nd\r\n"}, nil, ""},
	{"hang", "HANG", []string{">anything\r\n"}, nil, ""},
	{"flood", `FLOOD "x"`, []string{"<xxxxxxxx"}, nil, ""},
	{"variable", "SEND blob", []string{"<\x00\r"}, []Option{Var("blob", "\x00\r")}, ""},
	{"variable missing", "S: $nope", nil, nil, "variable $nope holds nothing yet"},
}

// TestConversations plays each script against a client over TCP and over memory.
func TestConversations(t *testing.T) {
	for _, tc := range conversations {
		check := func(t *testing.T, f *fakeTB) {
			t.Helper()
			report := f.end()
			if tc.want == "" && report != "" {
				t.Errorf("got report %q, want none", report)
			}
			if !strings.Contains(report, tc.want) {
				t.Errorf("got report %q, want %q in it", report, tc.want)
			}
		}
		t.Run(tc.name+"/tcp", func(t *testing.T) {
			t.Parallel()
			f := &fakeTB{TB: t}
			converse(t, dial(t, Serve(f, tc.script, tc.opts...)), tc.client)
			check(t, f)
		})
		t.Run(tc.name+"/pipe", func(t *testing.T) {
			t.Parallel()
			f := &fakeTB{TB: t}
			c := Pipe(f, tc.script, tc.opts...)
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			converse(t, c, tc.client)
			check(t, f)
		})
	}
}

func TestScriptErrors(t *testing.T) {
	cases := []struct{ name, script, want string }{
		{"unknown step", "HELLO", "unknown step"},
		{"bad literal", "S> abc", "Go string literal"},
		{"no certificate", "TLS nope", `no certificate named "nope"`},
		{"bad duration", "SLEEP 5", "missing unit"},
		{"brace", "S: ${x", "${ without }"},
		{"bad option", "OPT colour red", "unknown option"},
		{"argument", "CLOSE now", "takes no argument"},
		{"repeat too large", "S: ${rep:999999999999:xx}", "expected"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			f := &fakeTB{TB: t}
			func() {
				defer func() { _ = recover() }()
				Serve(f, tc.script)
			}()
			if got := f.end(); !strings.Contains(got, tc.want) || !strings.Contains(got, "script line 1") {
				t.Errorf("got %q, want script line 1 and %q", got, tc.want)
			}
		})
	}
}

func TestConnections(t *testing.T) {
	f := &fakeTB{TB: t}
	addr := Serve(f, "S: one\nCONN\nS: two")
	converse(t, dial(t, addr), []string{"<one\r\n"})
	converse(t, dial(t, addr), []string{"<two\r\n"})
	if got := f.end(); got != "" {
		t.Errorf("got report %q, want none", got)
	}
}

func TestConnectionMissing(t *testing.T) {
	f := &fakeTB{TB: t}
	converse(t, dial(t, Serve(f, "S: one\nCONN\nS: two")), []string{"<one\r\n"})
	if got, want := f.end(), "1 connections came, the script has 2"; !strings.Contains(got, want) {
		t.Errorf("got report %q, want %q", got, want)
	}
}

func TestConnectionTooMany(t *testing.T) {
	f := &fakeTB{TB: t}
	addr := Serve(f, "S: one")
	converse(t, dial(t, addr), []string{"<one\r\n"})
	c := dial(t, addr)
	_, err := c.Read(make([]byte, 1))
	_ = c.Close()
	if got, want := f.end(), "connection 2: the script has 1 only"; err == nil || !strings.Contains(got, want) {
		t.Errorf("got report %q and %v, want %q and an error", got, err, want)
	}
}

func TestRepeat(t *testing.T) {
	f := &fakeTB{TB: t}
	addr := Serve(f, "OPT repeat\nS: one")
	for range 3 {
		converse(t, dial(t, addr), []string{"<one\r\n"})
	}
	if got := f.end(); got != "" {
		t.Errorf("got report %q, want none", got)
	}
}

func TestTimeout(t *testing.T) {
	f := &fakeTB{TB: t}
	c := dial(t, Serve(f, "C: NOOP", Timeout(20*time.Millisecond)))
	_, err := c.Read(make([]byte, 1)) // until the peer gives up
	_ = c.Close()
	if got := f.end(); err != io.EOF || !strings.Contains(got, "i/o timeout") {
		t.Errorf("got report %q and %v, want a time-out and EOF", got, err)
	}
}

func TestClosings(t *testing.T) {
	cases := []struct{ step, want string }{
		{"CLOSE", "EOF"}, {"CUT", "EOF"}, {"HALFCLOSE", "EOF"}, {"RESET", "connection reset by peer"},
	}
	for _, tc := range cases {
		t.Run(tc.step, func(t *testing.T) {
			c := dial(t, Serve(t, "C: go\nS: hi\n"+tc.step))
			defer func() { _ = c.Close() }()
			if _, err := io.WriteString(c, "go\r\n"); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if tc.want == "EOF" && (err != nil || string(got) != "hi\r\n") {
				t.Errorf("got %q, %v, want the line and EOF", got, err)
			}
			if tc.want != "EOF" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// TestTLSClose tells CLOSE, which sends the TLS close message, from CUT: in TLS 1.2 the
// type of a record, 21 for an alert, can be seen.
func TestTLSClose(t *testing.T) {
	for step, want := range map[string]byte{"CLOSE": 21, "CUT": 23} {
		t.Run(step, func(t *testing.T) {
			ca := CA(t)
			raw := dial(t, Serve(t, "S: hi\n"+step, ImplicitTLS(ca.Good), TLSVersions(0, tls.VersionTLS12)))
			var seen bytes.Buffer
			c := tls.Client(recorder{raw, &seen}, &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"})
			got, err := io.ReadAll(c)
			_ = c.Close()
			if string(got) != "hi\r\n" || err != nil {
				t.Errorf("got %q, %v, want the line", got, err)
			}
			var last byte
			for p := seen.Bytes(); len(p) > 5; p = p[5+int(p[3])<<8+int(p[4]):] {
				last = p[0]
			}
			if last != want {
				t.Errorf("last record has type %d, want %d", last, want)
			}
		})
	}
}

// recorder keeps what is read.
type recorder struct {
	net.Conn
	seen *bytes.Buffer
}

func (r recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.seen.Write(p[:n])
	return n, err
}

func TestStartTLS(t *testing.T) {
	ca := CA(t)
	var seen Captured
	c := dial(t, Serve(t, "C: STARTTLS\nS: go\nTLS\nC: hello\nQUIET 20ms\nS: world\nC: bye", Capture(&seen)))
	converse(t, nopCloser{c}, []string{">STARTTLS\r\n", "<go\r\n"})
	tc := tls.Client(c, &tls.Config{RootCAs: ca.Pool, ServerName: "127.0.0.1"})
	converse(t, tc, []string{">hello\r\n", "<world\r\n", ">bye\r\n"})
	for end := time.Now().Add(5 * time.Second); !bytes.HasSuffix(seen.Received(0), []byte("bye\r\n")) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if got, want := string(seen.Received(0)), "STARTTLS\r\nhello\r\nbye\r\n"; got != want {
		t.Errorf("captured %q, want %q", got, want)
	}
	if got := seen.TLS(); len(got) != 1 || got[0].Version != tls.VersionTLS13 {
		t.Errorf("got %d TLS states, want one of version 1.3", len(got))
	}
}

type nopCloser struct{ net.Conn }

func (nopCloser) Close() error { return nil }

// TestCertificates shows that each certificate is refused, or not, for its own reason.
func TestCertificates(t *testing.T) {
	cases := []struct{ cert, host, want string }{
		{"good", "localhost", ""}, {"good", "127.0.0.1", ""}, {"good", "a.localhost.example", ""},
		{"wildcard", "mail.example.org", ""}, {"wildcard", "a.b.example.org", "valid for"}, {"wildcard", "localhost", "valid for"},
		{"ip-only", "127.0.0.1", ""}, {"ip-only", "localhost", "not valid for any names"},
		{"expired", "localhost", "expired"}, {"not-yet-valid", "localhost", "not yet valid"},
		{"wrong-name", "localhost", "valid for"}, {"common-name", "localhost", "Common Name"},
		{"self-signed", "localhost", "unknown authority"},
	}
	for _, tc := range cases {
		t.Run(tc.cert+"/"+tc.host, func(t *testing.T) {
			t.Parallel()
			verb := "TLS"
			if tc.want != "" {
				verb = "TLSFAIL"
			}
			c := tls.Client(dial(t, Serve(t, verb+" "+tc.cert)), &tls.Config{RootCAs: CA(t).Pool, ServerName: tc.host})
			err := c.Handshake()
			_ = c.Close()
			if tc.want == "" && err != nil {
				t.Errorf("got %v, want no error", err)
			}
			if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestTLSNotRefused(t *testing.T) {
	f := &fakeTB{TB: t}
	c := tls.Client(dial(t, Serve(f, "TLSFAIL")), &tls.Config{RootCAs: CA(t).Pool, ServerName: "localhost"})
	_ = c.Handshake()
	_ = c.Close()
	if got, want := f.end(), "the client accepted the handshake"; !strings.Contains(got, want) {
		t.Errorf("got report %q, want %q", got, want)
	}
}

func TestTLSVersions(t *testing.T) {
	ca := CA(t)
	cases := []struct {
		name string
		opt  Option
		fail bool
	}{
		{"1.0 to 1.1", TLSVersions(tls.VersionTLS10, tls.VersionTLS11), true},
		{"1.2", TLSVersions(tls.VersionTLS12, tls.VersionTLS12), false},
		{"1.3", TLSVersions(tls.VersionTLS13, 0), false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			verb := map[bool]string{true: "TLSFAIL", false: "TLS"}[tc.fail]
			c := tls.Client(dial(t, Serve(t, verb, tc.opt)), &tls.Config{RootCAs: ca.Pool, ServerName: "localhost", MinVersion: tls.VersionTLS12})
			err := c.Handshake()
			_ = c.Close()
			if (err != nil) != tc.fail {
				t.Errorf("got %v, want an error: %v", err, tc.fail)
			}
		})
	}
	t.Run("an old client is served", func(t *testing.T) {
		c := tls.Client(dial(t, Serve(t, "OPT tls-min 1.0\nOPT tls-max 1.1\nTLS")), &tls.Config{RootCAs: ca.Pool, ServerName: "localhost", MinVersion: tls.VersionTLS10})
		err := c.Handshake()
		got := c.ConnectionState().Version
		_ = c.Close()
		if err != nil || got != tls.VersionTLS11 {
			t.Errorf("got version %#x, %v, want TLS 1.1", got, err)
		}
	})
}

func TestClientCerts(t *testing.T) {
	ca := CA(t)
	var seen Captured
	c := tls.Client(dial(t, Serve(t, "TLS\nS: hi", ClientCerts(ca.Pool), Capture(&seen))),
		&tls.Config{RootCAs: ca.Pool, ServerName: "localhost", Certificates: []tls.Certificate{ca.Client}})
	line, err := bufio.NewReader(c).ReadString('\n')
	_ = c.Close()
	if err != nil || line != "hi\r\n" {
		t.Fatalf("got %q, %v, want the line", line, err)
	}
	if got := seen.TLS()[0].PeerCertificates[0].Subject.CommonName; got != "alice" {
		t.Errorf("got client %q, want alice", got)
	}
}

func TestCAFile(t *testing.T) {
	ca := CA(t)
	data, err := os.ReadFile(ca.File)
	if err != nil || !bytes.Contains(data, []byte("BEGIN CERTIFICATE")) {
		t.Errorf("got %q, %v, want a PEM certificate", data, err)
	}
}

func TestCaptureBodies(t *testing.T) {
	var seen Captured
	c := Pipe(t, "C.\nC: BDAT $n LAST\nC{$n}\nS: ok", Capture(&seen))
	converse(t, c, []string{">..a\r\nb\r\n.\r\nBDAT 3 LAST\r\nx\ny", "<ok\r\n"})
	got := seen.Bodies()
	if len(got) != 2 || string(got[0]) != ".a\r\nb\r\n" || string(got[1]) != "x\ny" {
		t.Errorf("got bodies %q, want the message and the chunk", got)
	}
}

// TestPipeNeverBlocksWriter sends far more than a pipe holds before it reads.
func TestPipeNeverBlocksWriter(t *testing.T) {
	c := Pipe(t, "S: ${rep:100000:x}\nC{1000000}\nS: done")
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(make([]byte, 1000000)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.LimitReader(c, 100000+2+6))
	_ = c.Close()
	if err != nil || !bytes.HasSuffix(got, []byte("xx\r\ndone\r\n")) {
		t.Errorf("got %d octets, %v, want the line and done", len(got), err)
	}
}
