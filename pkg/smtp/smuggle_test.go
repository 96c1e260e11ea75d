package smtp

import (
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// standsAlone is the plain definition of what must never go out: a CR without LF after it, or an LF without CR before.
func standsAlone(s string) bool {
	for i := range len(s) {
		switch {
		case s[i] == '\r' && (i+1 == len(s) || s[i+1] != '\n'):
			return true
		case s[i] == '\n' && (i == 0 || s[i-1] != '\r'):
			return true
		}
	}
	return false
}

// words calls f with every string over {CR, LF, dot, x} of length n.
func words(n int, f func(string)) {
	buf := make([]byte, n)
	for i := range 1 << (2 * n) {
		for j := range n {
			buf[j] = "\r\n.x"[i>>(2*j)&3]
		}
		f(string(buf))
	}
}

// TestD4_AllShortTexts sends every string over {CR, LF, dot, x} to a strict reader, by DATA and by BDAT, over SMTP and
// LMTP: it must see exactly one end, at the end, and the same text; a text with a CR or LF that stands alone must not
// be committed. Of the latter only those of six octets are sent here, as each costs a connection: TestD4_LineEnds tries
// the others on what BDAT checks with, and a test of pkg/wire on what DATA is written with.
func TestD4_AllShortTexts(t *testing.T) {
	longest := 10
	if testing.Short() {
		longest = 7
	}
	for _, way := range []struct {
		p        wire.Protocol
		keywords []string
	}{
		{wire.SMTP, []string{"PIPELINING"}}, {wire.SMTP, []string{"PIPELINING", "CHUNKING"}},
		{wire.LMTP, []string{"PIPELINING"}}, {wire.LMTP, []string{"PIPELINING", "CHUNKING"}},
	} {
		keywords := way.keywords
		t.Run(string(way.p)+" "+strings.Join(keywords, "+"), func(t *testing.T) {
			var nc *turns
			var c *Client
			tried, sent := 0, 0
			for n := range longest + 1 {
				words(n, func(text string) {
					bad := standsAlone(text)
					if bad && n > longest-4 {
						return
					}
					if c == nil {
						nc = &turns{server: newServer(keywords...)}
						c = clientOf(t, nc, way.p)
					}
					tried++
					nc.texts = nil
					_, err := c.Send(t.Context(), &Envelope{Rcpt: []string{"bob@example.org"}}, strings.NewReader(text))
					want := text
					if len(keywords) == 1 && text != "" && !strings.HasSuffix(text, "\r\n") {
						want += "\r\n" // a text by DATA ends its last line
					}
					switch {
					case bad && (kind(err) != "bare" || len(nc.texts) != 0):
						t.Fatalf("%q: error %v, committed %q; want it refused", text, err, nc.texts)
					case !bad && (err != nil || len(nc.texts) != 1 || nc.texts[0] != want || len(nc.in) != 0):
						t.Fatalf("%q: error %v, committed %q, left over %q", text, err, nc.texts, nc.in)
					case bad:
						c = nil
					default:
						sent++
					}
				})
			}
			t.Logf("%d texts, %d of them sent", tried, sent)
		})
	}
}

// TestD4_LineEnds cuts every short string in two at every place and compares the check with its definition.
func TestD4_LineEnds(t *testing.T) {
	longest := 10
	if testing.Short() {
		longest = 7
	}
	for n := range longest + 1 {
		words(n, func(text string) {
			want := standsAlone(text)
			for cut := range n + 1 {
				var l lineEnds
				err := l.check([]byte(text[:cut]))
				if err == nil {
					err = l.check([]byte(text[cut:]))
				}
				if err == nil {
					err = l.end()
				}
				if (err == wire.ErrBareLineEnd) != want {
					t.Fatalf("%q cut at %d: %v, want an error: %v", text, cut, err, want)
				}
			}
		})
	}
}
