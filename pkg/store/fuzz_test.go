package store

import (
	"bytes"
	"io"
	"testing"
)

// FuzzMboxReader: any octets come apart without a panic, the messages are no longer
// together than the file, and a message can be found at its offset.
func FuzzMboxReader(f *testing.F) {
	for _, seed := range []string{"", "From a\nb\n", "From a Mon Jan  1 00:00:00 2024 flags=\\Seen noeol wire\r\nContent-Length: 4\n\nFrom\n\nFrom b 1 Jan 2024 00:00\n>From \n>>"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range []mboxKind{mboxRD, mboxO, mboxCL2} {
			m := newMboxReader(bytes.NewReader(data))
			m.kind, m.at, m.size = kind, bytes.NewReader(data), int64(len(data))
			total := int64(0)
			m.each(func(msg *Message, err error) bool {
				if err != nil {
					return true
				}
				total += msg.Size()
				if !bytes.HasPrefix(data[msg.offset:], fromWord) {
					t.Errorf("kind %d: no From line at %d", kind, msg.offset)
				}
				if n, err := io.Copy(io.Discard, msg.Wire()); err != nil || n != msg.WireSize() {
					t.Errorf("kind %d: %d octets, %v, want %d", kind, n, err, msg.WireSize())
				}
				return true
			})
			if total > int64(len(data)) {
				t.Errorf("kind %d: %d octets of messages in %d", kind, total, len(data))
			}
		}
	})
}
