package server

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

var benchSizes = []int{4 << 10, 100 << 10, 100 << 20}

func benchBody(size int) []byte {
	return bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, and so on.\r\n"), size/50+1)[:size]
}

// BenchmarkStoreAppend tells how fast messages are taken in; those of a Maildir are
// on disk.
func BenchmarkStoreAppend(b *testing.B) {
	for _, kind := range storeKinds {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d", kind.name, size), func(b *testing.B) {
				m := testMailbox(b, testAccount(b, kind.open(b)), "INBOX")
				body := benchBody(size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					infos, err := m.Append(b.Context(), []NewMessage{{Body: bytes.NewReader(body)}})
					if err != nil {
						b.Fatal(err)
					}
					if size > 1<<20 { // or memory runs out
						if _, err := m.Expunge(uidsOf(infos)); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// BenchmarkStoreOpen tells how fast bodies are read.
func BenchmarkStoreOpen(b *testing.B) {
	for _, kind := range storeKinds {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d", kind.name, size), func(b *testing.B) {
				m := testMailbox(b, testAccount(b, kind.open(b)), "INBOX")
				if _, err := m.Append(b.Context(), []NewMessage{{Body: bytes.NewReader(benchBody(size))}}); err != nil {
					b.Fatal(err)
				}
				buf := make([]byte, 64<<10)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					body, err := m.Open(1)
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.NewSectionReader(body, 0, body.Size()), buf)
					if err != nil || n != int64(size) {
						b.Fatalf("%d octets, %v", n, err)
					}
					if err := body.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
