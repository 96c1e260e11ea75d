package smtp

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// canned is a peer that said everything before we came.
type canned struct {
	*server
	r io.Reader
}

func (c *canned) Read(p []byte) (int, error)  { return c.r.Read(p) }
func (c *canned) Write(p []byte) (int, error) { return len(p), nil }
func (c *canned) Close() error                { return nil }

var replyLine = regexp.MustCompile(`^([2-5][0-9][0-9])(?:([ -])(?s:(.*)))?$`)

// plainReply reads a reply in the plainest way: whole lines first, each held against a pattern. Caps do not count.
func plainReply(in []byte) (code int, texts []string, ok bool) {
	for {
		line, rest, whole := bytes.Cut(in, []byte("\n"))
		m := replyLine.FindSubmatch(bytes.TrimSuffix(line, []byte("\r")))
		if !whole || m == nil {
			return 0, nil, false
		}
		before := code
		code, _ = strconv.Atoi(string(m[1]))
		if texts != nil && before/100 != code/100 {
			return 0, nil, false
		}
		texts = append(texts, string(m[3]))
		if string(m[2]) != "-" {
			return code, texts, true
		}
		in = rest
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"220 hi\r\n", "250-a\r\n250 b\r\n", "550-5.1.1 no\r\n550 5.1.1 user\r\n", "250\r\n", "250-\n250 \n", "421 4.3.2 \x1b\xff\r\n", "25x\r\n", "250-a\r\n550 b\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := wire.NewConn(&canned{server: newServer(), r: bytes.NewReader(in)}, nil)
		r, err := readReply(conn)
		code, texts, ok := plainReply(in)
		if small := len(in) < maxReplyLine && len(texts) <= maxReplyLines; small && ok != (err == nil) {
			t.Fatalf("%q: error %v, and it is a reply: %v", in, err, ok)
		}
		if err != nil {
			if conn.Err() == nil {
				t.Fatalf("%q: error %v and the connection lives", in, err)
			}
			return
		}
		if r.Code != code || len(r.lines) != len(texts) || string(bytes.Join(r.lines, []byte("\n"))) != strings.Join(texts, "\n") {
			t.Fatalf("%q: got %d %q, want %d %q", in, r.Code, r.lines, code, texts)
		}
		if r.Code < 200 || r.Code > 599 || len(r.lines) < 1 || len(r.lines) > maxReplyLines {
			t.Fatalf("%q: code %d, %d lines", in, r.Code, len(r.lines))
		}
		if len(r.Text) > maxText || !utf8.ValidString(r.Text) || strings.ContainsFunc(r.Text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q: text %q", in, r.Text)
		}
		if r.Enhanced != "" && int(r.Enhanced[0]-'0') != r.class() {
			t.Fatalf("%q: enhanced code %s with %d", in, r.Enhanced, r.Code)
		}
	})
}

// FuzzSession feeds a whole conversation to the client: it must end, and believe nothing without a final reply.
func FuzzSession(f *testing.F) {
	f.Add([]byte("220 hi\r\n250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n250 ok\r\n"))
	f.Add([]byte("220 hi\r\n250-mx\r\n250 PIPELINING\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n250 ok\r\n"))
	f.Add([]byte("220 hi\r\n502 no\r\n250 mx\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		nc := &canned{server: newServer(), r: bytes.NewReader(in)}
		c, err := New(t.Context(), wire.NewConn(nc, nil), wire.Endpoint{Protocol: wire.SMTP, Security: wire.Cleartext}, nil)
		if err != nil {
			return
		}
		r, err := c.Send(t.Context(), envelope("a@example.org", "b@example.org"), strings.NewReader(testBody))
		if got := len(r.Accepted()); (err == nil) != (got == 2) || got > 0 && bytes.Count(in, []byte("\n")) < 5 {
			t.Fatalf("%q: %d accepted, %v", in, got, err)
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"a@example.org", `"a b"@example.org`, "a@[192.0.2.1]", "jürgen@example.org", `"a\"`, `"\`, "@", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		if checkAddress(addr) != nil {
			return
		}
		if strings.ContainsFunc(addr, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) || !utf8.ValidString(addr) {
			t.Fatalf("%q is let through", addr)
		}
		// Outside quotes nothing may end the path.
		quoted := false
		for i := 0; i < len(addr); i++ {
			switch {
			case quoted && addr[i] == '\\':
				i++
			case addr[i] == '"':
				quoted = !quoted
			case !quoted && strings.IndexByte("<> ", addr[i]) >= 0:
				t.Fatalf("%q has %q outside quotes", addr, addr[i])
			}
		}
		if quoted {
			t.Fatalf("%q: the quotes do not end", addr)
		}
	})
}
