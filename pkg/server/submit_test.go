package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// submitted runs a session whose client sends all of its commands at once, and returns the replies without the
// greeting, and what was handed on: a line with the envelope, then the text.
func submitted(t *testing.T, o Options, client string, answer error) (replies string, handed []string) {
	t.Helper()
	o.Submit = func(_ context.Context, s *Submission) error {
		text, err := io.ReadAll(s.Body)
		if err != nil || int64(len(text)) != s.Size {
			t.Errorf("the body has %d octets, %v; want %d", len(text), err, s.Size)
		}
		handed = append(handed, fmt.Sprintf("%s > %q %v\n%s", s.From, s.Rcpt, s.UTF8, text))
		return answer
	}
	var out bytes.Buffer
	if err := ServeSMTP(t.Context(), strings.NewReader(client), &out, o); err != nil {
		t.Error(err)
	}
	greeting, replies, _ := strings.Cut(out.String(), "\r\n")
	if !strings.HasPrefix(greeting, "220 localhost ESMTP") {
		t.Errorf("greeting %q", greeting)
	}
	return strings.ReplaceAll(replies, "\r\n", "\n"), handed
}

const (
	submitHello = "HELO client\r\n"
	submitMail  = "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<root>\r\n"
	helloed     = "250 localhost\n250 2.1.0 sender accepted\n250 2.1.5 recipient accepted\n250 2.1.5 recipient accepted\n"
	bdat        = "BDAT 8 LAST\r\na: b\r\n\r\nQUIT\r\n"
)

func TestServeSMTP_Submit(t *testing.T) {
	const envelope = `alice@example.org > ["bob@example.org" "root"] false` + "\n"
	bye := "221 2.0.0 goodbye\n"
	for _, tc := range []struct {
		name   string
		answer error
		last   string // reply to the text
	}{
		{"accepted", nil, "250 2.0.0 message accepted\n"},
		{"refused", &Refusal{554, "5.7.1", "no"}, "554 5.7.1 no\n"},
		{"put off", fmt.Errorf("wrapped: %w", &Refusal{451, "4.7.1", "later"}), "451 4.7.1 later\n"},
		{"several lines", &Refusal{554, "5.0.0", "one\ntwo\n"}, "554-5.0.0 one\n554 5.0.0 two\n"},
		{"words that do not fit", &Refusal{554, "5.0.0", "ü\r\x1b[2J" + strings.Repeat("x", 1000)}, "554 5.0.0 ???[2J" + strings.Repeat("x", 474) + "\n"},
		{"another error", errors.New("disk full"), "451 4.3.0 disk full\n"},
		{"no code of a refusal", &Refusal{250, "2.0.0", "fine"}, "451 4.3.0 250 2.0.0 fine\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, handed := submitted(t, Options{}, submitHello+submitMail+bdat, tc.answer)
			if want := helloed + tc.last + bye; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if len(handed) != 1 || handed[0] != envelope+"a: b\r\n\r\n" {
				t.Errorf("handed on: %q, want one of %q", handed, envelope)
			}
		})
	}
}

func TestServeSMTP_SubmitAddresses(t *testing.T) {
	for _, tc := range []struct{ name, client, want, handed string }{
		{"names of this machine", "MAIL FROM:<root>\r\nRCPT TO:<alice>\r\n" + bdat, "250 250 250 250 221", `root > ["alice"] false`},
		{"null path", "MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\n" + bdat, "250 250 250 250 221", ` > ["alice@example.org"] false`},
		{"SMTPUTF8", "MAIL FROM:<ä@example.org> SMTPUTF8\r\nRCPT TO:<ö@example.org>\r\n" + bdat, "250 250 250 250 221", `ä@example.org > ["ö@example.org"] true`},
		{"control character", "MAIL FROM:<a>\r\nRCPT TO:<a\x01b>\r\nQUIT\r\n", "250 250 500 221", ""},
		{"nobody", "MAIL FROM:<a>\r\nRCPT TO:<>\r\nQUIT\r\n", "250 250 501 221", ""},
		{"no login, no TLS", "AUTH PLAIN AGEAYg==\r\nSTARTTLS\r\nQUIT\r\n", "250 500 500 221", ""},
		{"end without QUIT", "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 8 LAST\r\na: b\r\n\r\n", "250 250 250 250", `a > ["b"] false`},
		{"end within the text", "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 8 LAST\r\na: b", "250 250 250", ""},
		{"end within a command", "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 8 L", "250 250 250", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			replies, handed := submitted(t, Options{}, "EHLO client\r\n"+tc.client, nil)
			var codes []string
			for line := range strings.Lines(replies) {
				if line[3] == ' ' {
					codes = append(codes, line[:3])
				}
			}
			if got := strings.Join(codes, " "); got != tc.want {
				t.Errorf("replies %q, want %q\n%s", got, tc.want, replies)
			}
			envelope := ""
			if len(handed) > 0 {
				envelope, _, _ = strings.Cut(handed[0], "\n")
			}
			if envelope != tc.handed {
				t.Errorf("handed on %q, want %q", envelope, tc.handed)
			}
		})
	}
}

// TestServeSMTP_SubmitEnds ends the context while the session waits for its client.
func TestServeSMTP_SubmitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	done := make(chan error, 1)
	go func() {
		done <- ServeSMTP(ctx, r, io.Discard, Options{Submit: func(context.Context, *Submission) error { return nil }})
	}()
	_, _ = io.WriteString(w, submitHello)
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
	case <-time.After(60 * time.Second):
		t.Error("the session goes on after its context ended")
	}
}
