package smtp

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// sink is a server that takes everything and answers the same reply whenever it is asked.
type sink struct {
	net.Conn // methods that are not used
	replies  []byte
	greeting []byte
}

func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

func (s *sink) Read(p []byte) (int, error) {
	if len(s.greeting) > 0 {
		n := copy(p, s.greeting)
		s.greeting = s.greeting[n:]
		return n, nil
	}
	return copy(p, s.replies), nil
}

func benchmarkBody(b *testing.B, keywords, replies string, size int) {
	lines := strings.Repeat(strings.Repeat("x", 74)+"\r\n", size/76+1)
	text := []byte(lines[:size/76*76])
	nc := &sink{Conn: newServer(), greeting: []byte("220 hi\r\n250-mx\r\n250-8BITMIME\r\n" + keywords + "250 PIPELINING\r\n"), replies: []byte(replies)}
	c, err := New(context.Background(), wire.NewConn(nc, nil), wire.Endpoint{Protocol: wire.SMTP, Security: wire.Cleartext}, nil)
	if err != nil {
		b.Fatal(err)
	}
	env := &Envelope{From: "alice@example.org", Rcpt: []string{"bob@example.org"}, Size: int64(len(text)), Body: Body8Bit}
	r := bytes.NewReader(text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(text)
		if _, err := c.Send(context.Background(), env, struct{ io.Reader }{r}); err != nil {
			b.Fatal(err)
		}
	}
}

const (
	dataReplies  = "250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n"
	chunkReplies = "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n"
	smallReplies = "250 ok\r\n250 ok\r\n250 ok\r\n"
)

func BenchmarkSendData10M(b *testing.B)  { benchmarkBody(b, "", dataReplies, 10<<20) }
func BenchmarkSendChunk10M(b *testing.B) { benchmarkBody(b, "250-CHUNKING\r\n", chunkReplies, 10<<20) }
func BenchmarkSendData4K(b *testing.B)   { benchmarkBody(b, "", dataReplies, 4<<10) }
func BenchmarkSendChunk4K(b *testing.B)  { benchmarkBody(b, "250-CHUNKING\r\n", smallReplies, 4<<10) }

// BenchmarkSendAll4K is many short messages with their envelopes under way at once.
func BenchmarkSendAll4K(b *testing.B) {
	text := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64))
	nc := &sink{Conn: newServer(), greeting: []byte("220 hi\r\n250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n"), replies: []byte(chunkReplies)}
	c, err := New(context.Background(), wire.NewConn(nc, nil), wire.Endpoint{Protocol: wire.SMTP, Security: wire.Cleartext}, nil)
	if err != nil {
		b.Fatal(err)
	}
	env := &Envelope{From: "alice@example.org", Rcpt: []string{"bob@example.org"}, Size: int64(len(text)), Body: Body7Bit}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	messages := func(yield func(*Message) bool) {
		for b.Loop() {
			if !yield(&Message{Envelope: env, Body: bytes.NewReader(text)}) {
				return
			}
		}
	}
	if err := c.SendAll(context.Background(), messages, func(_ int, _ *Message, _ *Result, err error) error { return err }); err != nil {
		b.Fatal(err)
	}
}
