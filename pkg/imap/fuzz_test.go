package imap

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// FuzzSession plays any octets as a server. The client must come to an end,
// and must not mark or expunge before it was told that the copy was made.
func FuzzSession(f *testing.F) {
	f.Add(cutReplies)
	f.Add("* PREAUTH [CAPABILITY IMAP4rev1 ESEARCH LIST-EXTENDED LIST-STATUS CONDSTORE] hi\r\nT1 OK x\r\n* LIST () \"/\" a\r\n")
	f.Add("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n+ \r\nT1 OK x\r\n* BYE\r\n")
	f.Add("* OK hi\r\n* CAPABILITY IMAP4rev1\r\nT1 OK\r\nT2 OK\r\n* CAPABILITY X\r\nT3 OK\r\n* 1 FETCH (UID 1 BODYSTRUCTURE (\"a\" {3}\r\nb\")\r\n")
	f.Fuzz(func(t *testing.T, replies string) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		peer := &cutPeer{rest: []byte(replies), chunk: 1 << 20}
		c, err := NewClient(ctx, wire.NewConn(peer, nil), &Options{Tag: "T", Limits: &imapwire.Limits{Line: 10_000, Body: 10_000, Literal: 1000}})
		if err != nil {
			return
		}
		defer c.conn.Close()
		cr := alice()
		cr.AllowCleartext = true
		if c.Auth(ctx, cr) != nil {
			return
		}
		c.List(ctx, &ListOptions{Status: StatusMessages})
		if _, err := c.Select(ctx, "INBOX", nil); err != nil {
			return
		}
		set, _ := imapwire.ParseUIDSet("1:5,9:*")
		o := &FetchOptions{Flags: true, Envelope: true, Structure: true, Sections: []Section{{}, {Part: []int{1}}}}
		seen := map[UID]bool{}
		c.Fetch(ctx, set, o, func(m *Message) error {
			if seen[m.UID] {
				t.Errorf("UID %d came twice", m.UID)
			}
			seen[m.UID] = true
			for {
				b, err := m.Next()
				if err != nil {
					if err == io.EOF {
						err = nil
					}
					return err
				}
				if n, err := io.Copy(io.Discard, b); err == nil && n != b.Size {
					t.Errorf("a section of %d octets gave %d", b.Size, n)
				}
			}
		})
		_, moved := c.Move(ctx, set, "Trash")
		c.Append(ctx, "x", 3, strings.NewReader("abc"), nil)
		if err := ctx.Err(); err != nil {
			t.Errorf("took too long: %v", moved)
		}
	})
}
