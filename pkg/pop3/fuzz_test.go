package pop3

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// replayConn is a server that says all it has to say at once and listens to nothing.
type replayConn struct{ r *bytes.Reader }

func (c *replayConn) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c *replayConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *replayConn) Close() error                     { return nil }
func (c *replayConn) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (c *replayConn) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (c *replayConn) SetDeadline(time.Time) error      { return nil }
func (c *replayConn) SetReadDeadline(time.Time) error  { return nil }
func (c *replayConn) SetWriteDeadline(time.Time) error { return nil }

// opened is a client in the TRANSACTION state over a connection that says raw.
func opened(raw []byte) *Client {
	c := &Client{conn: wire.NewConn(&replayConn{bytes.NewReader(raw)}, nil), state: transaction}
	c.opts = (&Options{MaxMessage: 1 << 20}).orDefaults()
	return c
}

// unstuff is the plain reading of RFC 1939 §3: split at CRLF, stop at the dot line, take one dot off.
func unstuff(raw string) (text string, whole bool) {
	var b strings.Builder
	for {
		line, rest, found := strings.Cut(raw, "\r\n")
		if !found {
			return b.String(), false
		}
		if line == "." {
			return b.String(), true
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		raw = rest
	}
}

func FuzzDotText(f *testing.F) {
	for _, s := range []string{".\r\n", "a\r\n.\r\n", "..\r\n.\r\n", ".\n.\r\n", "\r.\r\n.\r\n", "a\n.\n", "\r\n\r\n.\r\n", "x", "...\r\n..a\r\n.\r\n+OK"} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, raw []byte, size uint8) {
		want, whole := unstuff(string(raw))
		for _, way := range []string{"read", "copy"} {
			var b bytes.Buffer
			err := opened(append([]byte("+OK\r\n"), raw...)).Retr(context.Background(), []int{1}, func(_ int, _ int64, r io.Reader) error {
				var err error
				if way == "copy" {
					_, err = io.Copy(&b, r)
				} else {
					_, err = io.CopyBuffer(struct{ io.Writer }{&b}, struct{ io.Reader }{r}, make([]byte, int(size)+1))
				}
				return err
			})
			if whole != (err == nil) {
				t.Fatalf("%s: got error %v, want a whole message: %v", way, err, whole)
			}
			if whole && b.String() != want {
				t.Fatalf("%s: got %q, want %q", way, b.String(), want)
			}
		}
	})
}

func FuzzReplies(f *testing.F) {
	for _, s := range []string{
		"+OK 2 320\r\n", "-ERR [IN-USE] no\r\n", "+OK\r\n1 120\r\n2 200\r\n.\r\n", "+OK\r\n1 abc\r\n2 abc\r\n.\r\n", "+OK 1 2\r\n",
		"+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n", "+OK\r\n1 1\r\n-ERR gone\r\n", "+ YQ==\r\n", "+OK\n1 1\n.\n", "-ERR [[]\r\n", "+OK \x00\xff\r\n",
	} {
		f.Add([]byte(s))
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if st, err := opened(raw).Stat(ctx); err == nil && (st.Count < 0 || st.Size < 0) {
			t.Errorf("got a negative %+v", st)
		}
		entries, err := opened(raw).List(ctx)
		seen := map[int]bool{}
		for _, e := range entries {
			if e.Number < 1 || e.Size < 0 || seen[e.Number] || err != nil {
				t.Errorf("got entry %+v with error %v", e, err)
			}
			seen[e.Number] = true
		}
		uids, err := opened(raw).Uidl(ctx)
		ids := map[string]bool{}
		for _, u := range uids {
			if u.Number < 1 || err != nil || u.Flaw == NoFlaw && (!validID([]byte(u.ID)) || ids[u.ID]) {
				t.Errorf("got %+v with error %v", u, err)
			}
			ids[u.ID] = true
		}
		if caps, err := opened(raw).Caps(ctx); err == nil {
			_, _ = caps.Params("SASL")
		}
		_, _ = opened(raw).List(ctx, 1, 2)
		_, _ = opened(raw).Uidl(ctx, 1, 2)
		c := opened(raw)
		_ = c.Dele(ctx, []int{1, 2})
		marked := len(c.Marked())
		if err := c.Quit(ctx); err == nil && marked > 0 && !bytes.Contains(raw, []byte("+OK")) {
			t.Error("got a commit that nobody confirmed")
		}
		c = opened(raw)
		c.state = authorization
		_ = c.Auth(ctx, alice())
	})
}
