package pop3

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
)

func benchRetr(b *testing.B, messages []string, o *Options) {
	b.Helper()
	box := serveBox(b)
	box.fill(b, messages)
	ctx := context.Background()
	c, err := Dial(ctx, endpointOf(b, box.Addr("pop3"), wire.Cleartext), o)
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Auth(ctx, alice()); err != nil {
		b.Fatal(err)
	}
	if _, err := c.List(ctx); err != nil {
		b.Fatal(err)
	}
	var ns []int
	total := int64(0)
	for i, m := range messages {
		ns = append(ns, i+1)
		total += int64(len(m))
	}
	b.SetBytes(total)
	b.ReportAllocs()
	for b.Loop() {
		err := c.Retr(ctx, ns, func(_ int, _ int64, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(ns))*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	_ = c.Close()
}

func BenchmarkRetrBig(b *testing.B) {
	benchRetr(b, []string{strings.Repeat(strings.Repeat("x", 76)+"\r\n", 25<<20/78)}, nil)
}

func BenchmarkRetrSmall(b *testing.B) {
	benchRetr(b, smallMessages(), nil)
}

func BenchmarkRetrSmallUnpipelined(b *testing.B) {
	benchRetr(b, smallMessages(), &Options{Depth: 1})
}

func smallMessages() []string {
	m := "Subject: small\r\n\r\n" + strings.Repeat(strings.Repeat("y", 70)+"\r\n", 28)
	messages := make([]string, 1000)
	for i := range messages {
		messages[i] = m
	}
	return messages
}
