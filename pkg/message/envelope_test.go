package message

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestEnvelope(t *testing.T) {
	tests := []struct {
		name, header string
		from, rcpt   string // "!" when refused
	}{
		{"plain", "From: A <a@x>\nTo: b@x, C <c@x>\nCc: d@x\nBcc: e@x\n", "a@x", "b@x c@x d@x e@x"},
		{"sender", "From: a@x\nSender: s@x\nTo: b@x\n", "s@x", "b@x"},
		{"two authors and a sender", "From: a@x, b@x\nSender: s@x\nTo: b@x\n", "s@x", "b@x"},
		{"two authors", "From: a@x, b@x\nTo: b@x\n", "", "!"},
		{"two From fields", "From: a@x\nFrom: b@x\nTo: b@x\n", "", "!"},
		{"no author", "To: b@x\n", "", "b@x"},
		{"nobody", "From: a@x\n", "a@x", ""},
		{"several fields", "From: a@x\nTo: b@x\nTo: c@x\nCc:\nBcc: d@x\n", "a@x", "b@x c@x d@x"},
		{"twice the same", "To: b@X, b@x, B@x\nCc: b@x\n", "", "b@X B@x"},
		{"group", "To: undisclosed-recipients:;\nBcc: Team: b@x, c@x;\n", "", "b@x c@x"},
		{"folded", "To: b@x,\n\tC\n <c@x>\n", "", "b@x c@x"},
		{"space before colon", "To : b@x\nBCC\t: c@x\n", "", "b@x c@x"},
		{"ambiguous", "From: a@x\nTo: Doe, John <j@x>\n", "", "!"},
		{"bad domain", "To: b@-x\n", "", "!"},
		{"I1 control character", "To: \"b\tx\"@x\n", "", "!"},
		{"I5 quoted address", "To: \"a@evil x\"@internal\n", "", "\"a@evil x\"@internal"},
		{"resent", "Resent-From: r@x\nResent-To: s@x\nResent-Bcc: t@x\nFrom: a@x\nTo: b@x\nBcc: c@x\n", "r@x", "s@x t@x"},
		{"resent twice, trace between", "Received: x\nResent-From: new@x\nResent-To: n@x\nReceived: y\nResent-Sender: old@x\nResent-To: o@x\nResent-Cc: o2@x\nFrom: a@x\nTo: b@x\n", "new@x", "n@x"},
		{"resent twice, nothing between", "Resent-From: new@x\nResent-To: n@x\nResent-From: old@x\nResent-To: o@x\nTo: b@x\n", "new@x", "n@x"},
		{"resent twice, other order", "Resent-To: n@x\nResent-From: new@x\nResent-Date: 1\nResent-To: o@x\nResent-From: old@x\n", "new@x", "n@x"},
		{"resent, one list in two fields", "Resent-From: r@x\nResent-To: s@x\nResent-To: t@x\nTo: b@x\n", "r@x", "s@x t@x"},
		{"resent, scattered", "Resent-From: r@x\nSubject: x\nResent-To: s@x\nTo: b@x\n", "r@x", "s@x"},
		{"resent to nobody does not use To", "Resent-From: r@x\nFrom: a@x\nTo: b@x\n", "r@x", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := readString(t, tt.header+"\n")
			from, rcpt, err := Envelope(h)
			got := strings.Join(rcpt, " ")
			if err != nil {
				got = "!"
				var e *Error
				if !errors.As(err, &e) || e.Field == "" {
					t.Errorf("error %v names no field", err)
				}
			}
			if from != tt.from || got != tt.rcpt {
				t.Errorf("got %q, %q (%v), want %q, %q", from, got, err, tt.from, tt.rcpt)
			}
		})
	}
}

// TestI8_Complete: Bcc goes, what is missing comes, and nothing else changes.
func TestI8_Complete(t *testing.T) {
	o := CompleteOptions{From: Address{"Jürgen", "j@example.org"}, Date: time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC), Host: "example.org"}
	const added = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\nDate: Sat, 03 Feb 2024 04:05:06 +0000\nMessage-ID: <ID@example.org>\n"
	id := regexp.MustCompile(`<[a-z0-9]{26}@`)
	tests := []struct{ name, in, want string }{
		{"nothing there", "To: b@x\nBcc: c@x,\n d@x\n\nbody", added + "To: b@x\n\nbody"},
		{"all there", "date : x\nFROM:  y\nmessage-id:z\nBCC: c@x\nResent-bcc : c@x\nbad line\nX:  \n\nbody", "date : x\nFROM:  y\nmessage-id:z\nbad line\nX:  \n\nbody"},
		{"From line", "From b Mon\nBcc: c@x\n\nbody", added + "\nbody"},
		{"CRLF", "To: b@x\r\n\r\nbody", strings.ReplaceAll(added, "\n", "\r\n") + "To: b@x\r\n\r\nbody"},
		{"no header", "hello\n", strings.ReplaceAll(added, "\n", "\r\n") + "\r\nhello\n"},
		{"no end", "To: b@x", strings.ReplaceAll(added+"To: b@x\n\n", "\n", "\r\n")},
	}
	for _, tt := range tests {
		h, body := readString(t, tt.in)
		if err := Complete(h, o); err != nil {
			t.Fatal(err)
		}
		got := id.ReplaceAllString(string(h.Bytes())+body, "<ID@")
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestNewMessageID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		seen[NewMessageID("example.org")] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different of 1000", len(seen))
	}
	for host, want := range map[string]string{"example.org": "@example.org>", "": "@localhost>", "a b": "@localhost>", "x\r\nBcc: y": "@localhost>"} {
		if id := NewMessageID(host); !strings.HasSuffix(id, want) {
			t.Errorf("%q: got %q", host, id)
		}
	}
}
