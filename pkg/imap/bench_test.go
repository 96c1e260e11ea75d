package imap

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// BenchmarkEnvelopes reads the envelopes, flags and sizes of 50,000 messages.
func BenchmarkEnvelopes(b *testing.B) {
	const n = 50_000
	var reply strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&reply, "* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE \"17-Jul-2026 02:44:25 -0700\" RFC822.SIZE %d ENVELOPE "+
			"(\"Wed, 17 Jul 2026 02:23:25 -0700 (PDT)\" \"crepes, number %d\" ((\"Alice\" NIL \"alice\" \"example.org\")) "+
			"((\"Alice\" NIL \"alice\" \"example.org\")) ((\"Alice\" NIL \"alice\" \"example.org\")) ((NIL NIL \"bob\" \"crepes.fr\")) "+
			"NIL NIL NIL \"<b27397-%d@example.org>\"))\r\n", i, 2*i, 1000+i, i, i)
	}
	text := []byte(reply.String())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		c, err := NewClient(b.Context(), wire.NewConn(&benchPeer{fetch: text}, nil), &Options{Tag: "T"})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Select(b.Context(), "INBOX", nil); err != nil {
			b.Fatal(err)
		}
		got := 0
		_, err = c.Fetch(b.Context(), uids(b, "1:100000"), &FetchOptions{Flags: true, InternalDate: true, Size: true, Envelope: true}, func(m *Message) error {
			if m.Envelope != nil {
				got++
			}
			return nil
		})
		if err != nil || got != n {
			b.Fatalf("got %d, %v", got, err)
		}
		c.conn.Close()
	}
}
